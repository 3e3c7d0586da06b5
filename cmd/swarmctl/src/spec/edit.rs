//! Applies the flags that may be repeated to a spec: first takes away, then adds or replaces.

use std::collections::BTreeMap;

use wire::api::config_reference::Target as ConfigTarget;
use wire::api::container_spec::DnsConfig;
use wire::api::placement_preference::Preference;
use wire::api::secret_reference::Target as SecretTarget;
use wire::api::{
    ConfigReference, ContainerSpec, NetworkAttachmentConfig, Placement, PortConfig,
    SecretReference, ServiceSpec, TaskSpec,
};

use super::build::container_mut;
use super::lists::{Edits, List};
use crate::error::{CliError, Result};
use crate::parse::reference::{FileReference, Ids};
use crate::parse::{env, keyed, mount, port, reference, resource};

/// Applies all lists. `ids` has an id for every name that [`wanted`] gives.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn apply(spec: &mut ServiceSpec, edits: &Edits, ids: &Ids) -> Result<()> {
    let on = |list| Edit { list, edits };
    on(List::Label).map(&mut spec.annotations.get_or_insert_default().labels)?;
    ports(spec, &on(List::Publish))?;
    let task = spec.task.get_or_insert_default();
    placement(task, edits)?;
    networks(&mut task.networks, &on(List::Network), ids)?;
    let container = container_mut(task)?;
    identity(container, edits)?;
    files(container, edits, ids)?;
    resolver(container, edits)?;
    limits(container, edits)
}

/// Names of secrets, configs and networks that the flags add.
///
/// # Errors
/// If a value cannot be read, naming its flag.
pub fn wanted(edits: &Edits, list: List) -> Result<Vec<String>> {
    let refuse = |text: &str, why: String| CliError::flag(&edits.flag(list), text, why);
    let name = |text: &String| match list {
        List::Network => reference::network(text).map(|n| n.target),
        _ => reference::file(text).map(|f| f.source),
    };
    let added = edits.added(list).iter();
    added
        .map(|text| name(text).map_err(|why| refuse(text, why)))
        .collect()
}

struct Edit<'a> {
    list: List,
    edits: &'a Edits,
}

type Read<T> = std::result::Result<T, String>;

impl Edit<'_> {
    /// Takes away what `named` says, then adds, replacing what `same` says.
    fn items<T>(
        &self,
        items: &mut Vec<T>,
        named: impl Fn(&T, &str) -> bool,
        same: impl Fn(&T, &T) -> bool,
        read: impl Fn(&str) -> Read<Vec<T>>,
    ) -> Result<()> {
        for name in self.edits.removed(self.list) {
            items.retain(|item| !named(item, name));
        }
        for text in self.edits.added(self.list) {
            let refuse = |why| CliError::flag(&self.edits.flag(self.list), text, why);
            for item in read(text).map_err(refuse)? {
                match items.iter_mut().find(|old| same(old, &item)) {
                    Some(old) => *old = item,
                    None => items.push(item),
                }
            }
        }
        Ok(())
    }

    /// Items that are their own names.
    fn texts(&self, items: &mut Vec<String>, check: impl Fn(&str) -> Read<()>) -> Result<()> {
        let read = |text: &str| check(text).map(|()| vec![text.to_owned()]);
        self.items(
            items,
            |item, name| item == name,
            |old, new| old == new,
            read,
        )
    }

    fn map(&self, map: &mut BTreeMap<String, String>) -> Result<()> {
        for key in self.edits.removed(self.list) {
            map.remove(key);
        }
        for text in self.edits.added(self.list) {
            let refuse = |why: String| CliError::flag(&self.edits.flag(self.list), text, why);
            map.extend([keyed::label(text).map_err(refuse)?]);
        }
        Ok(())
    }
}

fn not_empty(text: &str) -> Read<()> {
    if text.trim().is_empty() {
        Err("the value is empty".into())
    } else {
        Ok(())
    }
}

fn ports(spec: &mut ServiceSpec, edit: &Edit<'_>) -> Result<()> {
    let removed = edit.edits.removed(List::Publish);
    if removed.is_empty() && edit.edits.added(List::Publish).is_empty() {
        return Ok(());
    }
    for text in removed {
        port::target(text).map_err(|why| CliError::flag("publish-rm", text, why))?;
    }
    let named =
        |p: &PortConfig, text: &str| port::target(text) == Ok((p.target_port, p.protocol()));
    let same = |old: &PortConfig, new: &PortConfig| {
        let place = |p: &PortConfig| (p.published_port, p.protocol, p.publish_mode);
        old == new || (new.published_port != 0 && place(old) == place(new))
    };
    let ports = &mut spec.endpoint.get_or_insert_default().ports;
    edit.items(ports, named, same, port::publish)
}

fn placement(task: &mut TaskSpec, edits: &Edits) -> Result<()> {
    let on = |list| Edit { list, edits };
    let mut placement = task.placement.take().unwrap_or_default();
    on(List::Constraint).texts(&mut placement.constraints, not_empty)?;
    let spread = |p: &wire::api::PlacementPreference| match &p.preference {
        Some(Preference::Spread(over)) => format!("spread={}", over.spread_descriptor),
        None => String::new(),
    };
    on(List::Preference).items(
        &mut placement.preferences,
        |p, name| spread(p) == name,
        |old, new| old == new,
        |text| resource::preference(text).map(|p| vec![p]),
    )?;
    task.placement = (placement != Placement::default()).then_some(placement);
    generic(task, &on(List::Generic))
}

