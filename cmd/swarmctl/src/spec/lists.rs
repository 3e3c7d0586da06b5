//! Flags that may be repeated. `service create` has `--env`; `service update` has `--env-add` and
//! `--env-rm`. One table describes both.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// A list or map inside a spec that flags add to and take from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Environment variables.
    Env,
    /// Labels of the service.
    Label,
    /// Labels of the containers.
    ContainerLabel,
    /// Mounts.
    Mount,
    /// Published ports.
    Publish,
    /// Placement constraints.
    Constraint,
    /// Affinities.
    Affinity,
    /// Services to wait for.
    DependsOn,
    /// Placement preferences.
    Preference,
    /// Generic resources set aside.
    Generic,
    /// Secrets.
    Secret,
    /// Configs.
    Config,
    /// Networks.
    Network,
    /// Lines of the hosts file.
    Host,
    /// Name servers.
    Dns,
    /// Options of the resolver.
    DnsOption,
    /// Search domains.
    DnsSearch,
    /// Supplementary groups.
    Group,
    /// Capabilities added.
    CapAdd,
    /// Capabilities dropped.
    CapDrop,
    /// Kernel parameters.
    Sysctl,
    /// Ulimits.
    Ulimit,
}

/// How a list appears on the command line.
struct Flag {
    list: List,
    name: &'static str,
    short: Option<char>,
    value: &'static str,
    /// What names an item to take away; `None` where the same flag adds in both commands.
    removed: Option<&'static str>,
    what: &'static str,
}

const fn flag(
    list: List,
    name: &'static str,
    value: &'static str,
    removed: &'static str,
    what: &'static str,
) -> Flag {
    Flag {
        list,
        name,
        short: None,
        value,
        removed: Some(removed),
        what,
    }
}

const fn short(letter: char, flag: Flag) -> Flag {
    Flag {
        short: Some(letter),
        ..flag
    }
}

const fn both_ways(flag: Flag) -> Flag {
    Flag {
        removed: None,
        ..flag
    }
}

const FLAGS: [Flag; 22] = [
    short(
        'e',
        flag(
            List::Env,
            "env",
            "NAME=VALUE",
            "NAME",
            "environment variable",
        ),
    ),
    short(
        'l',
        flag(
            List::Label,
            "label",
            "KEY=VALUE",
            "KEY",
            "label of the service",
        ),
    ),
    flag(
        List::ContainerLabel,
        "container-label",
        "KEY=VALUE",
        "KEY",
        "label of the containers",
    ),
    flag(
        List::Mount,
        "mount",
        "MOUNT",
        "TARGET",
        "mount, such as type=bind,source=/a,target=/b",
    ),
    short(
        'p',
        flag(
            List::Publish,
            "publish",
            "PORT",
            "TARGET-PORT",
            "published port, such as 8080:80 or target=80,mode=host",
        ),
    ),
    flag(
        List::Constraint,
        "constraint",
        "CONSTRAINT",
        "CONSTRAINT",
        "placement constraint, such as node.role==worker",
    ),
    flag(
        List::Affinity,
        "affinity",
        "AFFINITY",
        "AFFINITY",
        "affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)",
    ),
    flag(
        List::DependsOn,
        "depends-on",
        "SERVICE[:CONDITION]",
        "SERVICE",
        "service that must be healthy (or completed) before this one starts",
    ),
    flag(
        List::Preference,
        "placement-pref",
        "PREF",
        "PREF",
        "placement preference, such as spread=node.labels.zone",
    ),
    flag(
        List::Generic,
        "generic-resource",
        "KIND=VALUE",
        "KIND",
        "generic resource to set aside",
    ),
    flag(
        List::Secret,
        "secret",
        "SECRET",
        "SECRET",
        "secret, by name or source=…,target=…",
    ),
    flag(
        List::Config,
        "config",
        "CONFIG",
        "CONFIG",
        "config, by name or source=…,target=…",
    ),
    flag(
        List::Network,
        "network",
        "NETWORK",
        "NETWORK",
        "network, by name or name=…,alias=…",
    ),
    flag(
        List::Host,
        "host",
        "NAME:ADDRESS",
        "NAME:ADDRESS",
        "line of the hosts file",
    ),
    flag(List::Dns, "dns", "ADDRESS", "ADDRESS", "name server"),
    flag(
        List::DnsOption,
        "dns-option",
        "OPTION",
        "OPTION",
        "option of the resolver",
    ),
    flag(
        List::DnsSearch,
        "dns-search",
        "DOMAIN",
        "DOMAIN",
        "search domain",
    ),
    flag(
        List::Group,
        "group",
        "GROUP",
        "GROUP",
        "supplementary group",
    ),
    both_ways(flag(
        List::CapAdd,
        "cap-add",
        "CAPABILITY",
        "",
        "Linux capability to add",
    )),
    both_ways(flag(
        List::CapDrop,
        "cap-drop",
        "CAPABILITY",
        "",
        "Linux capability to drop",
    )),
    flag(
        List::Sysctl,
        "sysctl",
        "KEY=VALUE",
        "KEY",
        "kernel parameter",
    ),
    flag(List::Ulimit, "ulimit", "NAME=SOFT:HARD", "NAME", "ulimit"),
];

