//! Quantities as the API writes them: `0.05` becomes `50m`, `1024Ki` becomes `1Mi`.

use serde_json::Value;

/// Suffixes with their exponent: of 1024 for the first, of 1000 for the second.
const BINARY: &[(&str, u32)] = &[
    ("Ki", 1),
    ("Mi", 2),
    ("Gi", 3),
    ("Ti", 4),
    ("Pi", 5),
    ("Ei", 6),
];
const DECIMAL: &[(&str, i32)] = &[
    ("n", -3),
    ("u", -2),
    ("m", -1),
    ("", 0),
    ("k", 1),
    ("M", 2),
    ("G", 3),
    ("T", 4),
    ("P", 5),
    ("E", 6),
];

/// Nanos in one.
const NANO: i128 = 1_000_000_000;

/// Writes the quantities of a map of them as the API does.
pub(crate) fn canonical_map(map: &mut Value) {
    if let Some(map) = map.as_object_mut() {
        map.values_mut().for_each(canonical_value);
    }
}

/// Writes one quantity as the API does; what is none stays.
pub(crate) fn canonical_value(value: &mut Value) {
    let text = match &*value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return,
    };
    if let Some(canonical) = canonical(&text) {
        *value = canonical.into();
    }
}

/// The canonical form; `None` for what is no quantity, and for exponents (`1e3`), which stay as they are.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let nanos = nanos(number)?;
    if let Some((_, exponent)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let total = nanos.checked_mul(1024_i128.checked_pow(*exponent)?)?;
        // A fraction of a byte is rounded up.
        let whole = total.div_euclid(NANO) + i128::from(total.rem_euclid(NANO) != 0);
        return Some(binary(whole));
    }
    let (_, exponent) = DECIMAL.iter().find(|(name, _)| *name == suffix)?;
    let total = if *exponent < 0 {
        let by = 1000_i128.pow(exponent.unsigned_abs());
        nanos.div_euclid(by) + i128::from(nanos.rem_euclid(by) != 0)
    } else {
        nanos.checked_mul(1000_i128.pow(exponent.unsigned_abs()))?
    };
    Some(decimal(total))
}

/// How many billionths a decimal number is.
fn nanos(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && part.is_empty() || part.len() > 9 {
        return None;
    }
    let read = |text: &str| -> Option<i128> {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<u64>().ok().map(i128::from)
        }
    };
    let scale = 10_i128.pow(u32::try_from(9 - part.len()).ok()?);
    Some(sign * (read(whole)? * NANO + read(part)? * scale))
}

fn binary(mut whole: i128) -> String {
    let mut suffix = "";
    for (name, _) in BINARY {
        if whole == 0 || whole % 1024 != 0 {
            break;
        }
        whole /= 1024;
        suffix = name;
    }
    format!("{whole}{suffix}")
}

fn decimal(mut nanos: i128) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    for (name, _) in DECIMAL {
        if nanos % 1000 != 0 || *name == "E" {
            return format!("{nanos}{name}");
        }
        nanos /= 1000;
    }
    format!("{nanos}E")
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_are_written_with_the_largest_suffix_that_fits() {
        for (given, wanted) in [
            ("0.05", "50m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1", "1"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("64Mi", "64Mi"),
            ("0", "0"),
            ("100000Mi", "100000Mi"),
            ("10G", "10G"),
            ("-1", "-1"),
            ("0Gi", "0"),
            ("250000u", "250m"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(wanted), "{given}");
        }
        for given in ["", "x", "1e3", "1.2.3", "5 Gi", "Ki"] {
            assert_eq!(canonical(given), None, "{given}");
        }
    }
}
