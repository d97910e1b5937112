//! What somebody may have meant.

/// How alike two words must be, from 0 to 1, to be worth a suggestion.
const ALIKE: f64 = 0.6;

/// The best match, if one is near.
pub(crate) fn one_of<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    several(text, known, 1).into_iter().next()
}

/// Up to `most` near matches, the best first. Ids such as `storage::node_ready` are compared by their last part, since
/// a wrong phase before the right name is a likely slip.
pub(crate) fn several<'a>(
    text: &str,
    known: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let (phase, part) = parts(&text);
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let (its_phase, its_part) = parts(name);
            let mut score = strsim::normalized_damerau_levenshtein(part, its_part);
            if part.len() > 3 && its_part.contains(part) {
                score = score.max(ALIKE);
            }
            let near = score >= ALIKE;
            let same = phase.is_some() && phase == its_phase;
            near.then_some((if same { score + 0.1 } else { score }, name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(most)
        .map(|(_, name)| name)
        .collect()
}

fn parts(id: &str) -> (Option<&str>, &str) {
    match id.split_once("::") {
        Some((phase, part)) => (Some(phase), part),
        None => (None, id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = [
        "join::ready",
        "storage::disks_ready",
        "storage::node_ready",
        "storage::node_known",
    ];

    #[test]
    fn a_slip_is_recognised_and_noise_is_not() {
        assert_eq!(
            one_of("storage::disk_ready", IDS),
            Some("storage::disks_ready")
        );
        assert_eq!(
            one_of("join::disks_ready", IDS),
            Some("storage::disks_ready")
        );
        assert_eq!(one_of("xyzzy", IDS), None);
        assert_eq!(several("storage::node", IDS, 2).len(), 2);
    }
}
