//! Failures that somebody has accepted: known, owned, with a reason and an end.

use jiff::civil::Date;

/// One `[[accept]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The check, by its id.
    pub check: String,
    /// The object whose trouble is accepted, as the check names it; all that the check finds when empty.
    pub object: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it is.
    pub expires: Date,
}

impl Accepted {
    /// Whether what a check found is about this object and nothing else: every fact that it names, or, where it names
    /// none, its message.
    #[must_use]
    pub fn covers(&self, message: &str, evidence: &[String]) -> bool {
        if self.object.is_empty() {
            return true;
        }
        if evidence.is_empty() {
            return names(message, &self.object);
        }
        evidence.iter().all(|fact| names(fact, &self.object))
    }

    /// Whether it holds on this day.
    #[must_use]
    pub fn holds(&self, today: Date) -> bool {
        today <= self.expires
    }

    /// Who accepts it, until when and why.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "accepted by {} until {}: {}",
            self.owner, self.expires, self.reason
        )
    }
}

/// Whether a text names an object, and not one whose name only begins or ends like it.
fn names(text: &str, object: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    text.match_indices(object).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + object.len()..].chars();
        // A dot or a slash ends a sentence or a path as well as it goes on with a name.
        let goes_on = match after.next() {
            Some('.') => after.next().is_some_and(part_of_a_name),
            Some(c) => part_of_a_name(c),
            None => false,
        };
        !goes_on && !before.is_some_and(part_of_a_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(object: &str) -> Accepted {
        Accepted {
            check: "security::exposed_services".into(),
            object: object.into(),
            owner: "me".into(),
            reason: "the old camera needs it".into(),
            expires: "2027-01-31".parse().unwrap(),
        }
    }

    #[test]
    fn it_covers_its_object_and_no_other() {
        let facts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let one = accepted("default/camera");
        let camera = "default/camera (NodePort: 30090)";
        assert!(one.covers("open: default/camera", &facts(&[camera])));
        assert!(!one.covers("open", &facts(&[camera, "default/web (NodePort: 30091)"])));
        assert!(!one.covers("open", &facts(&["default/camera-2 (NodePort: 30092)"])));
        assert!(!one.covers("open", &facts(&["my-default/camera (NodePort: 30092)"])));
        assert!(one.covers("it is default/camera.", &[]));
        assert!(!one.covers("nothing is named", &[]));
        assert!(accepted("").covers("anything", &facts(&["x"])));
    }

    #[test]
    fn it_holds_to_the_end_of_its_last_day() {
        let one = accepted("");
        assert!(one.holds("2027-01-31".parse().unwrap()));
        assert!(!one.holds("2027-02-01".parse().unwrap()));
        assert_eq!(
            one.words(),
            "accepted by me until 2027-01-31: the old camera needs it"
        );
    }
}
