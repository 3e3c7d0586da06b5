//! Secrets, configs, networks, extensions, resources and volumes: declared, read, removed.

use std::sync::Arc;

use store::{Draft, Key, Record, State};
use types::{
    Annotations, Config, ConfigId, ConfigSpec, Entropy, Extension, ExtensionId, Meta, Network,
    NetworkId, NetworkSpec, Resource, ResourceId, Secret, SecretId, SecretSpec,
};
use wire::api;

use crate::crud;
use crate::error::ControlError;
use crate::filter::Common;
use crate::service::names;

type Result<T> = std::result::Result<T, ControlError>;

/// Creates a secret.
pub fn create_secret(
    draft: &mut Draft,
    spec: SecretSpec,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Secret>> {
    validate::secret(&spec)?;
    let id = SecretId::random(entropy);
    let secret = Secret {
        id,
        meta: Meta::default(),
        spec,
        internal: false,
    };
    crud::create(draft, secret, State::secrets)
}

/// Changes the labels of a secret; nothing else of it can change.
pub fn update_secret(
    draft: &mut Draft,
    id: &str,
    version: u64,
    spec: SecretSpec,
) -> Result<Arc<Secret>> {
    let mut secret = Secret::clone(crud::find(draft.state().secrets(), id)?);
    let given = SecretSpec {
        annotations: secret.spec.annotations.clone(),
        ..spec.clone()
    };
    let same_data = spec.data.is_empty() || spec.data == secret.spec.data;
    let given = SecretSpec {
        data: secret.spec.data.clone(),
        ..given
    };
    only_labels(
        "secret",
        same_data && given == secret.spec,
        &secret.spec.annotations,
        &spec.annotations,
    )?;
    secret.meta.version = version;
    secret.spec.annotations = spec.annotations;
    crud::update(draft, secret, State::secrets)
}

/// Removes a secret that no service uses.
pub fn remove_secret(draft: &mut Draft, id: &str) -> Result<()> {
    let secret = crud::find(draft.state().secrets(), id)?.clone();
    let users = names(draft.state().services_using_secret(secret.id));
    unused("secret", secret.name(), &users)?;
    crud::remove(draft, Key::Secret(secret.id))
}

/// Creates a config.
pub fn create_config(
    draft: &mut Draft,
    spec: ConfigSpec,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Config>> {
    validate::config(&spec)?;
    let id = ConfigId::random(entropy);
    crud::create(
        draft,
        Config {
            id,
            meta: Meta::default(),
            spec,
        },
        State::configs,
    )
}

/// Changes the labels of a config; nothing else of it can change.
pub fn update_config(
    draft: &mut Draft,
    id: &str,
    version: u64,
    spec: ConfigSpec,
) -> Result<Arc<Config>> {
    let mut config = Config::clone(crud::find(draft.state().configs(), id)?);
    let given = ConfigSpec {
        annotations: config.spec.annotations.clone(),
        ..spec.clone()
    };
    only_labels(
        "config",
        given == config.spec,
        &config.spec.annotations,
        &spec.annotations,
    )?;
    config.meta.version = version;
    config.spec.annotations = spec.annotations;
    crud::update(draft, config, State::configs)
}

/// Removes a config that no service uses.
pub fn remove_config(draft: &mut Draft, id: &str) -> Result<()> {
    let config = crud::find(draft.state().configs(), id)?.clone();
    let users = names(draft.state().services_using_config(config.id));
    unused("config", config.name(), &users)?;
    crud::remove(draft, Key::Config(config.id))
}

/// Creates a network record.
pub fn create_network(
    draft: &mut Draft,
    spec: NetworkSpec,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Network>> {
    validate::network(&spec)?;
    if spec.ingress && draft.state().networks().iter().any(|n| n.spec.ingress) {
        return Err(ControlError::Exists(
            "there is an ingress network already".into(),
        ));
    }
    let network = Network {
        id: NetworkId::random(entropy),
        meta: Meta::default(),
        spec,
        driver_state: None,
        ipam: None,
        pending_delete: false,
    };
    crud::create(draft, network, State::networks)
}

/// A network by id, or else by name.
pub fn find_network<'a>(state: &'a State, id: &str, name: &str) -> Result<&'a Arc<Network>> {
    if !id.is_empty() {
        return crud::find(state.networks(), id);
    }
    if name.is_empty() {
        return Err(ControlError::Argument(
            "network id or name is required".into(),
        ));
    }
    let found = state.networks().by_name(name).next();
    found.ok_or_else(|| ControlError::not_found(store::Kind::Network, name))
}

/// Removes a network that nothing uses.
pub fn remove_network(draft: &mut Draft, id: &str, name: &str) -> Result<()> {
    let network = find_network(draft.state(), id, name)?.clone();
    if network
        .spec
        .annotations
        .labels
        .contains_key(PREDEFINED_LABEL)
    {
        let text = format!(
            "network {} is predefined and cannot be removed",
            network.name()
        );
        return Err(ControlError::Precondition(text));
    }
    let users = names(draft.state().services_using_network(network.id));
    if !users.is_empty() {
        let text = format!(
            "network {} is in use by service {}; remove it there first",
            network.name(),
            users.join(", ")
        );
        return Err(ControlError::Precondition(text));
    }
    crud::remove(draft, Key::Network(network.id))
}

/// Marks networks that every engine has.
pub const PREDEFINED_LABEL: &str = "com.docker.swarm.predefined";

/// Registers a kind of resource.
pub fn create_extension(
    draft: &mut Draft,
    annotations: Annotations,
    description: String,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Extension>> {
    required_name(&annotations)?;
    let id = ExtensionId::random(entropy);
    let extension = Extension {
        id,
        meta: Meta::default(),
        annotations,
        description,
    };
    crud::create(draft, extension, State::extensions)
}

/// Removes an extension that no resource belongs to.
pub fn remove_extension(draft: &mut Draft, id: &str) -> Result<()> {
    let extension = crud::find(draft.state().extensions(), id)?.clone();
    let kind = &extension.annotations.name;
    if draft.state().resources().iter().any(|r| r.kind == *kind) {
        let text = format!("resources of kind {kind} exist; remove them first");
        return Err(ControlError::Precondition(text));
    }
    crud::remove(draft, Key::Extension(extension.id))
}

/// Creates a resource of a registered kind.
pub fn create_resource(
    draft: &mut Draft,
    request: api::CreateResourceRequest,
    entropy: &mut dyn Entropy,
) -> Result<Arc<Resource>> {
    let annotations = Annotations::from(request.annotations.unwrap_or_default());
    required_name(&annotations)?;
    let payload = request.payload.unwrap_or_default();
    let resource = Resource {
        id: ResourceId::random(entropy),
        meta: Meta::default(),
        annotations,
        kind: request.kind,
        payload_type_url: payload.type_url,
        payload: payload.value.into(),
    };
    crud::create(draft, resource, State::resources)
}

/// Changes the annotations (not the name) and the payload of a resource.
pub fn update_resource(
    draft: &mut Draft,
    request: api::UpdateResourceRequest,
) -> Result<Arc<Resource>> {
    let version = crud::version(request.resource_version)?;
    let found = crud::find(draft.state().resources(), &request.resource_id)?;
    let mut resource = Resource::clone(found);
    resource.meta.version = version;
    if let Some(annotations) = request.annotations.map(Annotations::from) {
        if annotations.name != resource.annotations.name {
            let text = "annotations.name: renaming a resource is not supported";
            return Err(ControlError::Argument(text.into()));
        }
        resource.annotations = annotations;
    }
    if let Some(payload) = request.payload {
        resource.payload_type_url = payload.type_url;
        resource.payload = payload.value.into();
    }
    crud::update(draft, resource, State::resources)
}

/// Removes a resource.
pub fn remove_resource(draft: &mut Draft, id: &str) -> Result<()> {
    let id = crud::find(draft.state().resources(), id)?.id;
    crud::remove(draft, Key::Resource(id))
}

/// Objects that pass the common filters.
pub fn list<'a, T: Record + 'a>(
    rows: impl Iterator<Item = &'a Arc<T>>,
    filter: &Common<'_>,
) -> Vec<&'a Arc<T>>
where
    T::Id: 'static,
{
    let none = Annotations::default();
    rows.filter(|row| {
        let annotations = row.annotations().unwrap_or(&none);
        filter.matches(&row.id(), row.name(), &annotations.labels)
    })
    .collect()
}

fn required_name(annotations: &Annotations) -> Result<()> {
    if annotations.name.is_empty() {
        return Err(ControlError::Argument(
            "annotations.name: is required".into(),
        ));
    }
    Ok(())
}

fn only_labels(kind: &str, same: bool, old: &Annotations, new: &Annotations) -> Result<()> {
    if same && old.name == new.name && old.indices == new.indices {
        return Ok(());
    }
    Err(ControlError::Argument(format!(
        "only updates to Labels are allowed; create another {kind} and update the services that \
         use this one"
    )))
}

fn unused(kind: &str, name: &str, users: &[String]) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let services = if users.len() == 1 {
        "service"
    } else {
        "services"
    };
    Err(ControlError::Argument(format!(
        "{kind} '{name}' is in use by the following {services}: {}",
        users.join(", ")
    )))
}
