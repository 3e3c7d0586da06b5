//! What the tasks of a spec need and the cluster no longer has: secrets and configs may be removed
//! while no service asks for them, and yet an earlier spec does.

use store::State;
use types::ServiceSpec;

/// The first secret or config of a spec that was removed, in words. No task of that spec can start.
pub(crate) fn removed(view: &State, spec: &ServiceSpec) -> Option<String> {
    let container = spec.task.container()?;
    let mut secrets = container.secrets.iter();
    let mut configs = container.configs.iter();
    let secret = secrets.find(|r| !view.secrets().contains(r.secret_id));
    let config = configs.find(|r| !view.configs().contains(r.config_id));
    let secret = secret.map(|r| format!("secret {:?}", r.secret_name));
    let config = config.map(|r| format!("config {:?}", r.config_name));
    secret
        .or(config)
        .map(|what| format!("{what} was removed from the cluster"))
}
