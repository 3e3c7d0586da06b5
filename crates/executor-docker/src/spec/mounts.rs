//! Mounts of a container, and its secrets and configs as mounts.

use bollard::models::{
    HostConfig, Mount as EngineMount, MountBindOptions, MountBindOptionsPropagationEnum,
    MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
};
use executor::ExecError;
use types::ContainerSpec;
use types::container::{BindOptions, Mount, MountKind, Propagation, TmpfsOptions, VolumeOptions};

use super::{map, some, text};
use crate::engine::ApiVersion;
use crate::files::PlacedFile;

/// First API with a path within a volume.
const API_SUBPATH: ApiVersion = ApiVersion(1, 45);

/// First API in which read-only may be forced upon submounts.
const API_READONLY_RECURSIVE: ApiVersion = ApiVersion(1, 44);

/// Adds the mounts of the spec and the task's files.
pub(super) fn add(
    host: &mut HostConfig,
    spec: &ContainerSpec,
    files: &[PlacedFile],
    api: ApiVersion,
) -> Result<(), ExecError> {
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        check(mount, api)?;
        match mount.kind {
            // The structured form of these needs a newer API; the text form is as old as Docker.
            MountKind::Tmpfs if has_options(mount) => {
                let tmpfs = host.tmpfs.get_or_insert_default();
                tmpfs.insert(mount.target.clone(), tmpfs_text(mount));
            }
            MountKind::Bind if creates_source(mount) => {
                host.binds.get_or_insert_default().push(bind_text(mount));
            }
            _ => mounts.push(engine_mount(mount)),
        }
    }
    mounts.extend(files.iter().map(file_mount));
    host.mounts = some(mounts);
    Ok(())
}

fn check(mount: &Mount, api: ApiVersion) -> Result<(), ExecError> {
    let refuse = |why: &str| {
        let target = &mount.target;
        Err(ExecError::rejected(format!(
            "the mount at {target:?} {why}"
        )))
    };
    if !mount.target.starts_with('/') {
        return refuse("needs an absolute target");
    }
    if mount.kind == MountKind::Cluster {
        return refuse("is a cluster volume, which this node cannot attach");
    }
    if mount.kind == MountKind::Bind && !mount.source.starts_with('/') {
        return refuse("needs an absolute source");
    }
    let subpath = mount.volume.as_ref().is_some_and(|v| !v.subpath.is_empty());
    if subpath && api < API_SUBPATH {
        return refuse("names a path within its volume, which needs Docker 26 or newer");
    }
    let forced = mount
        .bind
        .as_ref()
        .is_some_and(|b| b.readonly_force_recursive);
    if forced && api < API_READONLY_RECURSIVE {
        return refuse("forces read-only upon submounts, which needs Docker 25 or newer");
    }
    Ok(())
}

fn has_options(mount: &Mount) -> bool {
    mount
        .tmpfs
        .as_ref()
        .is_some_and(|tmpfs| !tmpfs.options.is_empty())
}

fn creates_source(mount: &Mount) -> bool {
    mount
        .bind
        .as_ref()
        .is_some_and(|bind| bind.create_mountpoint)
}

fn tmpfs_text(mount: &Mount) -> String {
    let mut parts = Vec::new();
    if let Some(tmpfs) = &mount.tmpfs {
        parts.push(tmpfs.options.clone());
        if tmpfs.size_bytes > 0 {
            parts.push(format!("size={}", tmpfs.size_bytes));
        }
        if tmpfs.mode != 0 {
            parts.push(format!("mode={:o}", tmpfs.mode));
        }
    }
    if mount.readonly {
        parts.push("ro".to_owned());
    }
    parts.join(",")
}

fn bind_text(mount: &Mount) -> String {
    let mode = if mount.readonly { "ro" } else { "rw" };
    let propagation = mount
        .bind
        .as_ref()
        .map(|b| b.propagation)
        .unwrap_or_default();
    let propagation = propagation_name(propagation);
    format!("{}:{}:{mode},{propagation}", mount.source, mount.target)
}

fn propagation_name(propagation: Propagation) -> MountBindOptionsPropagationEnum {
    match propagation {
        Propagation::Rprivate => MountBindOptionsPropagationEnum::RPRIVATE,
        Propagation::Private => MountBindOptionsPropagationEnum::PRIVATE,
        Propagation::Rshared => MountBindOptionsPropagationEnum::RSHARED,
        Propagation::Shared => MountBindOptionsPropagationEnum::SHARED,
        Propagation::Rslave => MountBindOptionsPropagationEnum::RSLAVE,
        Propagation::Slave => MountBindOptionsPropagationEnum::SLAVE,
    }
}

fn engine_mount(mount: &Mount) -> EngineMount {
    let typ = match mount.kind {
        MountKind::Bind => MountType::BIND,
        MountKind::Volume => MountType::VOLUME,
        MountKind::Tmpfs => MountType::TMPFS,
        MountKind::Npipe => MountType::NPIPE,
        MountKind::Cluster => MountType::CLUSTER,
    };
    EngineMount {
        target: Some(mount.target.clone()),
        source: text(&mount.source),
        typ: Some(typ),
        read_only: Some(mount.readonly),
        consistency: text(&mount.consistency),
        bind_options: mount.bind.as_ref().map(bind_options),
        volume_options: mount.volume.as_ref().map(volume_options),
        tmpfs_options: mount.tmpfs.as_ref().map(tmpfs_options),
        ..EngineMount::default()
    }
}

fn bind_options(bind: &BindOptions) -> MountBindOptions {
    MountBindOptions {
        propagation: Some(propagation_name(bind.propagation)),
        non_recursive: Some(bind.nonrecursive),
        read_only_non_recursive: bind.readonly_nonrecursive.then_some(true),
        read_only_force_recursive: bind.readonly_force_recursive.then_some(true),
        ..MountBindOptions::default()
    }
}

fn volume_options(volume: &VolumeOptions) -> MountVolumeOptions {
    let driver = volume
        .driver
        .as_ref()
        .map(|driver| MountVolumeOptionsDriverConfig {
            name: text(&driver.name),
            options: Some(map(&driver.options)),
        });
    MountVolumeOptions {
        no_copy: Some(volume.nocopy),
        labels: Some(map(&volume.labels)),
        driver_config: driver,
        subpath: text(&volume.subpath),
    }
}

fn tmpfs_options(tmpfs: &TmpfsOptions) -> MountTmpfsOptions {
    MountTmpfsOptions {
        size_bytes: (tmpfs.size_bytes > 0).then_some(tmpfs.size_bytes),
        mode: (tmpfs.mode != 0).then_some(i64::from(tmpfs.mode)),
        options: None,
    }
}

fn file_mount(file: &PlacedFile) -> EngineMount {
    EngineMount {
        target: Some(file.target.clone()),
        source: Some(file.source.display().to_string()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..EngineMount::default()
    }
}
