//! Channels to nodes, for what no command shows.

use std::fs;

use anyhow::Context;
use pki::csr::PrivateKeyPem;
use pki::files::{CHAIN_FILE, DIRECTORY, KEY_FILE, NodeCredentials, ROOT_FILE};
use tonic::transport::Channel;
use transport::{Credentials, Dialer};
use types::Timestamp;

use crate::cluster::Node;

impl Node {
    /// A channel through its control socket.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn local_channel(&self) -> anyhow::Result<Channel> {
        Ok(transport::connect_local(&self.socket).await?)
    }

    /// Opens channels to managers as this node, with its certificate.
    ///
    /// # Errors
    /// If its certificate cannot be read or is not valid.
    pub fn dialer(&self) -> anyhow::Result<Dialer> {
        let dir = self.state_dir.join(DIRECTORY);
        let read = |name: &str| fs::read_to_string(dir.join(name)).with_context(|| name.to_owned());
        let key = PrivateKeyPem::new(read(KEY_FILE)?);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let now = Timestamp::from_secs(since.as_secs());
        let (roots, chain) = (read(ROOT_FILE)?, read(CHAIN_FILE)?);
        let checked = NodeCredentials::check(roots.as_bytes(), &chain, key, now)?;
        Ok(Dialer::member(Credentials::new(checked)?))
    }
}
