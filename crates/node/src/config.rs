//! What a node is told when it starts, and what it remembers of it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::Peer;
use executor::Executor;
use serde::{Deserialize, Serialize};
use storage::{StateDir, StateDirError};
use types::NodeId;
use types::node::Availability;

use crate::error::NodeError;

/// Small file of the state directory with what the node remembers.
const MEMORY_FILE: &str = "state.json";

/// A documentation address (RFC 5737): asking the routing table about it sends nothing.
const SOMEWHERE_ELSE: &str = "198.51.100.1:9";

/// How a node comes to its cluster.
#[derive(Debug, Clone)]
pub enum Start {
    /// Founds a cluster.
    Init,
    /// Joins one.
    Join {
        /// Join token.
        token: String,
        /// A manager, `HOST:PORT`.
        addr: String,
    },
    /// Goes on where it was.
    Run {
        /// Go on as the only manager, whatever became of the others.
        force_new_cluster: bool,
    },
}

/// What a node is told when it starts.
pub struct NodeConfig {
    /// Where it keeps everything.
    pub state_dir: PathBuf,
    /// Where its manager listens; `None` takes the one from before, then the default.
    pub listen_addr: Option<SocketAddr>,
    /// Where others reach its manager; `None` takes the one that was given before, then the
    /// machine's own.
    pub advertise_addr: Option<String>,
    /// Unix socket of the control API.
    pub control_socket: PathBuf,
    /// Runs tasks.
    pub executor: Arc<dyn Executor>,
    /// Which executor that is, remembered so that the node goes on with the same one.
    pub runner: Runner,
    /// Host name to report; `None` leaves the executor's.
    pub hostname: Option<String>,
    /// Engine labels to report.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes tasks, when it founds or joins.
    pub availability: Availability,
    /// How it comes to its cluster.
    pub start: Start,
    /// Where metrics are served, if anywhere.
    pub metrics_addr: Option<SocketAddr>,
}

/// What runs the tasks of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runner {
    /// Name of the executor; empty if none was chosen yet.
    pub executor: String,
    /// Where its engine is, if it was named.
    pub docker_host: Option<String>,
}

/// What a node remembers over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Where its manager listens.
    pub listen_addr: String,
    /// Where others reach its manager.
    pub advertise_addr: String,
    /// Whether nobody said so: the machine's address was taken, and may be another one by now.
    pub advertise_guessed: bool,
    /// Managers by node id, with their addresses.
    pub managers: BTreeMap<String, String>,
    /// The manager through which it joined, for the time before it is told of all of them.
    pub joined_through: String,
    /// What runs its tasks: a node that had containers must not become one that runs processes
    /// because its engine is late.
    pub runner: Runner,
}

impl Memory {
    /// Reads what was remembered; a file that cannot be understood counts as none, because
    /// everything in it can be told again.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn load(dir: &StateDir) -> Result<Self, NodeError> {
        let stored = match dir.read_small(MEMORY_FILE) {
            Err(StateDirError::Damaged { .. }) => None,
            read => read?,
        };
        Ok(stored
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default())
    }

    /// What ran the tasks of the node in this directory, if there is one, without opening it: the
    /// executor is chosen before the directory is locked.
    pub fn runner_of(root: &Path) -> Option<Runner> {
        let bytes = storage::read_small_file(&root.join(MEMORY_FILE)).ok()??;
        let memory: Self = serde_json::from_slice(&bytes).ok()?;
        Some(memory.runner).filter(|runner| !runner.executor.is_empty())
    }

    /// Addresses of managers, with the node where it is known.
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        let known = self.managers.iter().map(|(node, addr)| Peer {
            node: node.parse().ok(),
            addr: addr.clone(),
        });
        let first = Some(&self.joined_through).filter(|a| !a.is_empty());
        let first = first.filter(|_| self.managers.is_empty());
        known.chain(first.map(|addr| Peer {
            node: None,
            addr: addr.clone(),
        }))
    }

    /// Addresses of managers on other nodes.
    pub fn others(&self, own: NodeId) -> Vec<String> {
        let others = self.peers().filter(|peer| peer.node != Some(own));
        others.map(|peer| peer.addr).collect()
    }

    /// Remembers.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn store(&self, dir: &StateDir) -> Result<(), NodeError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| NodeError::Identity(format!("cannot write {MEMORY_FILE}: {e}")))?;
        Ok(dir.write_small(MEMORY_FILE, &text)?)
    }
}

/// Addresses of this node's manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub advertise: String,
    /// Whether that is the machine's address because nobody said otherwise.
    pub guessed: bool,
}

