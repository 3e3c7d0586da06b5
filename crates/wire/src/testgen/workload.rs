//! Random services, tasks and containers.

use std::sync::Arc;
use std::time::Duration;

use types::container::{
    BindOptions, ConfigReference, ConfigTarget, CredentialSpec, DnsConfig, FileTarget, Healthcheck,
    Isolation, Mount, MountKind, Privileges, Propagation, PullOptions, Seccomp, SecretReference,
    SelinuxContext, TmpfsOptions, Ulimit, VolumeOptions,
};
use types::options::{
    Concurrency, Dependency, DependencyCondition, MissedRuns, Rebalance, Schedule,
};
use types::resources::ResourceRequirements;
use types::service::{
    Endpoint, EndpointSpec, FailureAction, JobStatus, PortConfig, Protocol, PublishMode,
    ResolutionMode, UpdateConfig, UpdateOrder, UpdateState, UpdateStatus, VirtualIp,
};
use types::task::{
    ContainerStatus, Placement, PlacementPreference, ResourceKind, ResourceReference,
    RestartCondition, RestartPolicy, Runtime, VolumeAttachment,
};
use types::{
    ConfigId, ContainerSpec, Entropy, NetworkId, NodeId, SecretId, Service, ServiceId, ServiceMode,
    ServiceOptions, ServiceSpec, Strategy, Task, TaskId, TaskSpec, TaskStatus, VolumeId,
};

use super::Gen;

/// Services.
impl Gen {
    /// A service.
    pub fn service(&mut self) -> Service {
        Service {
            id: ServiceId::random(&mut self.0),
            meta: self.meta(),
            spec: Arc::new(self.service_spec()),
            spec_version: self.number(),
            previous_spec: self.maybe(Self::service_spec).map(Arc::new),
            previous_spec_version: self.maybe(Self::number),
            endpoint: self.maybe(Self::endpoint).map(Arc::new),
            update_status: self.maybe(|g| UpdateStatus {
                state: g.pick(&[
                    UpdateState::Unknown,
                    UpdateState::Updating,
                    UpdateState::Paused,
                    UpdateState::Completed,
                    UpdateState::RollbackStarted,
                    UpdateState::RollbackPaused,
                    UpdateState::RollbackCompleted,
                ]),
                started_at: g.moment(),
                completed_at: g.moment(),
                message: g.text(),
            }),
            job_status: self.maybe(|g| JobStatus {
                iteration: g.number(),
                last_execution: g.moment(),
            }),
        }
    }

    /// A service spec.
    pub fn service_spec(&mut self) -> ServiceSpec {
        let mode = match self.0.below(4) {
            0 => ServiceMode::Global,
            1 => ServiceMode::GlobalJob,
            2 => ServiceMode::Replicated {
                replicas: self.number(),
            },
            _ => ServiceMode::ReplicatedJob {
                max_concurrent: self.number(),
                total_completions: self.number(),
            },
        };
        ServiceSpec {
            annotations: self.annotations(),
            task: self.task_spec(),
            mode,
            update: self.maybe(Self::update_config),
            rollback: self.maybe(Self::update_config),
            networks: self.list(Self::attachment_config),
            endpoint: self.maybe(Self::endpoint_spec),
            options: self.service_options(),
        }
    }

    fn service_options(&mut self) -> ServiceOptions {
        ServiceOptions {
            strategy: self.maybe(Self::strategy),
            priority: self.0.below(101) as u8,
            affinities: self.list(|g| format!("service=={}", g.number())),
            depends_on: self.list(|g| Dependency {
                service: format!("svc{}", g.number()),
                condition: g.pick(&[DependencyCondition::Healthy, DependencyCondition::Completed]),
            }),
            schedule: self.maybe(|g| Schedule {
                time_zone: g.pick(&["", "Europe/Berlin"]).to_owned(),
                concurrency: g.pick(&[
                    Concurrency::Allow,
                    Concurrency::Forbid,
                    Concurrency::Replace,
                ]),
                missed: g.pick(&[MissedRuns::Skip, MissedRuns::Once]),
                history: g.half(),
                ..Schedule::of("*/5 * * * *")
            }),
            rebalance: self.pick(&[Rebalance::Manual, Rebalance::Auto]),
            progress_deadline: self.maybe(|g| Duration::from_millis(u64::from(g.half()))),
        }
    }

    /// A way of ranking nodes.
    pub(super) fn strategy(&mut self) -> Strategy {
        self.pick(&[Strategy::Spread, Strategy::Binpack, Strategy::Random])
    }

