//! Join tokens in SwarmKit's format: making, parsing, comparing.
//!
//! A token is `SWMTKN-1-<digest>-<secret>`: the digest pins the root certificate (SHA-256 over the
//! exact PEM bytes, 50 base 36 characters), the secret (16 random bytes, 25 characters) selects the
//! role. Version 2 has a flag between version and digest that says whether FIPS mode is mandatory.
//!
//! Never compares secrets in a time that depends on where they differ, and never prints them.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use types::NodeRole;

use crate::base36;

const PREFIX: &str = "SWMTKN";
/// Characters of the root digest: 256 bits in base 36.
pub const DIGEST_CHARS: usize = 50;
/// Characters of the secret: 128 bits in base 36.
pub const SECRET_CHARS: usize = 25;

/// Format of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVersion {
    /// The ordinary format, the only one this project gives out.
    V1,
    /// Given out by clusters in FIPS mode.
    V2 {
        /// Whether a node must itself run in FIPS mode to join.
        fips_mandatory: bool,
    },
}

/// A parsed join token. `Debug` hides the secret; `Display` writes the whole token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    version: TokenVersion,
    digest: String,
    secret: String,
}

/// Why a text is not a join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like one.
    #[error(
        "this is not a join token: it must begin with \"SWMTKN-\"; print one with \
         `swarmctl join-token worker` on a manager"
    )]
    NotAToken,
    /// Its end is missing.
    #[error(
        "join token is cut off: its {part} has {found} of {expected} characters; copy the whole \
         token again"
    )]
    Truncated {
        /// Which part is short.
        part: &'static str,
        /// Characters found.
        found: usize,
        /// Characters a whole part has.
        expected: usize,
    },
    /// A part is too long, or there are too many parts.
    #[error(
        "join token is too long: its {part} has {found} characters instead of {expected}; copy \
         the token again without anything around it"
    )]
    TooLong {
        /// Which part is long.
        part: &'static str,
        /// Characters found.
        found: usize,
        /// Characters a right part has.
        expected: usize,
    },
    /// A format this program does not know.
    #[error(
        "join token has version \"{found}\", versions 1 and 2 are known; use a token of this \
         cluster or a newer program"
    )]
    WrongVersion {
        /// The version in the token.
        found: String,
    },
    /// A character that no token has.
    #[error(
        "join token has a character other than 0-9 and a-z in its {part}; copy the token again"
    )]
    WrongCharacter {
        /// Which part it is in.
        part: &'static str,
    },
}

/// Why a well-formed token does not open this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenMismatch {
    /// The token pins another root certificate.
    #[error(
        "join token is for another cluster or for a root certificate since replaced; check the \
         address, or print this cluster's token with `swarmctl join-token`"
    )]
    OtherCluster,
    /// The root is right, the secret is not one of the current ones.
    #[error(
        "join token is no longer valid, it has been rotated; print the current one with \
         `swarmctl join-token`"
    )]
    Rotated,
}

/// The two tokens a cluster accepts at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokens {
    /// Makes a worker of the node that shows it.
    pub worker: JoinToken,
    /// Makes a manager of the node that shows it.
    pub manager: JoinToken,
}

// === impl JoinToken ===

impl JoinToken {
    /// A token for the root with these PEM bytes; `secret` must be freshly drawn random bytes.
    #[must_use]
    pub fn new(root_pem: &[u8], secret: [u8; 16]) -> Self {
        Self {
            version: TokenVersion::V1,
            digest: root_digest(root_pem),
            secret: base36::encode(&secret, SECRET_CHARS),
        }
    }

    /// The format it is written in.
    #[must_use]
    pub fn version(&self) -> TokenVersion {
        self.version
    }

    /// The digest of the root it pins, as it stands in the token.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Checks a downloaded root against the token before anything is trusted to it.
    ///
    /// # Errors
    /// [`TokenMismatch::OtherCluster`] if the bytes are not those the token was made for.
    pub fn check_root(&self, root_pem: &[u8]) -> Result<(), TokenMismatch> {
        if constant_time_eq(self.digest.as_bytes(), root_digest(root_pem).as_bytes()) {
            Ok(())
        } else {
            Err(TokenMismatch::OtherCluster)
        }
    }

