//! What a container runs and how.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{ConfigId, SecretId};
use crate::meta::{Driver, Labels};

/// A container of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerSpec {
    /// Image reference.
    pub image: String,
    /// Labels of the container.
    pub labels: Labels,
    /// Replaces the image's entry point.
    pub command: Vec<String>,
    /// Arguments; replace the image's command.
    pub args: Vec<String>,
    /// Host name; may be a template.
    pub hostname: String,
    /// Environment, `NAME=value`; may be templates.
    pub env: Vec<String>,
    /// Working directory.
    pub dir: String,
    /// User, `name|uid[:group|gid]`.
    pub user: String,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Credentials and settings of image pulls.
    pub pull_options: Option<PullOptions>,
    /// Windows isolation.
    pub isolation: Isolation,
    /// Process limit; 0 is unlimited.
    pub pids_limit: i64,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities to add.
    pub capability_add: Vec<String>,
    /// Capabilities to drop.
    pub capability_drop: Vec<String>,
    /// Resource limits of processes.
    pub ulimits: Vec<Ulimit>,
    /// Out-of-memory score adjustment.
    pub oom_score_adj: i64,
    /// Security settings.
    pub privileges: Option<Privileges>,
    /// Run an init process as PID 1.
    pub init: Option<bool>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Root file system is read-only.
    pub read_only: bool,
    /// Signal that asks it to stop; empty takes the image's.
    pub stop_signal: String,
    /// Time between that signal and the kill; `None` takes the default of 10 s.
    pub stop_grace_period: Option<Duration>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Secrets it gets as files.
    pub secrets: Vec<SecretReference>,
    /// Configs it gets as files.
    pub configs: Vec<ConfigReference>,
    /// Extra lines of its hosts file, `IP name [name…]`.
    pub hosts: Vec<String>,
    /// Name service settings.
    pub dns: Option<DnsConfig>,
    /// Health check; `None` takes the image's.
    pub healthcheck: Option<Healthcheck>,
}

/// Settings of image pulls.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// base64url JSON credentials of the registry; never printed.
    pub registry_auth: String,
}

impl std::fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PullOptions { registry_auth: <redacted> }")
    }
}

/// Windows container isolation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// The engine's default.
    #[default]
    Default,
    /// Shared kernel.
    Process,
    /// Own kernel.
    Hyperv,
}

/// A resource limit of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Name, for example `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// Security settings of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Windows credential spec.
    pub credential_spec: Option<CredentialSpec>,
    /// SELinux context.
    pub selinux_context: Option<SelinuxContext>,
    /// Seccomp filter.
    pub seccomp: Option<Seccomp>,
    /// AppArmor is off.
    pub apparmor_disabled: Option<bool>,
    /// Processes cannot gain privileges.
    pub no_new_privileges: bool,
}

/// Where a Windows credential spec comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSpec {
    /// A file on the node.
    File(String),
    /// The node's registry.
    Registry(String),
    /// A config of the cluster.
    Config(String),
}

/// SELinux labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelinuxContext {
    /// Labelling is off.
    pub disable: bool,
    /// User label.
    pub user: String,
    /// Role label.
    pub role: String,
    /// Type label.
    pub kind: String,
    /// Level label.
    pub level: String,
}

/// A seccomp filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// The engine's default filter.
    Default,
    /// No filter.
    Unconfined,
    /// A profile in JSON.
    Custom(Vec<u8>),
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// Kind of source.
    pub kind: MountKind,
    /// Source: path, volume name, `group:NAME`; may be a template.
    pub source: String,
    /// Path in the container; may be a template.
    pub target: String,
    /// Not writable.
    pub readonly: bool,
    /// Consistency hint (Docker Desktop).
    pub consistency: String,
    /// Settings of bind mounts.
    pub bind: Option<BindOptions>,
    /// Settings of volumes.
    pub volume: Option<VolumeOptions>,
    /// Settings of tmpfs.
    pub tmpfs: Option<TmpfsOptions>,
}

/// Kind of mount source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountKind {
    /// A path of the node.
    #[default]
    Bind,
    /// A volume of the engine.
    Volume,
    /// Memory.
    Tmpfs,
    /// A Windows named pipe.
    Npipe,
    /// A volume of the cluster.
    Cluster,
}

/// Settings of bind mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// Mount propagation.
    pub propagation: Propagation,
    /// Do not bind submounts.
    pub nonrecursive: bool,
    /// Make the source if it is missing.
    pub create_mountpoint: bool,
    /// Read-only does not reach submounts.
    pub readonly_nonrecursive: bool,
    /// Fail if read-only cannot reach submounts.
    pub readonly_force_recursive: bool,
}

/// Mount propagation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// `rprivate`.
    #[default]
    Rprivate,
    /// `private`.
    Private,
    /// `rshared`.
    Rshared,
    /// `shared`.
    Shared,
    /// `rslave`.
    Rslave,
    /// `slave`.
    Slave,
}

/// Settings of volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeOptions {
    /// Do not copy the image's files into a new volume.
    pub nocopy: bool,
    /// Labels of a new volume.
    pub labels: Labels,
    /// Driver of a new volume.
    pub driver: Option<Driver>,
    /// Path within the volume.
    pub subpath: String,
}

/// Settings of tmpfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TmpfsOptions {
    /// Size in bytes; 0 is unlimited.
    pub size_bytes: i64,
    /// File mode.
    pub mode: u32,
    /// Further mount options.
    pub options: String,
}

/// A file a secret or config appears as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// File name or path.
    pub name: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
    /// File mode.
    pub mode: u32,
}

impl FileTarget {
    /// A file that everybody in the container may read, owned by root: Docker's default.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            uid: "0".into(),
            gid: "0".into(),
            mode: 0o444,
        }
    }
}

/// A secret a task may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// Id.
    pub secret_id: SecretId,
    /// Name, which must match the id's.
    pub secret_name: String,
    /// Where it appears.
    pub file: Option<FileTarget>,
}

/// A config a task may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigReference {
    /// Id.
    pub config_id: ConfigId,
    /// Name, which must match the id's.
    pub config_name: String,
    /// Where it appears.
    pub target: ConfigTarget,
}

/// Where a config appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigTarget {
    /// As a file.
    File(FileTarget),
    /// Not mounted; read by the runtime.
    Runtime,
}

/// Name service settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Servers.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", …]`; empty takes the image's.
    pub test: Vec<String>,
    /// Time between checks.
    pub interval: Option<Duration>,
    /// Time after which a check has failed.
    pub timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy; 0 takes the engine's default.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between checks in the start period.
    pub start_interval: Option<Duration>,
}
