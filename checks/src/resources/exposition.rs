//! Prometheus' text format, as far as single values are looked up in it.

/// The values of all samples of a metric, whatever their labels. What cannot be read as a number is left out.
pub fn values(text: &str, metric: &str) -> Vec<f64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(metric))
        .filter_map(|rest| match rest.strip_prefix('{') {
            // A label's value may contain a brace or a blank, so the sample begins after the last brace.
            Some(labelled) => labelled.rsplit_once('}').map(|(_, value)| value),
            None => rest.starts_with([' ', '\t']).then_some(rest),
        })
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_whole_name_with_and_without_labels() {
        let text = "# TYPE up gauge\nup 1\nup{a=\"x } y\",b=\"2\"} 2.5e+00 1700000000\nup_total 9\nup{broken} x\n";
        assert_eq!(values(text, "up"), [1.0, 2.5]);
        assert!(values(text, "down").is_empty());
    }
}
