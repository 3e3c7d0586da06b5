//! Join tokens, certificate issuance and rotation.