    fn update_config(&mut self) -> UpdateConfig {
        let actions = [
            FailureAction::Pause,
            FailureAction::Continue,
            FailureAction::Rollback,
        ];
        UpdateConfig {
            parallelism: self.number(),
            delay: self.span(),
            failure_action: self.pick(&actions),
            monitor: self.maybe(Self::span),
            max_failure_ratio: self.pick(&[0.0, 0.25, 1.0]),
            order: self.pick(&[UpdateOrder::StopFirst, UpdateOrder::StartFirst]),
        }
    }

    fn endpoint_spec(&mut self) -> EndpointSpec {
        EndpointSpec {
            mode: self.pick(&[ResolutionMode::Vip, ResolutionMode::DnsRoundRobin]),
            ports: self.list(Self::port),
        }
    }

    fn endpoint(&mut self) -> Endpoint {
        Endpoint {
            spec: self.endpoint_spec(),
            ports: self.list(Self::port),
            virtual_ips: self.list(|g| VirtualIp {
                network_id: NetworkId::random(&mut g.0),
                addr: g.text(),
            }),
        }
    }

    fn port(&mut self) -> PortConfig {
        PortConfig {
            name: self.text(),
            protocol: self.pick(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
            target_port: self.half(),
            published_port: self.half(),
            publish_mode: self.pick(&[PublishMode::Ingress, PublishMode::Host]),
        }
    }
}

/// Tasks.
impl Gen {
    /// A task.
    pub fn task(&mut self) -> Task {
        Task {
            id: TaskId::random(&mut self.0),
            meta: self.meta(),
            service_spec: Arc::new(self.service_spec()),
            spec_version: self.maybe(Self::number),
            service_id: self.maybe(|g| ServiceId::random(&mut g.0)),
            slot: self.number(),
            node_id: self.maybe(|g| NodeId::random(&mut g.0)),
            annotations: self.maybe(|g| Box::new(g.annotations())),
            status: self.task_status(),
            desired_state: self.task_state(),
            networks: self.list(Self::attachment).into(),
            endpoint: self.maybe(Self::endpoint).map(Arc::new),
            log_driver: self.maybe(Self::driver).map(Arc::new),
            assigned_generic_resources: self.generics(),
            job_iteration: self.maybe(Self::number),
            volumes: self.volume_attachments(),
        }
    }

    /// Volumes of a task.
    pub fn volume_attachments(&mut self) -> Vec<VolumeAttachment> {
        self.list(|g| VolumeAttachment {
            id: VolumeId::random(&mut g.0),
            source: g.text(),
            target: g.text(),
        })
    }

    /// A task's status.
    pub fn task_status(&mut self) -> TaskStatus {
        TaskStatus {
            timestamp: self.moment(),
            state: self.task_state(),
            message: types::task::message(self.text()),
            err: self.text().into(),
            container: self.maybe(|g| {
                Box::new(ContainerStatus {
                    container_id: g.text(),
                    pid: g.half_signed(),
                    exit_code: g.half_signed(),
                })
            }),
            ports: self.list(Self::port),
            applied_by: self.maybe(|g| NodeId::random(&mut g.0)),
            applied_at: self.moment(),
        }
    }

    fn task_spec(&mut self) -> TaskSpec {
        TaskSpec {
            runtime: self.runtime(),
            resources: ResourceRequirements {
                limits: self.maybe(Self::resources),
                reservations: self.maybe(Self::resources),
                swap_bytes: self.maybe(Self::signed),
                memory_swappiness: self.maybe(Self::signed),
            },
            restart: self.maybe(Self::restart),
            placement: self.maybe(|g| Placement {
                constraints: g.texts(),
                preferences: g.list(|g| PlacementPreference::Spread {
                    descriptor: g.text(),
                }),
                platforms: g.list(Self::platform),
                max_replicas: g.number(),
            }),
            log_driver: self.maybe(Self::driver),
            networks: self.list(Self::attachment_config),
            force_update: self.number(),
            resource_references: self.list(|g| ResourceReference {
                resource_id: g.text(),
                kind: g.pick(&[
                    ResourceKind::Task,
                    ResourceKind::Secret,
                    ResourceKind::Config,
                    ResourceKind::Volume,
                ]),
            }),
        }
    }

    fn restart(&mut self) -> RestartPolicy {
        let conditions = [
            RestartCondition::None,
            RestartCondition::OnFailure,
            RestartCondition::Any,
        ];
        RestartPolicy {
            condition: self.pick(&conditions),
            delay: self.maybe(Self::span),
            max_attempts: self.number(),
            window: self.maybe(Self::span),
        }
    }

