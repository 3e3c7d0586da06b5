//! Mounts of a container.

use types::container::{BindOptions, Mount, MountKind, Propagation, TmpfsOptions, VolumeOptions};

use super::{ConvertError, enum_pairs, enumeration, number, optional};
use crate::api;
use crate::api::mount::{self, Consistency, bind_options};

enum_pairs!(mount::Type, MountKind {
    Bind = Bind,
    Volume = Volume,
    Tmpfs = Tmpfs,
    Npipe = Npipe,
    Cluster = Cluster,
});

enum_pairs!(bind_options::Propagation, Propagation {
    Rprivate = Rprivate,
    Private = Private,
    Rshared = Rshared,
    Shared = Shared,
    Rslave = Rslave,
    Slave = Slave,
});

impl TryFrom<api::Mount> for Mount {
    type Error = ConvertError;

    fn try_from(mount: api::Mount) -> Result<Self, ConvertError> {
        Ok(Self {
            kind: enumeration::<mount::Type, _>("type", mount.r#type)?,
            source: mount.source,
            target: mount.target,
            readonly: mount.readonly,
            consistency: consistency_name(mount.consistency)?,
            bind: optional("bind_options", mount.bind_options)?,
            volume: mount.volume_options.map(Into::into),
            tmpfs: mount.tmpfs_options.map(Into::into),
        })
    }
}

impl From<&Mount> for api::Mount {
    fn from(mount: &Mount) -> Self {
        Self {
            r#type: number::<mount::Type, _>(mount.kind),
            source: mount.source.clone(),
            target: mount.target.clone(),
            readonly: mount.readonly,
            bind_options: mount.bind.as_ref().map(Into::into),
            volume_options: mount.volume.as_ref().map(Into::into),
            tmpfs_options: mount.tmpfs.as_ref().map(Into::into),
            consistency: consistency_number(&mount.consistency),
        }
    }
}

fn consistency_name(number: i32) -> Result<String, ConvertError> {
    let name = match enumeration::<Consistency, Consistency>("consistency", number)? {
        Consistency::Default => "",
        Consistency::Consistent => "consistent",
        Consistency::Cached => "cached",
        Consistency::Delegated => "delegated",
    };
    Ok(name.to_owned())
}

/// The hint only matters to Docker Desktop; a name that it does not know means its default.
fn consistency_number(name: &str) -> i32 {
    let consistency = match name {
        "consistent" => Consistency::Consistent,
        "cached" => Consistency::Cached,
        "delegated" => Consistency::Delegated,
        _ => Consistency::Default,
    };
    consistency.into()
}

impl TryFrom<mount::BindOptions> for BindOptions {
    type Error = ConvertError;

    fn try_from(options: mount::BindOptions) -> Result<Self, ConvertError> {
        let propagation = options.propagation;
        Ok(Self {
            propagation: enumeration::<bind_options::Propagation, _>("propagation", propagation)?,
            nonrecursive: options.nonrecursive,
            create_mountpoint: options.createmountpoint,
            readonly_nonrecursive: options.readonlynonrecursive,
            readonly_force_recursive: options.readonlyforcerecursive,
        })
    }
}

impl From<&BindOptions> for mount::BindOptions {
    fn from(options: &BindOptions) -> Self {
        Self {
            propagation: number::<bind_options::Propagation, _>(options.propagation),
            nonrecursive: options.nonrecursive,
            createmountpoint: options.create_mountpoint,
            readonlynonrecursive: options.readonly_nonrecursive,
            readonlyforcerecursive: options.readonly_force_recursive,
        }
    }
}

impl From<mount::VolumeOptions> for VolumeOptions {
    fn from(options: mount::VolumeOptions) -> Self {
        Self {
            nocopy: options.nocopy,
            labels: options.labels,
            driver: options.driver_config.map(Into::into),
            subpath: options.subpath,
        }
    }
}

impl From<&VolumeOptions> for mount::VolumeOptions {
    fn from(options: &VolumeOptions) -> Self {
        Self {
            nocopy: options.nocopy,
            labels: options.labels.clone(),
            driver_config: options.driver.as_ref().map(Into::into),
            subpath: options.subpath.clone(),
        }
    }
}

impl From<mount::TmpfsOptions> for TmpfsOptions {
    fn from(options: mount::TmpfsOptions) -> Self {
        Self {
            size_bytes: options.size_bytes,
            mode: options.mode,
            options: options.options,
        }
    }
}

impl From<&TmpfsOptions> for mount::TmpfsOptions {
    fn from(options: &TmpfsOptions) -> Self {
        let TmpfsOptions {
            size_bytes,
            mode,
            options,
        } = options.clone();
        Self {
            size_bytes,
            mode,
            options,
        }
    }
}