/// What to add to and to take from each list.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    add: BTreeMap<List, Vec<String>>,
    remove: BTreeMap<List, Vec<String>>,
    update: bool,
}

impl Edits {
    /// Values to add.
    pub fn added(&self, list: List) -> &[String] {
        self.add.get(&list).map_or(&[], Vec::as_slice)
    }

    /// Names of what to take away.
    pub fn removed(&self, list: List) -> &[String] {
        self.remove.get(&list).map_or(&[], Vec::as_slice)
    }

    /// Adds a value that did not come from the list's own flag, before those that did.
    pub fn prepend(&mut self, list: List, values: Vec<String>) {
        self.add.entry(list).or_default().splice(0..0, values);
    }

    /// Name of the flag that adds.
    pub fn flag(&self, list: List) -> String {
        let flag = FLAGS.iter().find(|f| f.list == list);
        let name = flag.map_or("", |f| f.name);
        match flag.and_then(|f| f.removed) {
            Some(_) if self.update => format!("{name}-add"),
            _ => name.to_owned(),
        }
    }

    fn read(&mut self, matches: &ArgMatches) {
        let get = |name: &str| -> Vec<String> {
            let values = matches.get_many::<String>(name);
            values.map(|v| v.cloned().collect()).unwrap_or_default()
        };
        for flag in &FLAGS {
            let name = self.flag(flag.list);
            self.add.insert(flag.list, get(&name));
            if self.update && flag.removed.is_some() {
                self.remove
                    .insert(flag.list, get(&format!("{}-rm", flag.name)));
            }
        }
    }
}

fn repeated(name: String, value: &'static str, help: String) -> Arg {
    Arg::new(name.clone())
        .long(name)
        .value_name(value)
        .help(help)
        .action(ArgAction::Append)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// The lists of `service create`.
#[derive(Debug, Clone, Default)]
pub struct CreateLists(pub Edits);

impl Args for CreateLists {
    fn augment_args(command: Command) -> Command {
        let args = FLAGS.iter().map(|flag| {
            let arg = repeated(flag.name.to_owned(), flag.value, capital(flag.what));
            if let Some(letter) = flag.short {
                arg.short(letter)
            } else {
                arg
            }
        });
        command
            .next_help_heading("Lists (flags may be repeated)")
            .args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CreateLists {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut lists = Self::default();
        lists.update_from_arg_matches(matches)?;
        Ok(lists)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.read(matches);
        Ok(())
    }
}

/// The lists of `service update`.
#[derive(Debug, Clone)]
pub struct UpdateLists(pub Edits);

impl Default for UpdateLists {
    fn default() -> Self {
        Self(Edits {
            update: true,
            ..Edits::default()
        })
    }
}

impl Args for UpdateLists {
    fn augment_args(command: Command) -> Command {
        let mut args = Vec::new();
        for Flag {
            name,
            value,
            removed,
            what,
            ..
        } in &FLAGS
        {
            let Some(removed) = removed else {
                args.push(repeated((*name).to_owned(), value, capital(what)));
                continue;
            };
            let help = format!("Add or replace: {what}");
            args.push(repeated(format!("{name}-add"), value, help));
            args.push(repeated(
                format!("{name}-rm"),
                removed,
                format!("Remove: {what}"),
            ));
        }
        command
            .next_help_heading("Lists (flags may be repeated)")
            .args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for UpdateLists {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut lists = Self::default();
        lists.update_from_arg_matches(matches)?;
        Ok(lists)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.read(matches);
        Ok(())
    }
}
