//! `--publish`: `8080:80/tcp`, ranges, or `published=8080,target=80,protocol=tcp,mode=host`.

use std::ops::RangeInclusive;

use wire::api::PortConfig;
use wire::api::port_config::{Protocol, PublishMode};

use super::keyed::{is_long, pairs};

type Result<T> = std::result::Result<T, String>;

/// Reads published ports; a range gives one for each port.
///
/// # Errors
/// If a port is not from 1 to 65535, ranges differ in length, or an address is given.
pub fn publish(text: &str) -> Result<Vec<PortConfig>> {
    if is_long(text) {
        long(text).map(|port| vec![port])
    } else {
        short(text)
    }
}

fn long(text: &str) -> Result<PortConfig> {
    let mut config = PortConfig::default();
    for (key, value) in pairs(text)? {
        match key.as_str() {
            "target" => config.target_port = port(&value)?,
            "published" => config.published_port = port(&value)?,
            "protocol" => config.protocol = protocol(&value)?.into(),
            "name" => config.name = value,
            "mode" => config.publish_mode = mode(&value)?.into(),
            _ => return Err(format!("unknown key \"{key}\"")),
        }
    }
    match config.target_port {
        0 => Err("target is required".into()),
        _ => Ok(config),
    }
}

fn short(text: &str) -> Result<Vec<PortConfig>> {
    let (ports, name) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol(name)?;
    let (published, target) = match ports.rsplit_once(':') {
        Some((published, _)) if published.contains(':') || published.contains('.') => {
            return Err("a service cannot publish on one address; leave the address out".into());
        }
        Some((published, target)) => (Some(range(published)?), range(target)?),
        None => (None, range(ports)?),
    };
    let count = target.clone().count();
    let first = match &published {
        Some(range) if range.clone().count() != count => {
            return Err("both ranges must have the same length".into());
        }
        Some(range) => Some(*range.start()),
        None => None,
    };
    let config = |(offset, target_port): (u32, u32)| PortConfig {
        protocol: protocol.into(),
        target_port,
        published_port: first.map_or(0, |first| first + offset),
        ..PortConfig::default()
    };
    Ok((0..).zip(target).map(config).collect())
}

fn range(text: &str) -> Result<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    match first <= last {
        true => Ok(first..=last),
        false => Err(format!("the range {text} runs backwards")),
    }
}

/// A port number.
///
/// # Errors
/// If it is not from 1 to 65535.
pub fn port(text: &str) -> Result<u32> {
    let number: Option<u16> = text.parse().ok();
    let number = number.filter(|n| *n > 0).map(u32::from);
    number.ok_or_else(|| format!("a port is a number from 1 to 65535, not \"{text}\""))
}

fn protocol(text: &str) -> Result<Protocol> {
    match text.to_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(format!(
            "the protocol must be tcp, udp or sctp, not \"{text}\""
        )),
    }
}

fn mode(text: &str) -> Result<PublishMode> {
    match text.to_lowercase().as_str() {
        "ingress" => Ok(PublishMode::Ingress),
        "host" => Ok(PublishMode::Host),
        _ => Err(format!("mode must be ingress or host, not \"{text}\"")),
    }
}

/// A port to take back: `80` or `80/udp`.
///
/// # Errors
/// If it is not a port.
pub fn target(text: &str) -> Result<(u32, Protocol)> {
    let (number, name) = text.split_once('/').unwrap_or((text, "tcp"));
    Ok((port(number)?, protocol(name)?))
}

/// A published port as tables show it: `*:8080->80/tcp`. Where each node's engine chooses one, the
/// service has none, and its tasks say which they have.
pub fn shown(port: &PortConfig) -> String {
    let protocol = port.protocol().as_str_name().to_lowercase();
    let published = match port.published_port {
        0 => "(per task)".to_owned(),
        chosen => chosen.to_string(),
    };
    format!("*:{published}->{}/{protocol}", port.target_port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_port_that_engines_choose_is_not_shown_as_0() {
        let fixed = publish("published=8080,target=80,mode=host").unwrap();
        assert_eq!(shown(&fixed[0]), "*:8080->80/tcp");
        let chosen = publish("target=80,mode=host").unwrap();
        assert_eq!(shown(&chosen[0]), "*:(per task)->80/tcp");
    }

    #[test]
    fn short_and_long_syntax_mean_the_same() {
        assert_eq!(publish("8080:80"), publish("published=8080,target=80"));
        let host = publish("target=53,protocol=udp,mode=host").unwrap();
        assert_eq!(host[0].publish_mode(), PublishMode::Host);
        assert_eq!(publish("80").unwrap()[0].published_port, 0);
        let ranged: Vec<_> = publish("8000-8002:80-82/udp")
            .unwrap()
            .iter()
            .map(shown)
            .collect();
        assert_eq!(
            ranged,
            ["*:8000->80/udp", "*:8001->81/udp", "*:8002->82/udp"]
        );
    }

    #[test]
    fn bad_ports_are_refused() {
        for bad in [
            "",
            "0",
            "65536:80",
            "a:80",
            "1-2:3",
            "2-1",
            "10.0.0.1:80:80",
            "80/icmp",
        ] {
            assert!(publish(bad).is_err(), "{bad}");
        }
        assert!(publish("published=80").is_err());
        assert!(publish("target=80,mode=both").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9:/=,a-z-]{0,24}") {
            let _either = publish(&text);
        }

        #[test]
        fn every_pair_of_ports_round_trips(published: u16, target: u16) {
            let read = publish(&format!("{published}:{target}"));
            prop_assert_eq!(read.is_ok(), published > 0 && target > 0);
        }
    }
}
