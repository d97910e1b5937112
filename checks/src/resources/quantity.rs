//! Quantities of Kubernetes (`1500m`, `64Mi`, `1e3`) as numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The number that a quantity stands for, in its base unit (bytes, cores, pieces); nothing when it is none.
///
/// Suffixes as in <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text
        .find(|one: char| !(one.is_ascii_digit() || matches!(one, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        // The decimal exponent: 1e3, 12E6.
        _ => return text.parse().ok(),
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// As [`number`], for a field that may be absent.
#[must_use]
pub fn of(quantity: Option<&Quantity>) -> Option<f64> {
    number(&quantity?.0)
}

/// Bytes for people: `12.3 GiB`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "one decimal is shown, far below what is lost"
)]
pub fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_counts() {
        for (text, expected) in [
            ("4", 4.0),
            ("1500m", 1.5),
            ("250000000n", 0.25),
            ("64Mi", 67_108_864.0),
            ("2Gi", 2_147_483_648.0),
            ("1M", 1e6),
            ("1E", 1e18),
            ("1e3", 1000.0),
            ("12E6", 12e6),
        ] {
            assert!(
                (number(text).unwrap() - expected).abs() < 1e-9 * expected,
                "{text}"
            );
        }
        for text in ["", "many", "1Xi", "Ki"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_in_a_fitting_unit() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_610_612_736), "1.5 GiB");
    }
}
