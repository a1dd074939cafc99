//! Option values: sizes, numbers, address ranges.

use std::ffi::OsStr;

use plugin_rt::Measured;

use super::UsageError;
use crate::latency;

/// The value as text; everything but file names and guest arguments is UTF-8.
pub fn text<'a>(option: &str, value: &'a OsStr) -> Result<&'a str, UsageError> {
    value.to_str().ok_or_else(|| {
        UsageError::new(format!(
            "bad value: {option} {}: not UTF-8",
            value.to_string_lossy()
        ))
    })
}

/// Bytes: `512K`, `8M`, `1G`; a plain number counts `plain_unit` bytes.
pub fn size(option: &str, value: &OsStr, plain_unit: usize) -> Result<usize, UsageError> {
    let text = text(option, value)?;
    let split = text
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .len();
    let unit = match &text[split..] {
        "" => plain_unit,
        "B" | "b" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => 0,
    };
    text[..split]
        .parse::<usize>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| {
            UsageError::new(format!(
                "bad size: {option} {text}: a number with K, M or G"
            ))
        })
}

/// A number in decimal, or in hexadecimal behind `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The model of a `--cpu`.
pub fn cpu(value: &OsStr) -> Result<(), UsageError> {
    match value.as_encoded_bytes() {
        b"rv64" | b"max" => Ok(()),
        _ => Err(UsageError::new(format!(
            "unknown CPU: -cpu {}: there are rv64 and max",
            value.to_string_lossy()
        ))),
    }
}

/// Which callbacks are measured.
pub fn measured(option: &str, value: &OsStr) -> Result<Measured, UsageError> {
    let text = text(option, value)?;
    latency::measured(text)
        .ok_or_else(|| UsageError::new(format!("bad value: {option} {text}: none, sampled or all")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(value: &str) -> Option<usize> {
        size("--x", OsStr::new(value), 1 << 20).ok()
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size_of("64K"), Some(65536));
        assert_eq!(size_of("3"), Some(3 << 20));
        assert_eq!(size_of("1g"), Some(1 << 30));
        for wrong in [
            "",
            "0",
            "-1",
            "K",
            "1T",
            "1KK",
            "99999999999999999999",
            "99999999999999G",
        ] {
            assert_eq!(size_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number("0x1F"), Some(31));
        assert_eq!(number("31"), Some(31));
        assert_eq!(number("1F"), None);
        assert_eq!(number("0x"), None);
    }
}
