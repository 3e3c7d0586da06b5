//! `--mount type=…,source=…,target=…`.

use wire::api::Mount;
use wire::api::mount::bind_options::Propagation;
use wire::api::mount::{BindOptions, Consistency, TmpfsOptions, Type, VolumeOptions};

use super::keyed::{label, pairs, truth};
use super::scalar::size;

type Result<T> = std::result::Result<T, String>;

/// Options of each type, set only if one of them was given.
#[derive(Default)]
struct Options {
    bind: Option<BindOptions>,
    volume: Option<VolumeOptions>,
    tmpfs: Option<TmpfsOptions>,
}

/// Reads a mount.
///
/// # Errors
/// If a key is unknown, a value is malformed, or options do not belong to the type.
pub fn mount(text: &str) -> Result<Mount> {
    let mut mount = Mount {
        r#type: Type::Volume.into(),
        ..Mount::default()
    };
    let mut options = Options::default();
    for (key, value) in pairs(text)? {
        match key.as_str() {
            "type" => mount.r#type = kind(&value)?.into(),
            "source" | "src" => mount.source = value,
            "target" | "dst" | "destination" => mount.target = value,
            "readonly" | "ro" => mount.readonly = truth(&key, &value)?,
            "consistency" => mount.consistency = consistency(&value)?.into(),
            _ => option(&mut options, &key, &value)?,
        }
    }
    check(&mount, &options)?;
    mount.bind_options = options.bind;
    mount.volume_options = options.volume;
    mount.tmpfs_options = options.tmpfs;
    Ok(mount)
}

fn kind(value: &str) -> Result<Type> {
    match value {
        "bind" => Ok(Type::Bind),
        "volume" => Ok(Type::Volume),
        "tmpfs" => Ok(Type::Tmpfs),
        "npipe" => Ok(Type::Npipe),
        "cluster" => Ok(Type::Cluster),
        _ => Err(format!(
            "type must be bind, volume, tmpfs, npipe or cluster, not \"{value}\""
        )),
    }
}

fn consistency(value: &str) -> Result<Consistency> {
    match value {
        "default" | "" => Ok(Consistency::Default),
        "consistent" => Ok(Consistency::Consistent),
        "cached" => Ok(Consistency::Cached),
        "delegated" => Ok(Consistency::Delegated),
        _ => Err("consistency must be consistent, cached or delegated".into()),
    }
}

fn option(options: &mut Options, key: &str, value: &str) -> Result<()> {
    match key.split_once('-') {
        Some(("bind", rest)) => bind(options.bind.get_or_insert_default(), rest, value),
        Some(("volume", rest)) => volume(options.volume.get_or_insert_default(), rest, value),
        Some(("tmpfs", rest)) => tmpfs(options.tmpfs.get_or_insert_default(), rest, value),
        _ => Err(unknown(key)),
    }
}

fn unknown(key: &str) -> String {
    format!("unknown key \"{key}\"")
}

fn bind(options: &mut BindOptions, key: &str, value: &str) -> Result<()> {
    match (key, value) {
        ("propagation", _) => options.propagation = propagation(value)?.into(),
        ("nonrecursive", _) => options.nonrecursive = truth("bind-nonrecursive", value)?,
        ("create-src" | "create-mountpoint", _) => {
            options.createmountpoint = truth("bind-create-src", value)?;
        }
        ("recursive", "enabled") => {}
        ("recursive", "disabled") => options.nonrecursive = true,
        ("recursive", "writable") => options.readonlynonrecursive = true,
        ("recursive", "readonly") => options.readonlyforcerecursive = true,
        ("recursive", _) => {
            return Err("bind-recursive must be enabled, disabled, writable or readonly".into());
        }
        _ => return Err(unknown(&format!("bind-{key}"))),
    }
    Ok(())
}

fn propagation(value: &str) -> Result<Propagation> {
    match value {
        "rprivate" => Ok(Propagation::Rprivate),
        "private" => Ok(Propagation::Private),
        "rshared" => Ok(Propagation::Rshared),
        "shared" => Ok(Propagation::Shared),
        "rslave" => Ok(Propagation::Rslave),
        "slave" => Ok(Propagation::Slave),
        _ => {
            Err("bind-propagation must be one of private, shared, slave, with or without r".into())
        }
    }
}

fn volume(options: &mut VolumeOptions, key: &str, value: &str) -> Result<()> {
    match key {
        "nocopy" => options.nocopy = truth("volume-nocopy", value)?,
        "subpath" => options.subpath = value.to_owned(),
        "label" => options.labels.extend([label(value)?]),
        "driver" => options.driver_config.get_or_insert_default().name = value.to_owned(),
        "opt" => {
            options
                .driver_config
                .get_or_insert_default()
                .options
                .extend([label(value)?]);
        }
        _ => return Err(unknown(&format!("volume-{key}"))),
    }
    Ok(())
}

fn tmpfs(options: &mut TmpfsOptions, key: &str, value: &str) -> Result<()> {
    match key {
        "size" => options.size_bytes = size(value)?,
        "mode" => {
            let mode = u32::from_str_radix(value, 8);
            options.mode = mode.map_err(|_| "tmpfs-mode must be octal, such as 1777")?;
        }
        "options" | "opt" => options.options = value.to_owned(),
        _ => return Err(unknown(&format!("tmpfs-{key}"))),
    }
    Ok(())
}

fn check(mount: &Mount, options: &Options) -> Result<()> {
    if mount.target.is_empty() {
        return Err("target is required".into());
    }
    let kind = mount.r#type();
    let foreign = [
        ("bind", options.bind.is_some() && kind != Type::Bind),
        ("volume", options.volume.is_some() && kind != Type::Volume),
        ("tmpfs", options.tmpfs.is_some() && kind != Type::Tmpfs),
    ];
    if let Some((name, _)) = foreign.iter().find(|(_, wrong)| *wrong) {
        return Err(format!("{name}-* options need type={name}"));
    }
    match kind {
        Type::Tmpfs if !mount.source.is_empty() => Err("a tmpfs mount has no source".into()),
        Type::Bind | Type::Npipe | Type::Cluster if mount.source.is_empty() => {
            Err("source is required for this type".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_reads_its_options() {
        let read = mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave").unwrap();
        assert_eq!((read.r#type(), read.readonly), (Type::Bind, true));
        assert_eq!(
            read.bind_options.unwrap().propagation(),
            Propagation::Rslave
        );
        let read = mount("source=data,target=/d,volume-nocopy,volume-driver=nfs,volume-opt=o=x");
        let volume = read.unwrap().volume_options.unwrap();
        assert!(volume.nocopy);
        assert_eq!(volume.driver_config.unwrap().options["o"], "x");
        let read = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777").unwrap();
        let tmpfs = read.tmpfs_options.unwrap();
        assert_eq!((tmpfs.size_bytes, tmpfs.mode), (1 << 20, 0o1777));
    }

    #[test]
    fn a_bad_mount_says_what_is_wrong() {
        let cases = [
            (
                "type=disk,target=/a",
                "type must be bind, volume, tmpfs, npipe or cluster, not \"disk\"",
            ),
            ("type=bind,source=/a", "target is required"),
            ("type=bind,target=/a", "source is required for this type"),
            ("target=/a,tmpfs-size=1m", "tmpfs-* options need type=tmpfs"),
            ("target=/a,colour=red", "unknown key \"colour\""),
            (
                "target=/a,readonly=perhaps",
                "readonly must be true or false, not \"perhaps\"",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(mount(text).unwrap_err(), why, "{text}");
        }
    }
}
