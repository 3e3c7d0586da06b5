//! Names of objects. The grammars are SwarmKit's.

use types::Annotations;

use crate::problem::Check;

/// Longest name of most objects: they become DNS labels.
const NAME_LEN_MAX: usize = 63;

/// Longest name of a secret or config.
const FILE_NAME_LEN_MAX: usize = 64;

/// A name of a service, network, volume or the cluster:
/// `[a-zA-Z0-9]([-_]*[a-zA-Z0-9]+)*`, at most 63 characters.
pub(crate) fn check_name(check: &mut Check, annotations: &Annotations) {
    let name = &annotations.name;
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    check_shape(check, name, inner, NAME_LEN_MAX, "'-' and '_'");
    check_labels(check, annotations);
}

/// Whether a text can be the name of a service.
pub(crate) fn is_service_name(name: &str) -> bool {
    let mut check = Check::default();
    check_name(&mut check, &Annotations::named(name));
    check.into_problems().is_empty()
}

/// A name of a secret or config: also with dots, at most 64 characters.
pub(crate) fn check_file_name(check: &mut Check, annotations: &Annotations) {
    let name = &annotations.name;
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    check_shape(check, name, inner, FILE_NAME_LEN_MAX, "'-', '_' and '.'");
    check_labels(check, annotations);
}

/// Labels need a key.
pub(crate) fn check_labels(check: &mut Check, annotations: &Annotations) {
    if annotations.labels.contains_key("") {
        check.fail("annotations.labels", "a label has no name");
    }
}

fn check_shape(
    check: &mut Check,
    name: &str,
    inner: impl Fn(char) -> bool,
    len_max: usize,
    punctuation: &str,
) {
    let path = "annotations.name";
    if name.is_empty() {
        return check.fail(path, "a name is required");
    }
    check.require(
        name.len() <= len_max,
        path,
        format_args!(
            "a name has at most {len_max} characters, this has {}",
            name.len()
        ),
    );
    let ends = [name.chars().next(), name.chars().next_back()];
    let ends_well = ends.iter().flatten().all(char::is_ascii_alphanumeric);
    check.require(
        ends_well && name.chars().all(inner),
        path,
        format_args!(
            "{name:?} is not a name: use letters and digits, and {punctuation} between them"
        ),
    );
}
