//! Secrets and configs, told apart only where the API does.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use types::Timestamp;
use wire::api;

use crate::client::{Client, call};
use crate::error::Result;
use crate::out::human;
use crate::parse::filter::Filters;
use crate::{resolve, show};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Never shown again.
    Secret,
    /// Can be read.
    Config,
}

/// One to be created.
pub struct New {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub data: Vec<u8>,
    /// Plugin that has the value.
    pub driver: Option<String>,
    /// Template language of the value.
    pub templating: Option<String>,
}

/// One that exists.
pub struct Entry {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Plugin that has the value; empty for none.
    pub driver: String,
    /// When it was created.
    pub created: Timestamp,
    /// When its labels were changed.
    pub updated: Timestamp,
    meta: Option<api::Meta>,
    spec: Value,
}

macro_rules! entry {
    ($from:ty, $driver:expr, $extra:expr) => {
        impl From<$from> for Entry {
            fn from(object: $from) -> Self {
                let spec = object.spec.unwrap_or_default();
                let annotations = spec.annotations.clone().unwrap_or_default();
                let moment = |of: fn(&api::Meta) -> Option<&prost_types::Timestamp>| {
                    human::moment(object.meta.as_ref().and_then(of))
                };
                let shown = show::annotations(spec.annotations.as_ref());
                Self {
                    id: object.id,
                    driver: $driver(&spec),
                    created: moment(|m| m.created_at.as_ref()),
                    updated: moment(|m| m.updated_at.as_ref()),
                    spec: $extra(shown, &spec)
                        .maybe("Templating", spec.templating.as_ref().map(show::driver))
                        .done(),
                    name: annotations.name,
                    labels: annotations.labels,
                    meta: object.meta,
                }
            }
        }
    };
}

entry!(
    api::Secret,
    |spec: &api::SecretSpec| spec
        .driver
        .as_ref()
        .map(|d| d.name.clone())
        .unwrap_or_default(),
    |shown: show::Fields, spec: &api::SecretSpec| {
        shown.maybe("Driver", spec.driver.as_ref().map(show::driver))
    }
);
entry!(
    api::Config,
    |_: &api::ConfigSpec| String::new(),
    |shown: show::Fields, spec: &api::ConfigSpec| shown.with("Data", STANDARD.encode(&spec.data))
);

impl Entry {
    /// The object as JSON.
    pub fn shown(&self) -> Value {
        show::begin(&self.id, self.meta.as_ref())
            .with("Spec", json!(self.spec))
            .done()
    }
}

impl Kind {
    /// One by name or id.
    ///
    /// # Errors
    /// If there is none or several.
    pub async fn find(self, client: &Client, name: &str) -> Result<Entry> {
        match self {
            Self::Secret => resolve::secret(client, name).await.map(Entry::from),
            Self::Config => resolve::config(client, name).await.map(Entry::from),
        }
    }

    /// All that pass the filters.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub async fn list(self, client: &Client, filters: &Filters) -> Result<Vec<Entry>> {
        let ids = filters.get("id").to_vec();
        let names = filters.get("name").to_vec();
        let labels = filters.labels("label")?;
        match self {
            Self::Secret => {
                let filters = api::list_secrets_request::Filters {
                    id_prefixes: ids,
                    name_prefixes: names,
                    labels,
                    ..Default::default()
                };
                let request = api::ListSecretsRequest {
                    filters: Some(filters),
                };
                let mut control = client.control();
                let listed = call("list the secrets", control.list_secrets(request)).await?;
                Ok(listed.secrets.into_iter().map(Entry::from).collect())
            }
            Self::Config => {
                let filters = api::list_configs_request::Filters {
                    id_prefixes: ids,
                    name_prefixes: names,
                    labels,
                    ..Default::default()
                };
                let request = api::ListConfigsRequest {
                    filters: Some(filters),
                };
                let mut control = client.control();
                let listed = call("list the configs", control.list_configs(request)).await?;
                Ok(listed.configs.into_iter().map(Entry::from).collect())
            }
        }
    }

    /// Creates one and gives its id.
    ///
    /// # Errors
    /// If the cluster refuses.
    pub async fn create(self, client: &Client, new: New) -> Result<String> {
        let driver = |name: String| api::Driver {
            name,
            ..api::Driver::default()
        };
        let annotations = Some(api::Annotations {
            name: new.name.clone(),
            labels: new.labels,
            ..<_>::default()
        });
        let (data, templating) = (new.data.into(), new.templating.map(driver));
        let attempt = format!("create {} {}", self.name(), new.name);
        match self {
            Self::Secret => {
                let driver = new.driver.map(driver);
                let spec = api::SecretSpec {
                    annotations,
                    data,
                    templating,
                    driver,
                };
                let request = api::CreateSecretRequest { spec: Some(spec) };
                let created = call(&attempt, client.control().create_secret(request)).await?;
                Ok(created.secret.unwrap_or_default().id)
            }
            Self::Config => {
                let spec = api::ConfigSpec {
                    annotations,
                    data,
                    templating,
                };
                let request = api::CreateConfigRequest { spec: Some(spec) };
                let created = call(&attempt, client.control().create_config(request)).await?;
                Ok(created.config.unwrap_or_default().id)
            }
        }
    }

    /// Removes one.
    ///
    /// # Errors
    /// If there is none, or services use it.
    pub async fn remove(self, client: &Client, name: &str) -> Result<()> {
        let id = self.find(client, name).await?.id;
        let attempt = format!("remove {} {name}", self.name());
        match self {
            Self::Secret => {
                let request = api::RemoveSecretRequest { secret_id: id };
                call(&attempt, client.control().remove_secret(request))
                    .await
                    .map(drop)
            }
            Self::Config => {
                let request = api::RemoveConfigRequest { config_id: id };
                call(&attempt, client.control().remove_config(request))
                    .await
                    .map(drop)
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}