    fn same_secret(&self, other: &Self) -> bool {
        constant_time_eq(self.secret.as_bytes(), other.secret.as_bytes())
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().split('-');
        if parts.next() != Some(PREFIX) {
            return Err(TokenError::NotAToken);
        }
        let version = version(parts.next().unwrap_or_default(), &mut parts)?;
        let digest = checked_part("digest", parts.next().unwrap_or_default(), DIGEST_CHARS)?;
        let secret = checked_part("secret", parts.next().unwrap_or_default(), SECRET_CHARS)?;
        let rest: usize = parts.map(|part| part.len() + 1).sum();
        if rest > 0 {
            let (part, expected) = ("secret", SECRET_CHARS);
            return Err(TokenError::TooLong {
                part,
                found: SECRET_CHARS + rest,
                expected,
            });
        }
        Ok(Self {
            version,
            digest,
            secret,
        })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            TokenVersion::V1 => "1",
            TokenVersion::V2 {
                fips_mandatory: false,
            } => "2-0",
            TokenVersion::V2 {
                fips_mandatory: true,
            } => "2-1",
        };
        write!(f, "{PREFIX}-{version}-{}-{}", self.digest, self.secret)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

// === impl JoinTokens ===

impl JoinTokens {
    /// The role a shown token gives.
    ///
    /// Both secrets are always compared, so that the time taken tells nothing about either.
    ///
    /// # Errors
    /// [`TokenMismatch`], telling another cluster's token from a rotated one.
    pub fn role_of(&self, shown: &JoinToken) -> Result<NodeRole, TokenMismatch> {
        let same_root = constant_time_eq(self.worker.digest.as_bytes(), shown.digest.as_bytes());
        let manager = self.manager.same_secret(shown);
        let worker = self.worker.same_secret(shown);
        match (same_root, manager, worker) {
            (false, _, _) => Err(TokenMismatch::OtherCluster),
            (true, true, _) => Ok(NodeRole::Manager),
            (true, false, true) => Ok(NodeRole::Worker),
            (true, false, false) => Err(TokenMismatch::Rotated),
        }
    }
}

/// SHA-256 over the exact bytes of a root bundle, as it stands in a token.
#[must_use]
pub fn root_digest(root_pem: &[u8]) -> String {
    base36::encode(&Sha256::digest(root_pem), DIGEST_CHARS)
}

fn version<'a>(
    text: &str,
    rest: &mut impl Iterator<Item = &'a str>,
) -> Result<TokenVersion, TokenError> {
    match text {
        "1" => Ok(TokenVersion::V1),
        "2" => match rest.next() {
            Some("0") => Ok(TokenVersion::V2 {
                fips_mandatory: false,
            }),
            Some("1") => Ok(TokenVersion::V2 {
                fips_mandatory: true,
            }),
            None | Some("") => Err(TokenError::Truncated {
                part: "FIPS flag",
                found: 0,
                expected: 1,
            }),
            Some(flag) => Err(TokenError::WrongVersion {
                found: format!("2-{flag}"),
            }),
        },
        "" => Err(TokenError::Truncated {
            part: "version",
            found: 0,
            expected: 1,
        }),
        other => Err(TokenError::WrongVersion {
            found: other.chars().take(16).collect(),
        }),
    }
}

fn checked_part(part: &'static str, text: &str, expected: usize) -> Result<String, TokenError> {
    if !base36::is_text(text) {
        return Err(TokenError::WrongCharacter { part });
    }
    match text.len() {
        found if found < expected => Err(TokenError::Truncated {
            part,
            found,
            expected,
        }),
        found if found > expected => Err(TokenError::TooLong {
            part,
            found,
            expected,
        }),
        _ => Ok(text.to_owned()),
    }
}

