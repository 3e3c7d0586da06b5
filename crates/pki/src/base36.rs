//! Fixed-width base 36 numbers, the alphabet of join tokens (0-9, a-z).
//!
//! Never drops leading zeros: a token's parts have one length each.

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Writes a big-endian number, padded with zeros to `width` characters.
///
/// The caller picks `width` large enough for the number's size (25 for 16 bytes, 50 for 32).
pub(crate) fn encode(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[usize::from(divide_by_36(&mut number))];
    }
    assert!(
        number.iter().all(|byte| *byte == 0),
        "width too small for the number"
    );
    digits.into_iter().map(char::from).collect()
}

/// Whether every character is one this encoding writes.
pub(crate) fn is_text(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// Divides in place and returns the remainder, always below 36.
fn divide_by_36(number: &mut [u8]) -> u8 {
    let mut remainder = 0u16;
    for byte in number {
        let value = remainder << 8 | u16::from(*byte);
        *byte = (value / 36) as u8;
        remainder = value % 36;
    }
    remainder as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> u128 {
        u128::from_str_radix(text, 36).expect("base 36")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_number_of_16_bytes_keeps_its_value_in_25_characters(bytes: [u8; 16]) {
            let text = encode(&bytes, 25);
            prop_assert_eq!(text.len(), 25);
            prop_assert_eq!(value(&text), u128::from_be_bytes(bytes));
        }
    }

    #[test]
    fn the_largest_number_of_32_bytes_fits_in_50_characters() {
        let text = encode(&[0xff; 32], 50);
        assert_eq!(text, "6dp5qcb22im238nr3wvp0ic7q99w035jmy2iw7i6n43d37jtof");
    }

    #[test]
    fn only_digits_and_lower_case_letters_are_base_36_text() {
        assert!(is_text("09az"));
        assert!(!is_text("A"));
        assert!(!is_text("é"));
    }
}
