//! `--update-*` and `--rollback-*`: the same flags for two policies.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use wire::api::UpdateConfig;
use wire::api::update_config::{FailureAction, UpdateOrder};

use crate::parse::scalar;

/// Flags of one policy; what was not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    parallelism: Option<u64>,
    delay: Option<Duration>,
    monitor: Option<Duration>,
    failure_action: Option<String>,
    max_failure_ratio: Option<f32>,
    order: Option<String>,
}

/// Both policies.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// How tasks are replaced by an update.
    pub update: Policy,
    /// How they go back.
    pub rollback: Policy,
}

fn policy_args(prefix: &str, what: &str, actions: &'static [&'static str]) -> Vec<Arg> {
    let arg = |name: &str, value: &'static str, help: &str| {
        let id = format!("{prefix}-{name}");
        Arg::new(id.clone())
            .long(id)
            .value_name(value)
            .help(help.replace("{}", what))
    };
    vec![
        arg(
            "parallelism",
            "N",
            "Tasks replaced at the same time by {} (0 for all, default 1)",
        )
        .value_parser(value_parser!(u64)),
        arg(
            "delay",
            "DURATION",
            "Pause between two groups of tasks during {} (default 0s)",
        )
        .value_parser(scalar::duration),
        arg(
            "monitor",
            "DURATION",
            "Time that a task is watched for failure after {} (default 5s)",
        )
        .value_parser(scalar::duration),
        arg(
            "failure-action",
            "ACTION",
            "What happens when {} fails (default pause)",
        )
        .value_parser(PossibleValuesParser::new(actions)),
        arg(
            "max-failure-ratio",
            "RATIO",
            "Share of failed tasks that {} tolerates (default 0)",
        )
        .value_parser(scalar::ratio),
        arg(
            "order",
            "ORDER",
            "Whether {} stops the old task first or starts the new one first (default stop-first)",
        )
        .value_parser(["stop-first", "start-first"]),
    ]
}

impl Policy {
    fn read(matches: &ArgMatches, prefix: &str) -> Self {
        let id = |name: &str| format!("{prefix}-{name}");
        Self {
            parallelism: matches.get_one(&id("parallelism")).copied(),
            delay: matches.get_one(&id("delay")).copied(),
            monitor: matches.get_one(&id("monitor")).copied(),
            failure_action: matches.get_one(&id("failure-action")).cloned(),
            max_failure_ratio: matches.get_one(&id("max-failure-ratio")).copied(),
            order: matches.get_one(&id("order")).cloned(),
        }
    }

    /// Changes a policy where a flag was given; without any flag there may go on to be none.
    pub fn apply(&self, config: &mut Option<UpdateConfig>) {
        if *self == Self::default() {
            return;
        }
        let config = config.get_or_insert_with(|| UpdateConfig {
            parallelism: types::defaults::UPDATE_CONFIG.parallelism,
            ..UpdateConfig::default()
        });
        if let Some(parallelism) = self.parallelism {
            config.parallelism = parallelism;
        }
        if let Some(delay) = self.delay {
            config.delay = Some(scalar::wire_duration(delay));
        }
        if let Some(monitor) = self.monitor {
            config.monitor = Some(scalar::wire_duration(monitor));
        }
        if let Some(ratio) = self.max_failure_ratio {
            config.max_failure_ratio = ratio;
        }
        if let Some(action) = &self.failure_action {
            config.set_failure_action(match action.as_str() {
                "continue" => FailureAction::Continue,
                "rollback" => FailureAction::Rollback,
                _ => FailureAction::Pause,
            });
        }
        if let Some(order) = &self.order {
            config.set_order(match order.as_str() {
                "start-first" => UpdateOrder::StartFirst,
                _ => UpdateOrder::StopFirst,
            });
        }
    }
}

impl Args for Policies {
    fn augment_args(command: Command) -> Command {
        let update = policy_args("update", "an update", &["pause", "continue", "rollback"]);
        let rollback = policy_args("rollback", "a rollback", &["pause", "continue"]);
        command
            .next_help_heading("Update and rollback")
            .args(update)
            .args(rollback)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Policies {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let update = Policy::read(matches, "update");
        Ok(Self {
            update,
            rollback: Policy::read(matches, "rollback"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
