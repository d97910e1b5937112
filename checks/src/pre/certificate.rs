//! Until when a certificate holds: the one field of X.509 that is asked for, read from DER (RFC 5280, 4.1).

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the validity of a certificate; nothing when the bytes are no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = enter(certificate, SEQUENCE)?;
    let (signed, _) = enter(certificate, SEQUENCE)?;
    // version (optional), serial number, signature algorithm, issuer, and then the validity.
    let mut rest = signed;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = enter(rest, SEQUENCE)?;
    let (_, _, after) = element(validity)?;
    let (tag, value, _) = element(after)?;
    time(tag, value)
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (length, rest) = rest.split_at(count);
        let length = length
            .iter()
            .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        (length, rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

fn enter(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` later.
fn time(tag: u8, value: &[u8]) -> Option<Timestamp> {
    let digits = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &digits[2..],
            )
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |from: usize| rest[from..from + 2].parse::<i8>().ok();
    let moment = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        if content.len() < 0x80 {
            bytes.push(u8::try_from(content.len()).unwrap());
        } else {
            bytes.push(0x82);
            bytes.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
        }
        bytes.extend_from_slice(content);
        bytes
    }

    pub(super) fn certificate(tag: u8, end: &str) -> Vec<u8> {
        let validity = [wrap(UTC_TIME, b"260101000000Z"), wrap(tag, end.as_bytes())].concat();
        let signed = [
            wrap(VERSION, &wrap(0x02, &[2])),
            wrap(0x02, &[7]),
            wrap(SEQUENCE, &[]),
            wrap(SEQUENCE, &[0; 200]),
            wrap(SEQUENCE, &validity),
        ]
        .concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &signed))
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, end, expected) in [
            (UTC_TIME, "270203040506Z", "2027-02-03T04:05:06Z"),
            (UTC_TIME, "991231235959Z", "1999-12-31T23:59:59Z"),
            (GENERALIZED_TIME, "20560203040506Z", "2056-02-03T04:05:06Z"),
        ] {
            assert_eq!(
                not_after(&certificate(tag, end)).unwrap().to_string(),
                expected
            );
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused_and_never_break() {
        let good = certificate(UTC_TIME, "270203040506Z");
        for end in 0..good.len() {
            assert_eq!(not_after(&good[..end]), None, "cut at {end}");
        }
        for (tag, end) in [
            (UTC_TIME, "270203040506"),
            (UTC_TIME, "27020304050xZ"),
            (0x13, "270203040506Z"),
            (UTC_TIME, "271303040506Z"),
        ] {
            assert_eq!(not_after(&certificate(tag, end)), None, "{end}");
        }
    }
}
