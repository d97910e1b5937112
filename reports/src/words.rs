//! Numbers with their units, as people read them.

use jiff::{SignedDuration, Timestamp};

/// `2026-11-22T10:15:02Z`: nobody reads nanoseconds.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `4 ms`, `3.6 s`, `48 s`, `2 min 10 s`, `1 h 5 min`.
#[must_use]
pub fn duration(duration: SignedDuration) -> String {
    let millis = duration.as_millis().max(0);
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..=9 => format!("{seconds}.{} s", millis % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 if seconds % 60 == 0 => format!("{} min", seconds / 60),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 warning`, `2 warnings`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
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
    fn durations_have_the_unit_that_fits() {
        let said: Vec<String> = [
            -5,
            0,
            4,
            999,
            1_000,
            3_640,
            48_900,
            60_000,
            130_250,
            3_900_000,
            200_000_000,
        ]
        .into_iter()
        .map(|millis| duration(SignedDuration::from_millis(millis)))
        .collect();
        assert_eq!(
            said,
            [
                "0 ms",
                "0 ms",
                "4 ms",
                "999 ms",
                "1.0 s",
                "3.6 s",
                "48 s",
                "1 min",
                "2 min 10 s",
                "1 h 5 min",
                "2 days"
            ]
        );
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            (count(1, "warning"), count(0, "warning")),
            ("1 warning".to_owned(), "0 warnings".to_owned())
        );
    }
}
