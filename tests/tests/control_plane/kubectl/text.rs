//! Where two outputs differ, apart from what no two clusters share: times, ages, versions, ids, addresses.

use std::sync::LazyLock;

use regex::Regex;

use super::run::Said;

/// What is written in the place of what is not compared, in this order.
static REPLACED: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let table = [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "ID",
        ),
        (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d:\d\d)",
            "TIME",
        ),
        (
            r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
            "TIME",
        ),
        (r#"("?resourceVersion"?: ?)"?\d+"?"#, "${1}VERSION"),
        (r"(Resource Version: +)\d+", "${1}VERSION"),
        (r"\b(LIVE|MERGED)-\d+", "${1}"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "TIME"),
        (r"127\.0\.0\.1:\d+", "SERVER"),
        (r"\b10\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "ADDRESS"),
        (r"\b\d+(d|h|m|s)(\d+(h|m|s))?\b", "AGE"),
        // Columns are as wide as the widest cell, which may be an age.
        (r"(\S) {2,}", "${1}  "),
        (r"[ \t]+$", ""),
    ];
    let rows = table.into_iter();
    rows.map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), with))
        .collect()
});

fn plain(line: &str) -> String {
    let mut line = line.to_owned();
    for (pattern, with) in REPLACED.iter() {
        line = pattern.replace_all(&line, *with).into_owned();
    }
    line
}

/// Every line that only one of them has, as `real: …` or `sandbox: …`, and the exit codes when they differ.
pub(super) fn differences(real: &Said, ours: &Said) -> Vec<String> {
    let mut found = Vec::new();
    if real.code != ours.code {
        found.push(format!(
            "exit: real {:?}, sandbox {:?}",
            real.code, ours.code
        ));
    }
    for (left, right) in [(&real.out, &ours.out), (&real.err, &ours.err)] {
        let lines = |text: &str| -> Vec<String> { text.lines().map(plain).collect() };
        compare(&lines(left), &lines(right), &mut found);
    }
    found
}

/// The lines that are not in the longest common sequence of both.
fn compare(real: &[String], ours: &[String], found: &mut Vec<String>) {
    let (rows, columns) = (real.len(), ours.len());
    let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = if real[row] == ours[column] {
                longest[row + 1][column + 1] + 1
            } else {
                longest[row + 1][column].max(longest[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        if row < rows && column < columns && real[row] == ours[column] {
            (row, column) = (row + 1, column + 1);
        } else if column == columns
            || row < rows && longest[row + 1][column] >= longest[row][column + 1]
        {
            found.push(format!("real: {}", real[row]));
            row += 1;
        } else {
            found.push(format!("sandbox: {}", ours[column]));
            column += 1;
        }
    }
}
