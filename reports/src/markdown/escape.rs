//! Text of others inside GitHub Markdown: it shows what it says and does nothing.

/// What looks like the beginning of a comment is broken up where it is shown as it is, so that the state at the end of
/// the file cannot be imitated.
const COMMENT: &str = "<!--";
const BROKEN: &str = "<! --";

/// Inline text, also inside a table cell: no emphasis, links, HTML, mentions or mathematics.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(char) = chars.next() {
        // Inside of a word an underscore is only an underscore.
        let inside =
            before.is_alphanumeric() && chars.peek().is_some_and(|next| next.is_alphanumeric());
        before = char;
        match char {
            '_' if inside => out.push('_'),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            '\n' | '\r' => out.push(' '),
            '`' => out.push_str("&#96;"),
            '\\' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' | '!' => {
                out.push('\\');
                out.push(char);
            }
            other => out.push(other),
        }
    }
    out
}

/// A code span, also inside a table cell.
pub(super) fn code(text: &str) -> String {
    let text = text
        .replace(['\n', '\r'], " ")
        .replace('|', "\\|")
        .replace(COMMENT, BROKEN);
    if text.trim().is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A fenced block, ended by a line break.
pub(super) fn block(text: &str) -> String {
    let text = text.replace(COMMENT, BROKEN);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for char in text.chars() {
        run = if char == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A table; cells are Markdown already. Rows that are too short are filled, nothing is cut.
pub(super) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = format!(
        "| {} |\n|{}\n",
        columns.join(" | "),
        " --- |".repeat(columns.len())
    );
    for row in rows {
        let mut row = row.clone();
        row.resize(row.len().max(columns.len()), String::new());
        out.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_nothing() {
        assert_eq!(
            inline("a|b <img> *x* @me `c`"),
            "a\\|b &lt;img&gt; \\*x\\* &#64;me &#96;c&#96;"
        );
        assert_eq!(inline("node_ready _x_"), "node_ready \\_x\\_");
        assert_eq!(code("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(block("```\n<!-- x"), "````text\n```\n<! -- x\n````\n");
    }
}
