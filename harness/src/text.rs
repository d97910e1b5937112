//! Text for people: clean, cut or wrapped to a width, with units on every number.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// One line without terminal sequences, control characters and secrets. Whatever came from a server, a file or the
/// command line passes here before it is printed.
pub(crate) fn clean(text: &str) -> String {
    reports::text::line(text)
}

/// How many columns a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The text, cut with `…` so that it takes at most `most` columns.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut taken = 0;
    for one in text.chars() {
        let width = one.width().unwrap_or(0);
        if taken + width >= most {
            break;
        }
        out.push(one);
        taken += width;
    }
    if most > 0 {
        out.truncate(out.trim_end().len());
        out.push('…');
    }
    out
}

/// The text in lines of at most `width` columns, broken between words where they fit.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        // A word longer than a line, such as a path, is broken where the line ends.
        while columns(word) > width {
            let mut taken = 0;
            let at = word
                .char_indices()
                .find(|(_, one)| {
                    taken += one.width().unwrap_or(0);
                    taken > width
                })
                .map_or(word.len(), |(at, _)| at);
            let (head, tail) = word.split_at(at);
            lines.push(head.to_owned());
            word = tail;
        }
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `<1 ms`, `4 ms`, `2.1 s`, `48 s`, `2 min 10 s`, `1 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    if millis == 0 {
        return "<1 ms".to_owned();
    }
    if millis < 1_000 {
        return if millis < 100 {
            format!("{millis} ms")
        } else {
            format!("{:.1} s", duration.as_secs_f64())
        };
    }
    if millis < 9_950 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    let parts = |big: u64, unit: &str, small: u64, rest: &str| {
        if small == 0 {
            format!("{big} {unit}")
        } else {
            format!("{big} {unit} {small} {rest}")
        }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => parts(seconds / 60, "min", seconds % 60, "s"),
        3_600..172_800 => parts(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => parts(seconds / 86_400, "days", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1 check`, `4 checks`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_move_the_cursor_or_start_a_line() {
        assert_eq!(
            clean("a\u{1b}[2Jb\r\nc\u{7}\td\u{9b}31m"),
            clean(&clean("a\u{1b}[2Jb\r\nc\u{7}\td\u{9b}31m"))
        );
        let cleaned = clean("one\u{1b}]0;title\u{7}\ntwo\u{1b}[31m");
        assert!(!cleaned.chars().any(char::is_control), "{cleaned:?}");
        assert!(cleaned.starts_with("one") && cleaned.contains("two"));
    }

    #[test]
    fn a_cut_or_wrapped_text_never_takes_more_columns() {
        let text = "節点 k3s2 is not ready: kubelet stopped posting node status";
        for width in 0..70 {
            assert!(columns(&cut(text, width)) <= width, "{width}");
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        for width in 8..70 {
            let lines = wrap(text, width);
            assert!(
                lines.iter().all(|line| columns(line) <= width),
                "{width}: {lines:?}"
            );
            let joined: String = lines.concat().split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<String>());
        }
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(
            wrap("/mnt/longhorn/sdb1", 8),
            ["/mnt/lon", "ghorn/sd", "b1"]
        );
        assert!(wrap("", 20).is_empty());
    }

    #[test]
    fn durations_have_units_and_no_false_precision() {
        let said = |millis| duration(Duration::from_millis(millis));
        assert_eq!(said(0), "<1 ms");
        assert_eq!(said(4), "4 ms");
        assert_eq!(said(230), "0.2 s");
        assert_eq!(said(2_140), "2.1 s");
        assert_eq!(said(48_400), "48 s");
        assert_eq!(said(130_000), "2 min 10 s");
        assert_eq!(said(300_000), "5 min");
        assert_eq!(said(3_900_000), "1 h 5 min");
        assert_eq!(said(200_000_000), "2 days 7 h");
    }
}