fn generic(task: &mut TaskSpec, edit: &Edit<'_>) -> Result<()> {
    if edit.edits.added(edit.list).is_empty() && edit.edits.removed(edit.list).is_empty() {
        return Ok(());
    }
    let reservations = task
        .resources
        .get_or_insert_default()
        .reservations
        .get_or_insert_default();
    edit.items(
        &mut reservations.generic,
        |r, name| resource::generic_kind(r) == name,
        |old, new| old == new,
        |text| resource::generic(text).map(|r| vec![r]),
    )
}

fn networks(networks: &mut Vec<NetworkAttachmentConfig>, edit: &Edit<'_>, ids: &Ids) -> Result<()> {
    let id = |name: &str| {
        ids.networks
            .get(name)
            .cloned()
            .unwrap_or_else(|| name.to_owned())
    };
    edit.items(
        networks,
        |n, name| n.target == name || n.target == id(name),
        |old, new| old.target == new.target,
        |text| {
            let mut network = reference::network(text)?;
            network.target = id(&network.target);
            Ok(vec![network])
        },
    )
}

fn identity(container: &mut ContainerSpec, edits: &Edits) -> Result<()> {
    let on = |list| Edit { list, edits };
    on(List::ContainerLabel).map(&mut container.labels)?;
    on(List::Sysctl).map(&mut container.sysctls)?;
    on(List::Group).texts(&mut container.groups, not_empty)?;
    on(List::Env).items(
        &mut container.env,
        |variable, name| env::name(variable) == name,
        |old, new| env::name(old) == env::name(new),
        |text| {
            let lookup = |name: &str| std::env::var(name).ok();
            env::variable(text, lookup).map(|v| v.into_iter().collect())
        },
    )
}

fn files(container: &mut ContainerSpec, edits: &Edits, ids: &Ids) -> Result<()> {
    let on = |list| Edit { list, edits };
    on(List::Mount).items(
        &mut container.mounts,
        |m, target| m.target == target,
        |old, new| old.target == new.target,
        |text| mount::mount(text).map(|m| vec![m]),
    )?;
    let secret = |FileReference { source, file }: FileReference| SecretReference {
        secret_id: ids.secrets.get(&source).cloned().unwrap_or_default(),
        secret_name: source,
        target: Some(SecretTarget::File(file)),
    };
    on(List::Secret).items(
        &mut container.secrets,
        |s, name| s.secret_name == name || s.secret_id == name,
        |old, new| old.target == new.target,
        |text| Ok(vec![secret(reference::file(text)?)]),
    )?;
    let config = |FileReference { source, file }: FileReference| ConfigReference {
        config_id: ids.configs.get(&source).cloned().unwrap_or_default(),
        config_name: source,
        target: Some(ConfigTarget::File(file)),
    };
    on(List::Config).items(
        &mut container.configs,
        |c, name| c.config_name == name || c.config_id == name,
        |old, new| old.target == new.target,
        |text| Ok(vec![config(reference::file(text)?)]),
    )
}

fn resolver(container: &mut ContainerSpec, edits: &Edits) -> Result<()> {
    let on = |list| Edit { list, edits };
    let address = |text: &str| match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err("expected an IP address".to_owned()),
    };
    let mut dns = container.dns_config.take().unwrap_or_default();
    on(List::Dns).texts(&mut dns.nameservers, address)?;
    on(List::DnsOption).texts(&mut dns.options, not_empty)?;
    on(List::DnsSearch).texts(&mut dns.search, not_empty)?;
    container.dns_config = (dns != DnsConfig::default()).then_some(dns);
    on(List::Host).items(
        &mut container.hosts,
        |line, name| {
            resource::host(name).is_ok_and(|wanted| wanted == *line)
                || line.split_whitespace().nth(1) == Some(name)
        },
        |old, new| old == new,
        |text| resource::host(text).map(|h| vec![h]),
    )
}

fn limits(container: &mut ContainerSpec, edits: &Edits) -> Result<()> {
    let on = |list| Edit { list, edits };
    on(List::Ulimit).items(
        &mut container.ulimits,
        |u, name| u.name == name,
        |old, new| old.name == new.name,
        |text| resource::ulimit(text).map(|u| vec![u]),
    )?;
    let capabilities = |list: List| -> Vec<String> {
        edits
            .added(list)
            .iter()
            .map(|text| capability(text))
            .collect()
    };
    let (add, drop) = (capabilities(List::CapAdd), capabilities(List::CapDrop));
    move_into(&mut container.capability_add, &add, &drop);
    move_into(&mut container.capability_drop, &drop, &add);
    Ok(())
}

fn capability(text: &str) -> String {
    let name = text.to_uppercase();
    match name.as_str() {
        "ALL" => name,
        _ if name.starts_with("CAP_") => name,
        _ => format!("CAP_{name}"),
    }
}

/// A capability that is added is no longer dropped, and the other way round.
fn move_into(items: &mut Vec<String>, gained: &[String], lost: &[String]) {
    items.retain(|item| !lost.contains(item));
    for item in gained {
        if !items.contains(item) {
            items.push(item.clone());
        }
    }
}
