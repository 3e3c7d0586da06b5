//! From the engine's description of a container to how far its task got. Pure.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status,
    HealthStatusEnum as Health,
};
use executor::{Exit, ExitCause, FoundState, LABEL_TASK_ID, Started};
use types::TaskId;
use types::service::{PortConfig, Protocol, PublishMode};
use types::task::ContainerStatus;

use crate::time;

/// How far a container got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Never ran.
    Created,
    /// Runs, and its health check has not said yes yet.
    Starting(Started),
    /// Runs.
    Running(Started),
    /// Runs, and its health check says no.
    Unhealthy(Started),
    /// Ended.
    Ended(Exit),
}

impl Phase {
    pub(crate) fn of(inspect: &ContainerInspectResponse) -> Self {
        let default = ContainerState::default();
        let state = inspect.state.as_ref().unwrap_or(&default);
        let health = state.health.as_ref().and_then(|health| health.status);
        let container = ContainerStatus {
            container_id: inspect.id.clone().unwrap_or_default(),
            pid: int32(state.pid),
            exit_code: 0,
        };
        match state.status {
            Some(Status::CREATED) => Self::Created,
            Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => {
                let started = Started {
                    container,
                    ports: published_ports(inspect),
                };
                match health {
                    Some(Health::STARTING) => Self::Starting(started),
                    Some(Health::UNHEALTHY) => Self::Unhealthy(started),
                    _ => Self::Running(started),
                }
            }
            _ => Self::Ended(exit(state, health, container)),
        }
    }

    pub(crate) fn found(self) -> FoundState {
        match self {
            Self::Created => FoundState::Prepared,
            Self::Starting(started) | Self::Running(started) | Self::Unhealthy(started) => {
                FoundState::Running(started)
            }
            Self::Ended(exit) => FoundState::Exited(exit),
        }
    }
}

/// The task a container belongs to.
pub(crate) fn task_of(inspect: &ContainerInspectResponse) -> Option<TaskId> {
    let labels = inspect.config.as_ref()?.labels.as_ref()?;
    labels.get(LABEL_TASK_ID)?.parse().ok()
}

fn exit(state: &ContainerState, health: Option<Health>, container: ContainerStatus) -> Exit {
    let code = int32(state.exit_code);
    let cause = if state.oom_killed == Some(true) {
        ExitCause::OutOfMemory
    } else if health == Some(Health::UNHEALTHY) {
        ExitCause::Unhealthy
    } else {
        ExitCause::Ended
    };
    Exit {
        code,
        cause,
        detail: state.error.clone().unwrap_or_default(),
        at: time::parse(state.finished_at.as_deref().unwrap_or_default()),
        container: ContainerStatus {
            pid: 0,
            exit_code: code,
            ..container
        },
    }
}

fn int32(value: Option<i64>) -> i32 {
    value
        .and_then(|value| i32::try_from(value).ok())
        .unwrap_or_default()
}

/// The ports as the node really publishes them, in order.
fn published_ports(inspect: &ContainerInspectResponse) -> Vec<PortConfig> {
    let ports = inspect
        .network_settings
        .as_ref()
        .and_then(|net| net.ports.as_ref());
    let mut list = Vec::new();
    for (key, bindings) in ports.into_iter().flatten() {
        let Some((target_port, protocol)) = parse_key(key) else {
            continue;
        };
        // One port shows once per address family, mostly with the same number.
        for binding in bindings.iter().flatten() {
            let number = binding
                .host_port
                .as_deref()
                .and_then(|text| text.parse().ok());
            list.extend(number.map(|published_port| PortConfig {
                name: String::new(),
                protocol,
                target_port,
                published_port,
                publish_mode: PublishMode::Host,
            }));
        }
    }
    list.sort();
    list.dedup();
    list
}

fn parse_key(key: &str) -> Option<(u32, Protocol)> {
    let (number, protocol) = key.split_once('/')?;
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = all.into_iter().find(|p| p.name() == protocol)?;
    Some((number.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{Health as HealthState, NetworkSettings, PortBinding};

    fn inspect(status: Status, health: Option<Health>) -> ContainerInspectResponse {
        ContainerInspectResponse {
            id: Some("abc".into()),
            state: Some(ContainerState {
                status: Some(status),
                pid: Some(42),
                exit_code: Some(7),
                finished_at: Some("2026-01-01T00:00:00Z".into()),
                health: health.map(|status| HealthState {
                    status: Some(status),
                    ..HealthState::default()
                }),
                ..ContainerState::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn only_a_healthy_container_counts_as_running() {
        use Phase::{Created, Running, Starting, Unhealthy};
        let phase = |health| Phase::of(&inspect(Status::RUNNING, health));
        assert!(matches!(phase(None), Running(_)));
        assert!(matches!(phase(Some(Health::NONE)), Running(_)));
        assert!(matches!(phase(Some(Health::HEALTHY)), Running(_)));
        assert!(matches!(phase(Some(Health::STARTING)), Starting(_)));
        assert!(matches!(phase(Some(Health::UNHEALTHY)), Unhealthy(_)));
        assert_eq!(Phase::of(&inspect(Status::CREATED, None)), Created);
    }

    #[test]
    fn the_cause_of_an_end_is_told_apart() {
        let cause = |inspect: &ContainerInspectResponse| match Phase::of(inspect) {
            Phase::Ended(exit) => (exit.code, exit.cause),
            other => panic!("{other:?}"),
        };
        let ended = |health| inspect(Status::EXITED, health);
        assert_eq!(cause(&ended(None)), (7, ExitCause::Ended));
        assert_eq!(
            cause(&ended(Some(Health::UNHEALTHY))),
            (7, ExitCause::Unhealthy)
        );
        let mut oom = ended(None);
        oom.state.as_mut().unwrap().oom_killed = Some(true);
        assert_eq!(cause(&oom), (7, ExitCause::OutOfMemory));
    }

    #[test]
    fn a_port_published_for_both_address_families_shows_once() {
        let binding = |ip: &str| PortBinding {
            host_ip: Some(ip.into()),
            host_port: Some("32768".into()),
        };
        let mut inspect = inspect(Status::RUNNING, None);
        let both = Some(vec![binding("0.0.0.0"), binding("::")]);
        inspect.network_settings = Some(NetworkSettings {
            ports: Some([("80/tcp".to_owned(), both), ("53/udp".to_owned(), None)].into()),
            ..NetworkSettings::default()
        });
        let Phase::Running(started) = Phase::of(&inspect) else {
            panic!("it runs");
        };
        assert_eq!(started.ports.len(), 1);
        assert_eq!(
            (
                started.ports[0].target_port,
                started.ports[0].published_port
            ),
            (80, 32768)
        );
    }
}
