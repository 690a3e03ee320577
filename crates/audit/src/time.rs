//! Time stamps in RFC 3339, UTC, with milliseconds: `2026-11-20T22:45:00.000Z`.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Milliseconds since the epoch; times before 1970 read as 1970, after 9999 as the last moment of 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;
const DAY_MS: u64 = 86_400_000;

/// A text that is not a time stamp of the one form that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time stamp like 2026-11-20T22:45:00.000Z")]
pub struct NotATimestamp;

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(LAST))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(LAST))
    }
}

/// Whether a Gregorian year has a 29th of February.
fn leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

/// Days of the year before the first of `month` (1 to 12).
fn days_before(year: u64, month: u64) -> u64 {
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months = usize::try_from(month.saturating_sub(1)).unwrap_or(0);
    lengths.iter().take(months).sum()
}

/// Days from 1970-01-01 to the first day of `year` (1970 or later).
fn days_to_year(year: u64) -> u64 {
    let before = year.saturating_sub(1);
    // 477 leap days lie before 1970.
    (year.saturating_sub(1970)) * 365
        + (before / 4 - before / 100 + before / 400).saturating_sub(477)
}

/// Year, month and day of the day so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // A year is at most 366 days, so this is never too late and at most a few years early.
    let mut year = 1970 + days / 366;
    while days_to_year(year + 1) <= days {
        year += 1;
    }
    let day_of_year = days - days_to_year(year);
    let month = (1..=12).rev().find(|month| days_before(year, *month) <= day_of_year).unwrap_or(1);
    (year, month, day_of_year - days_before(year, month) + 1)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / DAY_MS);
        let rest = self.0 % DAY_MS;
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, milli) = (rest / 1000 % 60, rest % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// Reads exactly what [`Timestamp`] writes, and nothing else of RFC 3339.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let number = |from: usize, to: usize| -> Result<u64, NotATimestamp> {
            text.get(from..to).and_then(|digits| digits.parse().ok()).ok_or(NotATimestamp)
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return Err(NotATimestamp);
        }
        let days = days_to_year(year) + days_before(year, month) + day - 1;
        let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let stamp = Self::from_millis(days * DAY_MS + seconds * 1000 + number(20, 23)?);
        // Writing it again settles everything else: separators, signs, lengths, the 31st of June.
        if stamp.to_string() == text { Ok(stamp) } else { Err(NotATimestamp) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = NotATimestamp;
    fn try_from(text: String) -> Result<Self, NotATimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(stamp: Timestamp) -> Self {
        stamp.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Known values from `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn known_moments_are_written_and_read_back() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_000_000_000_001, "2001-09-09T01:46:40.001Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(millis)));
        }
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let mut before = date(0);
        for days in 1..190_000 {
            let (year, month, day) = date(days);
            let next_month = month == before.1 % 12 + 1 && day == 1;
            assert!(
                (year, month, day) == (before.0, before.1, before.2 + 1)
                    || (next_month && year == before.0 + u64::from(month == 1) && before.2 >= 28),
                "{before:?} {:?}",
                (year, month, day)
            );
            before = (year, month, day);
        }
    }

    #[test]
    fn system_time_is_taken_in_milliseconds_and_clamped() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_999);
        assert_eq!(Timestamp::from(at).as_millis(), 1500);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Timestamp::from(before).as_millis(), 0);
        assert_eq!(Timestamp::from_millis(u64::MAX).as_millis(), LAST);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "2026-06-31T00:00:00.000Z",
            "2026-11-20T22:45:00Z",
            "2026-11-20t22:45:00.000Z",
            "2026-11-20T24:00:00.000Z",
            "2026-11-20T22:45:00.000+00:00",
            "+026-11-20T22:45:00.000Z",
            "2026-11-20T22:45:00.000Zé",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(NotATimestamp), "{bad}");
        }
    }
}
