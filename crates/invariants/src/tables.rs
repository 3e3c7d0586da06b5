//! Whether two managers hold the same tables (R7, R8).

use std::fmt::{self, Write};

use store::{ImageItem, Object, State};

/// FNV-1a over what is written to it; no allocation.
struct Hasher(u64);

impl Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// A hash of all tables in their canonical order. Equal states have equal hashes in every process
/// of the same program. Secret bytes do not take part: they are never printed.
pub fn state_hash(state: &State) -> u64 {
    let mut hasher = Hasher(0xcbf2_9ce4_8422_2325);
    let written = state
        .image()
        .try_for_each(|item| write!(hasher, "{item:?}"));
    debug_assert!(written.is_ok(), "hashing cannot fail");
    hasher.0
}

/// What differs first between two states, in words; `None` if nothing does.
pub fn first_difference(a: &State, b: &State) -> Option<String> {
    if a.version() != b.version() {
        return Some(format!("version {} and {}", a.version(), b.version()));
    }
    let (mut left, mut right) = (a.image(), b.image());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (Some(x), Some(y)) if same(&x, &y) => {}
            (x, y) => return Some(format!("{x:?}\n  and {y:?}")),
        }
    }
}

fn same(a: &ImageItem, b: &ImageItem) -> bool {
    match (a, b) {
        (ImageItem::Object(a), ImageItem::Object(b)) => same_object(a, b),
        (
            ImageItem::Revision {
                service: s,
                version: v,
                spec: x,
            },
            ImageItem::Revision {
                service,
                version,
                spec,
            },
        ) => s == service && v == version && x == spec,
        _ => false,
    }
}

fn same_object(a: &Object, b: &Object) -> bool {
    a == b
}