/// Compares without leaving early; only the lengths, which are no secret, may shorten it.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0u8, |seen, (x, y)| black_box(seen | (x ^ y)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &[u8] = b"-----BEGIN CERTIFICATE-----\n";

    fn tokens() -> JoinTokens {
        JoinTokens {
            worker: JoinToken::new(ROOT, [1; 16]),
            manager: JoinToken::new(ROOT, [2; 16]),
        }
    }

    fn parse(text: &str) -> Result<JoinToken, TokenError> {
        text.parse()
    }

    #[test]
    fn a_token_has_the_lengths_docker_expects() {
        let text = JoinToken::new(ROOT, [0; 16]).to_string();
        let parts: Vec<_> = text.split('-').collect();
        assert_eq!(parts[..2], ["SWMTKN", "1"]);
        assert_eq!((parts[2].len(), parts[3].len()), (50, 25));
        assert_eq!(parts[3], "0".repeat(25));
    }

    #[test]
    fn each_kind_of_damage_has_its_own_error() {
        let whole = JoinToken::new(ROOT, [9; 16]).to_string();
        assert_eq!(parse("SWMKEY-1-abc"), Err(TokenError::NotAToken));
        assert_eq!(parse(""), Err(TokenError::NotAToken));
        for cut in 7..whole.len() {
            let error = parse(&whole[..cut]).expect_err("cut");
            assert!(
                matches!(error, TokenError::Truncated { .. }),
                "{cut}: {error}"
            );
        }
        assert!(matches!(
            parse(&format!("{whole}0")),
            Err(TokenError::TooLong { found: 26, .. })
        ));
        assert!(matches!(
            parse(&format!("{whole}-0")),
            Err(TokenError::TooLong { .. })
        ));
        let newer = whole.replacen("-1-", "-3-", 1);
        assert_eq!(
            parse(&newer),
            Err(TokenError::WrongVersion { found: "3".into() })
        );
        let shouted = whole.replacen("-1-", "-1-Ä", 1);
        assert_eq!(
            parse(&shouted),
            Err(TokenError::WrongCharacter { part: "digest" })
        );
    }

    #[test]
    fn spaces_and_line_ends_around_a_copied_token_do_not_matter() {
        let token = JoinToken::new(ROOT, [9; 16]);
        assert_eq!(parse(&format!(" {token}\n")), Ok(token));
    }

    #[test]
    fn version_2_keeps_its_flag() {
        let text = JoinToken::new(ROOT, [9; 16])
            .to_string()
            .replacen("-1-", "-2-1-", 1);
        let token = parse(&text).expect("version 2");
        assert_eq!(
            token.version(),
            TokenVersion::V2 {
                fips_mandatory: true
            }
        );
        assert_eq!(token.to_string(), text);
    }

    #[test]
    fn the_secret_selects_the_role() {
        let tokens = tokens();
        assert_eq!(tokens.role_of(&tokens.worker.clone()), Ok(NodeRole::Worker));
        assert_eq!(
            tokens.role_of(&tokens.manager.clone()),
            Ok(NodeRole::Manager)
        );
    }

    #[test]
    fn another_clusters_token_is_told_from_a_rotated_one() {
        let other = JoinToken::new(b"another root", [1; 16]);
        assert_eq!(tokens().role_of(&other), Err(TokenMismatch::OtherCluster));
        let rotated = JoinToken::new(ROOT, [3; 16]);
        assert_eq!(tokens().role_of(&rotated), Err(TokenMismatch::Rotated));
    }

    #[test]
    fn a_single_changed_byte_of_the_root_is_noticed() {
        let token = JoinToken::new(ROOT, [1; 16]);
        assert_eq!(token.check_root(ROOT), Ok(()));
        let mut other = ROOT.to_vec();
        other.push(b'\n');
        assert_eq!(token.check_root(&other), Err(TokenMismatch::OtherCluster));
    }

    #[test]
    fn debug_output_does_not_hold_the_secret() {
        let token = JoinToken::new(ROOT, [7; 16]);
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_token_survives_printing_and_parsing(root: Vec<u8>, secret: [u8; 16]) {
            let token = JoinToken::new(&root, secret);
            prop_assert_eq!(parse(&token.to_string()), Ok(token));
        }

        #[test]
        fn parsing_never_panics(text in "(SWMTKN-?)?[-0-9a-zA-Zé]{0,120}") {
            let _ = parse(&text);
        }
    }
}
