//! The grammar of image references: `[domain[:port]/]path[:tag][@digest]`, as Docker reads it.

/// Longest repository name, domain included.
const REPOSITORY_LEN_MAX: usize = 255;

/// Longest tag.
const TAG_LEN_MAX: usize = 128;

/// Shortest hexadecimal part of a digest.
const DIGEST_LEN_MIN: usize = 32;

/// Hexadecimal characters of a SHA-256 digest, which are also the characters of an image id.
const SHA256_LEN: usize = 64;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing there.
    #[error("an image is required")]
    Empty,
    /// The repository holds upper-case letters.
    #[error("{0:?} is not an image reference: a repository name is lower-case")]
    UpperCase(String),
    /// The repository is too long.
    #[error("the repository name has {0} characters, at most 255 are allowed")]
    TooLong(usize),
    /// The text is an image id.
    #[error("{0:?} is an image id, which other nodes cannot pull; name a repository")]
    Id(String),
    /// The tag is malformed.
    #[error(
        "{0:?} is not a tag: use up to 128 letters, digits, '_', '.' and '-', the first neither \
         '.' nor '-'"
    )]
    Tag(String),
    /// The digest is malformed.
    #[error("{0:?} is not a digest, such as sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// The domain is malformed.
    #[error("{0:?} is not a registry, such as registry.example.com:5000")]
    Domain(String),
    /// The path is malformed.
    #[error(
        "{0:?} is not a repository: use lower-case letters and digits, with '.', '_', '__' or \
         '-' between them, and '/' between parts"
    )]
    Path(String),
}

/// Checks an image reference.
///
/// # Errors
/// The first part that is malformed.
pub fn parse_image(text: &str) -> Result<(), ImageError> {
    if text.is_empty() {
        return Err(ImageError::Empty);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|d| !is_digest(d)) {
        return Err(ImageError::Digest(digest.unwrap_or_default().to_owned()));
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|t| !is_tag(t)) {
        return Err(ImageError::Tag(tag.unwrap_or_default().to_owned()));
    }
    check_repository(name)?;
    if tag.is_none() && digest.is_none() && is_hex(name) && name.len() == SHA256_LEN {
        return Err(ImageError::Id(name.to_owned()));
    }
    Ok(())
}

fn check_repository(name: &str) -> Result<(), ImageError> {
    let path = match name.split_once('/') {
        Some((first, path)) if is_domain_like(first) => {
            if !is_domain(first) {
                return Err(ImageError::Domain(first.to_owned()));
            }
            path
        }
        _ => name,
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(ImageError::UpperCase(name.to_owned()));
    }
    if path.is_empty() || !path.split('/').all(is_path_part) {
        return Err(ImageError::Path(path.to_owned()));
    }
    if name.len() > REPOSITORY_LEN_MAX {
        return Err(ImageError::TooLong(name.len()));
    }
    Ok(())
}

/// The first part of a name is a registry if it cannot be part of a path.
fn is_domain_like(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit());
    let is_v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match is_v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_domain_part),
    };
    is_host && port.is_none_or(is_port)
}

fn is_domain_part(part: &str) -> bool {
    let ends = [part.chars().next(), part.chars().next_back()];
    ends.iter()
        .all(|c| c.is_some_and(|c| c.is_ascii_alphanumeric()))
        && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Lower-case letters and digits with one '.', one or two '_' or any number of '-' between them.
fn is_path_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |s: &str| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-');
    let ends = [part.chars().next(), part.chars().next_back()];
    let mut separators = part.split(plain).filter(|s| !s.is_empty());
    ends.iter().all(|c| c.is_some_and(plain)) && separators.all(separator)
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= TAG_LEN_MAX
        && tag.chars().next().is_some_and(word)
        && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic())
            && p.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let length_fits = match algorithm {
        "sha256" => hex.len() == SHA256_LEN,
        _ => hex.len() >= DIGEST_LEN_MIN,
    };
    algorithm.split(['-', '_', '+', '.']).all(part) && length_fits && is_hex(hex)
}

fn is_hex(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
}