impl Addresses {
    /// Settles the addresses from flags, memory and, for the rest, the routing table.
    ///
    /// # Errors
    /// If a flag or the memory holds no address.
    pub fn settle(config: &NodeConfig, memory: &Memory) -> Result<Self, NodeError> {
        let default = SocketAddr::from(([0, 0, 0, 0], types::defaults::LISTEN_PORT));
        let remembered = memory.listen_addr.parse().ok();
        let listen = config.listen_addr.or(remembered).unwrap_or(default);
        let given = memory.advertise_addr.as_str();
        let given = Some(given).filter(|addr| !addr.is_empty() && !memory.advertise_guessed);
        if let Some(addr) = config.advertise_addr.as_deref().or(given) {
            return Ok(Self {
                listen,
                advertise: with_port(addr, listen.port())?,
                guessed: false,
            });
        }
        Ok(Self {
            listen,
            advertise: machines_own(listen, &config.start, memory),
            guessed: true,
        })
    }
}

impl Addresses {
    /// Takes the manager's port.
    ///
    /// # Errors
    /// If it cannot be had, saying why.
    pub fn bind(&self) -> Result<TcpListener, NodeError> {
        let bound = TcpListener::bind(self.listen);
        Ok(bound.map_err(|e| transport::BindError::new(self.listen.to_string(), e))?)
    }
}

/// An advertised address; without a port it takes the one listened on.
fn with_port(addr: &str, port: u16) -> Result<String, NodeError> {
    let bad = |why: &str| NodeError::Address {
        flag: "--advertise-addr",
        value: addr.to_owned(),
        why: why.to_owned(),
    };
    if addr
        .parse::<SocketAddr>()
        .is_ok_and(|a| a.ip().is_unspecified())
    {
        return Err(bad(
            "others cannot reach an unspecified address; give the machine's own",
        ));
    }
    if let Ok(ip) = addr.parse::<std::net::IpAddr>() {
        return Ok(SocketAddr::new(ip, port).to_string());
    }
    match addr.rsplit_once(':') {
        Some((host, digits)) if !host.is_empty() && digits.parse::<u16>().is_ok() => {
            Ok(addr.to_owned())
        }
        Some(_) => Err(bad("expected HOST or HOST:PORT")),
        None if addr.is_empty() => Err(bad("expected HOST or HOST:PORT")),
        None => Ok(format!("{addr}:{port}")),
    }
}

/// The address that packets towards the others leave from. A machine without routes has the
/// address that it had before, or loopback.
fn machines_own(listen: SocketAddr, start: &Start, memory: &Memory) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    // Names would have to be looked up, perhaps before the network is there.
    let is_other =
        |addr: &&String| **addr != memory.advertise_addr && addr.parse::<SocketAddr>().is_ok();
    let mut other = memory.managers.values().filter(is_other);
    let towards = match start {
        Start::Join { addr, .. } => addr.as_str(),
        _ => other.next().map_or(SOMEWHERE_ELSE, String::as_str),
    };
    let local = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect(towards)?;
        socket.local_addr()
    });
    match local {
        Ok(local) => SocketAddr::new(local.ip(), listen.port()).to_string(),
        Err(_) if memory.advertise_addr.is_empty() => {
            SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, listen.port())).to_string()
        }
        Err(_) => memory.advertise_addr.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_gets_the_port_listened_on() {
        assert_eq!(with_port("10.0.0.1", 2377).unwrap(), "10.0.0.1:2377");
        assert_eq!(with_port("10.0.0.1:99", 2377).unwrap(), "10.0.0.1:99");
        assert_eq!(with_port("fd00::1", 2377).unwrap(), "[fd00::1]:2377");
        assert_eq!(with_port("manager", 1).unwrap(), "manager:1");
        assert!(with_port("0.0.0.0:2377", 2377).is_err());
        assert!(with_port("manager:x", 2377).is_err());
    }

    #[test]
    fn a_specified_listen_address_is_advertised() {
        let listen = "127.0.0.3:2377".parse().unwrap();
        let own = machines_own(listen, &Start::Init, &Memory::default());
        assert_eq!(own, "127.0.0.3:2377");
    }

    #[test]
    fn the_machines_address_is_taken_anew_unless_somebody_gave_one() {
        let again = Start::Run {
            force_new_cluster: false,
        };
        let everywhere = "0.0.0.0:2377".parse().unwrap();
        let memory = |other: &str| Memory {
            advertise_addr: "192.0.2.7:2377".into(),
            managers: [("n2".to_owned(), other.to_owned())].into(),
            ..Memory::default()
        };
        let now = machines_own(everywhere, &again, &memory("127.0.0.9:2377"));
        assert_eq!(now, "127.0.0.1:2377");
        let without_route = machines_own(everywhere, &again, &memory("[fd00::9]:2377"));
        assert_eq!(without_route, "192.0.2.7:2377");
    }
}
