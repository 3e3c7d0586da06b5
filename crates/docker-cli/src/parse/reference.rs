//! References to secrets, configs and networks, by name; ids are looked up elsewhere.

use std::collections::BTreeMap;

use wire::api::{FileTarget, NetworkAttachmentConfig};

use super::keyed::{is_long, label, pairs};

type Result<T> = std::result::Result<T, String>;

/// A secret or config by name and the file it becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReference {
    /// Name of the secret or config.
    pub source: String,
    /// The file in the container.
    pub file: FileTarget,
}

/// `NAME`, or `source=NAME,target=FILE,uid=0,gid=0,mode=0444`.
///
/// # Errors
/// If a key is unknown or the source is missing.
pub fn file(text: &str) -> Result<FileReference> {
    let mut source = String::new();
    let mut file = FileTarget::from(&types::container::FileTarget::named(""));
    if !is_long(text) {
        source = text.to_owned();
    } else {
        for (key, value) in pairs(text)? {
            match key.as_str() {
                "source" | "src" => source = value,
                "target" => file.name = value,
                "uid" => file.uid = value,
                "gid" => file.gid = value,
                "mode" => {
                    let mode = u32::from_str_radix(&value, 8);
                    file.mode = mode.map_err(|_| "mode must be octal, such as 0444")?;
                }
                _ => return Err(format!("unknown key \"{key}\"")),
            }
        }
    }
    if source.is_empty() {
        return Err("source is required".into());
    }
    if file.name.is_empty() {
        file.name.clone_from(&source);
    }
    Ok(FileReference { source, file })
}

/// `NAME`, or `name=NAME,alias=A,ip=ADDRESS,driver-opt=K=V`.
///
/// # Errors
/// If a key is unknown or the name is missing.
pub fn network(text: &str) -> Result<NetworkAttachmentConfig> {
    let mut config = NetworkAttachmentConfig::default();
    if !is_long(text) {
        config.target = text.to_owned();
    } else {
        for (key, value) in pairs(text)? {
            match key.as_str() {
                "name" => config.target = value,
                "alias" => config.aliases.push(value),
                "ip" | "ip6" => config.addresses.push(value),
                "driver-opt" => config.driver_attachment_opts.extend([label(&value)?]),
                _ => return Err(format!("unknown key \"{key}\"")),
            }
        }
    }
    match config.target.is_empty() {
        true => Err("the name of a network is required".into()),
        false => Ok(config),
    }
}

/// Ids of what a service refers to by name.
#[derive(Debug, Default, Clone)]
pub struct Ids {
    /// Of secrets.
    pub secrets: BTreeMap<String, String>,
    /// Of configs.
    pub configs: BTreeMap<String, String>,
    /// Of networks.
    pub networks: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_becomes_a_file_of_that_name() {
        let read = file("key").unwrap();
        assert_eq!(
            (read.source.as_str(), read.file.name.as_str()),
            ("key", "key")
        );
        assert_eq!(read.file.mode, 0o444);
        let read = file("source=key,target=/run/k,uid=33,mode=0400").unwrap();
        assert_eq!((read.file.uid.as_str(), read.file.mode), ("33", 0o400));
        assert!(file("target=x").is_err() && file("source=a,mode=9").is_err());
    }

    #[test]
    fn networks_take_aliases() {
        let read = network("name=front,alias=a,alias=b").unwrap();
        assert_eq!(read.aliases, ["a", "b"]);
        assert_eq!(network("front").unwrap().target, "front");
        assert!(network("alias=x").is_err());
    }
}
