//! The container spec of a task as its node sees it: templates expanded, generic resources added
//! to the environment.

use std::collections::BTreeMap;

use types::ContainerSpec;
use types::container::Mount;
use types::resources::GenericResource;

use crate::error::ExecError;
use crate::run::TaskRun;
use crate::template::{Facts, expand_text};

/// The container spec with the templates of its host name, environment and mounts expanded and
/// `DOCKER_RESOURCE_<KIND>` set for each kind of generic resource the task holds.
///
/// # Errors
///
/// [`ExecError::Rejected`] when the task is no container or a template is wrong.
pub fn expand(run: &TaskRun) -> Result<ContainerSpec, ExecError> {
    let mut spec = run.container()?.clone();
    let facts = Facts::of(run);
    let expand = |what: &str, text: &mut String| -> Result<(), ExecError> {
        *text = expand_text(text, &facts)
            .map_err(|error| ExecError::rejected(format!("{what} {text:?}: {error}")))?;
        Ok(())
    };
    expand("host name", &mut spec.hostname)?;
    for line in &mut spec.env {
        expand("environment entry", line)?;
    }
    for mount in &mut spec.mounts {
        expand_mount(mount, &expand)?;
    }
    spec.env
        .extend(resource_env(&run.task.assigned_generic_resources));
    Ok(spec)
}

fn expand_mount(
    mount: &mut Mount,
    expand: &dyn Fn(&str, &mut String) -> Result<(), ExecError>,
) -> Result<(), ExecError> {
    expand("mount source", &mut mount.source)?;
    expand("mount target", &mut mount.target)?;
    let Some(volume) = &mut mount.volume else {
        return Ok(());
    };
    for value in volume.labels.values_mut() {
        expand("volume label", value)?;
    }
    let options = volume
        .driver
        .iter_mut()
        .flat_map(|d| d.options.values_mut());
    for value in options {
        expand("volume driver option", value)?;
    }
    Ok(())
}

/// One `DOCKER_RESOURCE_<KIND>=value[,value…]` for each kind.
fn resource_env(held: &[GenericResource]) -> Vec<String> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for resource in held {
        let value = match resource {
            GenericResource::Discrete { value, .. } => value.to_string(),
            GenericResource::Named { value, .. } => value.clone(),
        };
        values.entry(resource.kind()).or_default().push(value);
    }
    values
        .into_iter()
        .map(|(kind, list)| {
            let name = kind.to_uppercase();
            format!("DOCKER_RESOURCE_{name}={}", list.join(","))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::NodeFacts;
    use crate::testing;
    use types::container::{MountKind, VolumeOptions};

    fn named(kind: &str, value: &str) -> GenericResource {
        GenericResource::Named {
            kind: kind.into(),
            value: value.into(),
        }
    }

    #[test]
    fn templates_of_hostname_env_and_mounts_are_expanded() {
        let task = testing::task("web", |spec| {
            spec.hostname = "{{.Service.Name}}-{{.Task.Slot}}".into();
            spec.env = vec!["NODE={{.Node.Hostname}}".into(), "PLAIN=1".into()];
            spec.mounts = vec![Mount {
                kind: MountKind::Volume,
                source: "data-{{.Task.Slot}}".into(),
                target: "/data/{{.Node.Hostname}}".into(),
                volume: Some(VolumeOptions {
                    labels: [("of".to_owned(), "{{.Service.Name}}".to_owned())].into(),
                    ..VolumeOptions::default()
                }),
                ..Mount::default()
            }];
        });
        let node = NodeFacts {
            hostname: "n1".into(),
            ..NodeFacts::default()
        };
        let spec = expand(&TaskRun::new(task.into(), node)).unwrap();
        assert_eq!(spec.hostname, "web-1");
        assert_eq!(spec.env, ["NODE=n1", "PLAIN=1"]);
        assert_eq!(spec.mounts[0].source, "data-1");
        assert_eq!(spec.mounts[0].target, "/data/n1");
        assert_eq!(spec.mounts[0].volume.as_ref().unwrap().labels["of"], "web");
    }

    #[test]
    fn generic_resources_become_environment_by_kind() {
        let mut task = testing::task("gpu", |_| {});
        task.assigned_generic_resources = vec![
            named("gpu", "UUID1"),
            GenericResource::Discrete {
                kind: "fpga".into(),
                value: 2,
            },
            named("gpu", "UUID2"),
        ];
        let spec = expand(&TaskRun::new(task.into(), NodeFacts::default())).unwrap();
        assert_eq!(
            spec.env,
            ["DOCKER_RESOURCE_FPGA=2", "DOCKER_RESOURCE_GPU=UUID1,UUID2"]
        );
    }

    #[test]
    fn a_wrong_template_is_rejected_with_the_text_and_the_reason() {
        let task = testing::task("web", |spec| spec.env = vec!["A={{.Nope}}".into()]);
        let error = expand(&TaskRun::new(task.into(), NodeFacts::default())).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ExecError::Rejected(_)));
        assert!(
            text.contains("A={{.Nope}}") && text.contains(".Nope"),
            "{text}"
        );
    }
}
