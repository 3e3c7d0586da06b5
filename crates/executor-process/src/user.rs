//! As whom a command runs: names and numbers of users and groups of this node.

use executor::ExecError;
use nix::unistd::{Gid, Group, Uid, User, geteuid};
use serde::{Deserialize, Serialize};

/// A user with groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Home directory.
    pub(crate) home: String,
}

/// The identity of `name|uid[:group|gid]` and supplementary groups; `None` when neither is given.
///
/// # Errors
///
/// [`ExecError::Rejected`] for names this node does not know, and when the agent has no right to
/// become that user.
pub(crate) fn resolve(user: &str, groups: &[String]) -> Result<Option<Identity>, ExecError> {
    if user.is_empty() && groups.is_empty() {
        return Ok(None);
    }
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let known = match name {
        "" => User::from_uid(geteuid()),
        _ => match name.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)),
            Err(_) => User::from_name(name),
        },
    };
    let known = known.ok().flatten();
    let uid = match (&known, name.parse::<u32>()) {
        (Some(user), _) => user.uid,
        (None, Ok(uid)) => Uid::from_raw(uid),
        (None, Err(_)) => {
            return Err(ExecError::rejected(format!(
                "the user {name:?} is not on this node"
            )));
        }
    };
    if !geteuid().is_root() {
        return Err(ExecError::rejected(
            "users and groups can be set only where the agent runs as root",
        ));
    }
    let gid = match group {
        Some(group) => gid_of(group)?,
        None => known.as_ref().map_or(0, |user| user.gid.as_raw()),
    };
    let groups: Result<_, _> = groups.iter().map(|group| gid_of(group)).collect();
    let home = known.map(|user| user.dir.display().to_string());
    Ok(Some(Identity {
        uid: uid.as_raw(),
        gid,
        groups: groups?,
        home: home.unwrap_or_else(|| "/".to_owned()),
    }))
}

fn gid_of(group: &str) -> Result<u32, ExecError> {
    if let Ok(gid) = group.parse() {
        return Ok(Gid::from_raw(gid).as_raw());
    }
    let known = Group::from_name(group).ok().flatten();
    known
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| ExecError::rejected(format!("the group {group:?} is not on this node")))
}
