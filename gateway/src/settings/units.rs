//! Durations and sizes as people write them.

use std::time::Duration;

/// Longer is a slip of the pen, and would overflow a clock somewhere.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// `30` (seconds), `500ms`, `30s`, `10m`, `1h`, `2d`, also several in a row (`1h 30m`).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return limited(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    loop {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = after.trim_start();
        if rest.is_empty() {
            return limited(total);
        }
    }
}

/// `1024` (bytes), `512 KiB`, `50 MiB`, `1 GiB`, `10 MB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn limited(duration: Duration) -> Option<Duration> {
    (duration <= LONGEST).then_some(duration)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_people_write_them() {
        for (text, ms) in [
            ("30", 30_000),
            ("30s", 30_000),
            (" 30 s ", 30_000),
            ("500ms", 500),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_durations_that_are_none() {
        for text in [
            "",
            "s",
            "-1",
            "1.5h",
            "1 fortnight",
            "30s!",
            "1h 30",
            "366d",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn reads_sizes_as_people_write_them() {
        for (text, bytes) in [
            ("1024", 1024),
            ("50 MiB", 52_428_800),
            ("50mib", 52_428_800),
            ("1 GB", 1_000_000_000),
            ("2KiB", 2048),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 MiB", "50 MiBs", "99999999999 GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
