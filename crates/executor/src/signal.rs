//! Names and numbers of signals as specs write them.

/// Why a text is not a signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a signal; write a name such as SIGTERM or a number from 1 to 64")]
pub struct SignalError {
    /// The text.
    pub text: String,
}

/// Number of a real-time signal's first, on Linux with glibc and musl as containers see it.
const SIGRTMIN: i32 = 34;

/// Highest signal number of Linux.
const SIGNAL_MAX: i32 = 64;

/// Names by number on Linux (x86, Arm, RISC-V), from signal 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number of a signal written as `SIGTERM`, `term`, `15`, `RTMIN+3` or `RTMAX-1`.
///
/// # Errors
///
/// [`SignalError`] when the text is none of those.
pub fn parse_signal(text: &str) -> Result<i32, SignalError> {
    let refuse = || SignalError {
        text: text.to_owned(),
    };
    if let Ok(number) = text.parse::<i32>() {
        return in_range(number).ok_or_else(refuse);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).map_err(|_| refuse());
    }
    real_time(name).ok_or_else(refuse)
}

fn in_range(number: i32) -> Option<i32> {
    (1..=SIGNAL_MAX).contains(&number).then_some(number)
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |rest: &str| match rest {
        "" => Some(0),
        _ => rest[1..].parse::<i32>().ok(),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        (rest.is_empty() || rest.starts_with('+')).then_some(())?;
        SIGRTMIN.checked_add(offset(rest)?)?
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        (rest.is_empty() || rest.starts_with('-')).then_some(())?;
        SIGNAL_MAX.checked_sub(offset(rest)?)?
    };
    (SIGRTMIN..=SIGNAL_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_real_time_signals_read() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGUSR1", 10),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(parse_signal(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "", "0", "65", "-1", "SIGNOPE", "RTMIN+99", "RTMIN-1", "RTMAX+1", "RTMIN+",
        ] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
