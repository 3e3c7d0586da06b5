//! A state as a stream of objects, for snapshots, and back.

use std::sync::Arc;

use types::{ServiceId, ServiceSpec};

use crate::action::Object;
use crate::state::{Revision, State};

/// One item of an image. Revisions come before tasks, which refer to them.
#[derive(Debug, Clone)]
pub enum ImageItem {
    /// An object with its record facts.
    Object(Object),
    /// A spec version of a service that is kept.
    Revision {
        /// Service.
        service: ServiceId,
        /// Spec version.
        version: u64,
        /// Spec.
        spec: Arc<ServiceSpec>,
    },
}

/// Why an image cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The image holds an object twice.
    #[error("the image holds {0} twice")]
    Twice(String),
}

/// Rebuilds a state from the items of an image.
#[derive(Debug, Default)]
pub struct Image {
    state: State,
}

impl State {
    /// All items in an order that [`Image`] can load.
    pub fn image(&self) -> impl Iterator<Item = ImageItem> {
        let revisions = self
            .revisions
            .iter()
            .map(|((service, version), r)| ImageItem::Revision {
                service: *service,
                version: *version,
                spec: r.spec.clone(),
            });
        let objects = std::iter::empty()
            .chain(self.clusters.iter().cloned().map(Object::Cluster))
            .chain(self.nodes.iter().cloned().map(Object::Node))
            .chain(self.services.iter().cloned().map(Object::Service))
            .chain(self.networks.iter().cloned().map(Object::Network))
            .chain(self.secrets.iter().cloned().map(Object::Secret))
            .chain(self.configs.iter().cloned().map(Object::Config))
            .chain(self.volumes.iter().cloned().map(Object::Volume))
            .chain(self.extensions.iter().cloned().map(Object::Extension))
            .chain(self.resources.iter().cloned().map(Object::Resource))
            .chain(self.tasks.iter().cloned().map(Object::Task));
        revisions.chain(objects.map(ImageItem::Object))
    }
}

impl Image {
    /// An empty image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item.
    ///
    /// # Errors
    /// If the object is there already.
    pub fn add(&mut self, item: ImageItem) -> Result<(), LoadError> {
        match item {
            ImageItem::Revision {
                service,
                version,
                spec,
            } => {
                self.state
                    .revisions
                    .insert((service, version), Revision { spec, tasks: 0 });
                Ok(())
            }
            ImageItem::Object(object) => self.add_object(object),
        }
    }

    fn add_object(&mut self, object: Object) -> Result<(), LoadError> {
        let state = &mut self.state;
        macro_rules! load {
            ($table:ident, $row:expr) => {{
                let row = $row;
                state.time = state.time.max(row.meta.updated_at);
                if state.$table.get(row.id).is_some() {
                    return Err(LoadError::Twice(row.id.to_string()));
                }
                state.digest.add(&*row);
                state.$table.load(row);
            }};
        }
        match object {
            Object::Cluster(row) => load!(clusters, row),
            Object::Node(row) => load!(nodes, row),
            Object::Service(row) => {
                state.keep_revision(&row);
                load!(services, row);
            }
            Object::Task(row) => {
                let row = Arc::new(state.share_spec(Arc::unwrap_or_clone(row)));
                state.count_task(&row, true);
                load!(tasks, row);
            }
            Object::Network(row) => load!(networks, row),
            Object::Secret(row) => load!(secrets, row),
            Object::Config(row) => load!(configs, row),
            Object::Volume(row) => load!(volumes, row),
            Object::Extension(row) => load!(extensions, row),
            Object::Resource(row) => load!(resources, row),
        }
        Ok(())
    }

    /// The state of all items added, at `version`.
    pub fn finish(self, version: u64) -> State {
        State {
            version,
            ..self.state
        }
    }
}