    fn runtime(&mut self) -> Runtime {
        match self.0.below(4) {
            0 => Runtime::Attachment {
                container_id: self.text(),
            },
            1 => Runtime::Generic {
                kind: self.text(),
                payload_type_url: self.text(),
                payload: self.bytes(),
            },
            _ => Runtime::Container(Box::new(self.container())),
        }
    }
}

/// Containers.
impl Gen {
    /// A container spec.
    pub fn container(&mut self) -> ContainerSpec {
        ContainerSpec {
            image: self.text(),
            labels: self.labels(),
            command: self.texts(),
            args: self.texts(),
            hostname: self.text(),
            env: self.texts(),
            dir: self.text(),
            user: self.text(),
            groups: self.texts(),
            pull_options: self.maybe(|g| PullOptions {
                registry_auth: g.text(),
            }),
            isolation: self.pick(&[Isolation::Default, Isolation::Process, Isolation::Hyperv]),
            pids_limit: self.signed(),
            sysctls: self.labels(),
            capability_add: self.texts(),
            capability_drop: self.texts(),
            ulimits: self.list(|g| Ulimit {
                name: g.text(),
                soft: g.signed(),
                hard: g.signed(),
            }),
            oom_score_adj: self.signed(),
            privileges: self.maybe(Self::privileges),
            init: self.maybe(Self::flip),
            tty: self.flip(),
            open_stdin: self.flip(),
            read_only: self.flip(),
            stop_signal: self.text(),
            stop_grace_period: self.maybe(Self::span),
            mounts: self.list(Self::mount),
            secrets: self.list(Self::secret_reference),
            configs: self.list(Self::config_reference),
            hosts: self.texts(),
            dns: self.maybe(|g| DnsConfig {
                nameservers: g.texts(),
                search: g.texts(),
                options: g.texts(),
            }),
            healthcheck: self.maybe(|g| Healthcheck {
                test: g.texts(),
                interval: g.maybe(Self::span),
                timeout: g.maybe(Self::span),
                retries: g.half() >> 1,
                start_period: g.maybe(Self::span),
                start_interval: g.maybe(Self::span),
            }),
        }
    }

    fn privileges(&mut self) -> Privileges {
        let credential_specs: [fn(String) -> CredentialSpec; 3] = [
            CredentialSpec::File,
            CredentialSpec::Registry,
            CredentialSpec::Config,
        ];
        Privileges {
            credential_spec: self.maybe(|g| g.pick(&credential_specs)(g.text())),
            selinux_context: self.maybe(|g| SelinuxContext {
                disable: g.flip(),
                user: g.text(),
                role: g.text(),
                kind: g.text(),
                level: g.text(),
            }),
            seccomp: self.maybe(|g| match g.0.below(3) {
                0 => Seccomp::Default,
                1 => Seccomp::Unconfined,
                _ => Seccomp::Custom(g.bytes()),
            }),
            apparmor_disabled: self.maybe(Self::flip),
            no_new_privileges: self.flip(),
        }
    }

    fn mount(&mut self) -> Mount {
        let consistency = self.pick(&["", "consistent", "cached", "delegated"]);
        Mount {
            kind: self.pick(&[
                MountKind::Bind,
                MountKind::Volume,
                MountKind::Tmpfs,
                MountKind::Npipe,
                MountKind::Cluster,
            ]),
            source: self.text(),
            target: self.text(),
            readonly: self.flip(),
            consistency: consistency.to_owned(),
            bind: self.maybe(Self::bind_options),
            volume: self.maybe(|g| VolumeOptions {
                nocopy: g.flip(),
                labels: g.labels(),
                driver: g.maybe(Self::driver),
                subpath: g.text(),
            }),
            tmpfs: self.maybe(|g| TmpfsOptions {
                size_bytes: g.signed(),
                mode: g.half(),
                options: g.text(),
            }),
        }
    }

    fn bind_options(&mut self) -> BindOptions {
        BindOptions {
            propagation: self.pick(&[
                Propagation::Rprivate,
                Propagation::Private,
                Propagation::Rshared,
                Propagation::Shared,
                Propagation::Rslave,
                Propagation::Slave,
            ]),
            nonrecursive: self.flip(),
            create_mountpoint: self.flip(),
            readonly_nonrecursive: self.flip(),
            readonly_force_recursive: self.flip(),
        }
    }

    fn file(&mut self) -> FileTarget {
        FileTarget {
            name: self.text(),
            uid: self.text(),
            gid: self.text(),
            mode: self.half(),
        }
    }

    fn secret_reference(&mut self) -> SecretReference {
        SecretReference {
            secret_id: SecretId::random(&mut self.0),
            secret_name: self.text(),
            file: self.maybe(Self::file),
        }
    }

    fn config_reference(&mut self) -> ConfigReference {
        let target = if self.flip() {
            ConfigTarget::Runtime
        } else {
            ConfigTarget::File(self.file())
        };
        ConfigReference {
            config_id: ConfigId::random(&mut self.0),
            config_name: self.text(),
            target,
        }
    }
}
