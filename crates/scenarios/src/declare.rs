//! Services from words such as `replicas=3 image=v2 order=start-first`.

use std::time::Duration;

use types::options::{Schedule, ServiceOptions};
use types::service::{
    EndpointSpec, FailureAction, PortConfig, PublishMode, UpdateConfig, UpdateOrder,
};
use types::task::{Placement, PlacementPreference, RestartCondition, RestartPolicy};
use types::{Annotations, ContainerSpec, Resources, Runtime, ServiceMode, ServiceSpec};

use crate::words::{number, pair, span};

/// A service under construction.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its spec.
    pub spec: ServiceSpec,
}

type Result<T = ()> = std::result::Result<T, String>;

impl Declared {
    /// A replicated service with one task of the image `v1`.
    pub fn new(name: &str) -> Self {
        let mut declared = Self {
            spec: ServiceSpec {
                annotations: Annotations::named(name),
                mode: ServiceMode::Replicated { replicas: 1 },
                ..ServiceSpec::default()
            },
        };
        declared.image("v1");
        declared
    }

    /// Applies words to it.
    ///
    /// # Errors
    /// If one is unknown or its value makes no sense.
    pub fn apply(&mut self, words: &[String]) -> Result {
        for word in words {
            let (key, value) = pair(word);
            self.set(key, value)
                .map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result {
        let known = self.set_what(key, value)?
            || self.set_where(key, value)?
            || self.set_update(key, value)?
            || self.set_restart(key, value)?
            || set_option(&mut self.spec.options, key, value)?
            || self.set_schedule(key, value)?;
        if known {
            Ok(())
        } else {
            Err("is not known".to_owned())
        }
    }

    fn image(&mut self, image: &str) {
        self.spec.task.runtime = Runtime::Container(Box::new(ContainerSpec {
            image: image.to_owned(),
            ..ContainerSpec::default()
        }));
    }

    fn set_what(&mut self, key: &str, value: &str) -> Result<bool> {
        let mode = &mut self.spec.mode;
        match (key, value) {
            ("image", image) => self.image(image),
            ("force", _) => self.spec.task.force_update += 1,
            ("replicas", n) => {
                *mode = ServiceMode::Replicated {
                    replicas: number(n)?,
                }
            }
            ("mode", "global") => *mode = ServiceMode::Global,
            ("mode", "global-job") => *mode = ServiceMode::GlobalJob,
            ("completions", n) => {
                let total_completions = number(n)?;
                *mode = ServiceMode::ReplicatedJob {
                    max_concurrent: total_completions,
                    total_completions,
                };
            }
            ("at-a-time", n) => {
                if let ServiceMode::ReplicatedJob { max_concurrent, .. } = mode {
                    *max_concurrent = number(n)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn reserve(&mut self) -> &mut Resources {
        self.spec
            .task
            .resources
            .reservations
            .get_or_insert_default()
    }

    fn place(&mut self) -> &mut Placement {
        self.spec.task.placement.get_or_insert_default()
    }

    fn set_where(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "cpu" => self.reserve().nano_cpus = number::<i64>(value)? * 1_000_000_000,
            "memory" => self.reserve().memory_bytes = number::<i64>(value)? << 20,
            "constraint" => self.place().constraints.push(value.to_owned()),
            "max-per-node" => self.place().max_replicas = number(value)?,
            "spread" => self.place().preferences.push(PlacementPreference::Spread {
                descriptor: value.to_owned(),
            }),
            "port" => {
                let port = number(value)?;
                let endpoint: &mut EndpointSpec = self.spec.endpoint.get_or_insert_default();
                endpoint.ports.push(PortConfig {
                    target_port: port,
                    published_port: port,
                    publish_mode: PublishMode::Host,
                    ..PortConfig::default()
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_update(&mut self, key: &str, value: &str) -> Result<bool> {
        let mut config = self.spec.update.unwrap_or_default();
        match key {
            "parallelism" => config.parallelism = number(value)?,
            "delay" => config.delay = span(value)?,
            "monitor" => config.monitor = Some(span(value)?),
            "order" => {
                config.order = match value {
                    "start-first" => UpdateOrder::StartFirst,
                    "stop-first" => UpdateOrder::StopFirst,
                    _ => return Err("is start-first or stop-first".to_owned()),
                }
            }
            "on-failure" => {
                config.failure_action = match value {
                    "pause" => FailureAction::Pause,
                    "continue" => FailureAction::Continue,
                    "rollback" => FailureAction::Rollback,
                    _ => return Err("is pause, continue or rollback".to_owned()),
                }
            }
            "deadline" => self.spec.options.progress_deadline = Some(span(value)?),
            _ => return Ok(false),
        }
        self.spec.update = Some(config);
        self.spec.rollback = Some(UpdateConfig {
            failure_action: FailureAction::Pause,
            ..config
        });
        Ok(true)
    }

    fn set_restart(&mut self, key: &str, value: &str) -> Result<bool> {
        let mut policy = self
            .spec
            .task
            .restart
            .clone()
            .unwrap_or_else(|| RestartPolicy {
                delay: Some(Duration::from_secs(5)),
                ..RestartPolicy::default()
            });
        match key {
            "restart" => {
                policy.condition = match value {
                    "any" => RestartCondition::Any,
                    "on-failure" => RestartCondition::OnFailure,
                    "none" => RestartCondition::None,
                    _ => return Err("is any, on-failure or none".to_owned()),
                }
            }
            "restart-delay" => policy.delay = Some(span(value)?),
            "attempts" => policy.max_attempts = number(value)?,
            _ => return Ok(false),
        }
        self.spec.task.restart = Some(policy);
        Ok(true)
    }

    fn set_schedule(&mut self, key: &str, value: &str) -> Result<bool> {
        let known = &mut self.spec.options.schedule;
        if key == "schedule" {
            match known {
                Some(schedule) => value.clone_into(&mut schedule.cron),
                None => *known = Some(Schedule::of(value)),
            }
            return Ok(true);
        }
        let Some(schedule) = known else {
            return Ok(false);
        };
        match key {
            "zone" => value.clone_into(&mut schedule.time_zone),
            "overlap" => schedule.concurrency = value.parse()?,
            "missed" => schedule.missed = value.parse()?,
            "history" => schedule.history = number(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn set_option(options: &mut ServiceOptions, key: &str, value: &str) -> Result<bool> {
    match key {
        "strategy" => options.strategy = Some(value.parse()?),
        "priority" => options.priority = number(value)?,
        "affinity" => options.affinities.push(value.to_owned()),
        "depends-on" => options.depends_on.push(value.parse()?),
        "rebalance" => options.rebalance = value.parse()?,
        _ => return Ok(false),
    }
    Ok(true)
}
