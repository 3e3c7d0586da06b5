//! Where a Docker Engine answers, as users and `DOCKER_HOST` write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The engine's usual socket.
const SOCKET_DEFAULT: &str = "/var/run/docker.sock";

/// Port of engines that are reached over TCP without TLS.
const TCP_PORT_DEFAULT: u16 = 2375;

/// Where a Docker Engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAddress {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `host:port`, without encryption.
    Tcp(String),
}

/// Why a text is no address of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an engine address ({why}); write unix:///PATH or tcp://HOST:PORT")]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Default for EngineAddress {
    fn default() -> Self {
        Self::Unix(PathBuf::from(SOCKET_DEFAULT))
    }
}

impl EngineAddress {
    /// Whether the engine surely runs on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

impl FromStr for EngineAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = |why| AddressError {
            text: text.to_owned(),
            why,
        };
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse("it has no scheme"))?;
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::default()),
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(refuse("the socket's path is not absolute")),
            "tcp" | "http" => tcp(rest.trim_end_matches('/')).map_err(refuse),
            "https" => Err(refuse("TLS to the engine is not supported")),
            "ssh" => Err(refuse("ssh to the engine is not supported")),
            "npipe" => Err(refuse("named pipes exist only on Windows")),
            _ => Err(refuse("its scheme is unknown")),
        }
    }
}

fn tcp(authority: &str) -> Result<EngineAddress, &'static str> {
    if authority.contains('/') {
        return Err("it has a path");
    }
    let after_bracket = authority.rsplit(']').next().unwrap_or(authority);
    let (host, port) = match after_bracket.rsplit_once(':') {
        Some((_, port)) => {
            let host = &authority[..authority.len() - port.len() - 1];
            (
                host,
                port.parse()
                    .map_err(|_| "its port is not a number up to 65535")?,
            )
        }
        None => (authority, TCP_PORT_DEFAULT),
    };
    match host {
        "" => Err("it has no host"),
        _ => Ok(EngineAddress::Tcp(format!("{host}:{port}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_docker_users_write_them() {
        for (text, shown) in [
            ("", "unix:///var/run/docker.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("/tmp/d.sock", "unix:///tmp/d.sock"),
            ("unix:///tmp/d.sock", "unix:///tmp/d.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("tcp://host", "tcp://host:2375"),
            ("tcp://[::1]:99/", "tcp://[::1]:99"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("http://h:1", "tcp://h:1"),
        ] {
            assert_eq!(
                text.parse::<EngineAddress>().unwrap().to_string(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        for text in [
            "docker",
            "unix://rel",
            "tcp://",
            "tcp://h:70000",
            "tcp://h:1/x",
            "ssh://h",
            "https://h",
            "npipe://x",
            "foo://x",
        ] {
            let error = text.parse::<EngineAddress>().unwrap_err();
            assert!(!error.why.is_empty(), "{text}");
        }
    }
}
