//! What a YAML parser says about a text, without the text.
//!
//! The parser shows the lines around the place, and serde the value that it did not expect. In a kubeconfig or a
//! manifest either can be a secret, so only place and kind of the trouble are passed on.

/// `line 3 column 5: expected mapping start`; where the parser names a value, `…` stands for it.
#[must_use]
pub(crate) fn trouble(error: impl std::fmt::Display) -> String {
    let said = error.to_string();
    let first = said.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    // Advice for whoever calls the parser.
    let first = first
        .split(", set DuplicateKeyPolicy")
        .next()
        .unwrap_or_default();
    // Every second piece lies between quotes; a quote that is never closed opens a value all the same.
    let pieces: Vec<&str> = first.split('"').collect();
    let shown = pieces.iter().enumerate().map(|(number, piece)| {
        if number % 2 == 0 {
            (*piece).to_owned()
        } else {
            "\"…\"".to_owned()
        }
    });
    shown.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is never read: every text here is refused")]
    struct User {
        user: Vec<u8>,
    }

    fn said(text: &str) -> String {
        let error = serde_saphyr::from_str::<User>(text).unwrap_err();
        trouble(error)
    }

    #[test]
    fn place_and_kind_are_told_and_nothing_of_the_text() {
        for text in [
            "user: hunter2\n",
            "user:\n  hunter2: [\n",
            "- hunter2\n",
            "user: \"hunter2\n  more\n",
        ] {
            let said = said(text);
            assert!(!said.contains("hunter2"), "{said}");
            assert!(said.contains("line "), "{said}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        assert_eq!(
            said("a: 1\na: 2\n"),
            "line 2 column 1: duplicate mapping key: a"
        );
    }

    #[test]
    fn what_stands_in_quotes_is_struck_out() {
        let error = "error: line 3 column 9: invalid type: string \"s3 cret\", expected a map\n --> <input>:3:9\n";
        assert_eq!(
            trouble(error),
            "line 3 column 9: invalid type: string \"…\", expected a map"
        );
        assert_eq!(trouble("found \"s3cret"), "found \"…\"");
        assert_eq!(trouble(""), "");
    }
}
