//! How a command goes over many hosts: in batches, with a canary, and when it stops.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::names::quoted;
use crate::{InvalidField, Request};

/// A number of hosts: so many, or so many in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many, at least 1.
    Count(usize),
    /// So many of a hundred, 1 to 100.
    Percent(u8),
}

impl Share {
    /// How many of `total` it is, at least 1; a part of a host counts as one.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => (total * usize::from(percent)).div_ceil(100).max(1),
        }
    }
}

impl FromStr for Share {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let text = text.trim();
        let share = match text.strip_suffix('%') {
            Some(number) => {
                number.trim().parse().ok().filter(|n| (1..=100).contains(n)).map(Self::Percent)
            }
            None => text.parse().ok().filter(|n| *n > 0).map(Self::Count),
        };
        share.ok_or_else(|| {
            InvalidField::new(
                "share",
                format!(
                    "must be a number of hosts from 1 on, such as 10, or a share from 1% to 100%, such as 20%; it is {}",
                    quoted(text)
                ),
            )
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The owner of a change decides how carefully it goes out. By default to all hosts at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollout {
    /// One host alone first.
    pub canary: bool,
    /// The hosts of one batch; the next begins when all of them have answered.
    pub batch: Option<Share>,
    /// No host is begun any more once so many have failed.
    pub stop_after: Option<Share>,
    /// Hosts that are not done by then are stopped, others not begun.
    pub deadline: Option<Duration>,
    /// Runs on each host of a batch after it; where it fails, no further batch begins.
    pub gate: Option<Request>,
}

impl Rollout {
    /// The sizes of the batches for `total` hosts, in order; none for no hosts.
    #[must_use]
    pub fn batches(&self, total: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut left = total;
        if self.canary && left > 0 {
            sizes.push(1);
            left -= 1;
        }
        let size = self.batch.map_or(left, |batch| batch.of(total));
        while left > 0 {
            let next = size.clamp(1, left);
            sizes.push(next);
            left -= next;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_numbers_or_parts_of_a_hundred() {
        assert_eq!("10".parse(), Ok(Share::Count(10)));
        assert_eq!(" 20 % ".parse(), Ok(Share::Percent(20)));
        for bad in ["0", "0%", "101%", "-1", "x", "", "1.5"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        let long = "x".repeat(1_000_000).parse::<Share>().unwrap_err().to_string();
        assert!(long.len() < 300, "{}", long.len());
        assert_eq!(Share::Percent(20).of(7), 2);
        assert_eq!(Share::Percent(1).of(0), 1);
    }

    #[test]
    fn a_canary_goes_alone_and_batches_follow() {
        let rollout = |canary, batch: Option<&str>| Rollout {
            canary,
            batch: batch.map(|text| text.parse().unwrap()),
            ..Rollout::default()
        };
        assert_eq!(rollout(false, None).batches(5), [5]);
        assert_eq!(rollout(true, None).batches(5), [1, 4]);
        assert_eq!(rollout(true, Some("2")).batches(6), [1, 2, 2, 1]);
        assert_eq!(rollout(false, Some("40%")).batches(5), [2, 2, 1]);
        assert_eq!(rollout(true, Some("10%")).batches(0), [0; 0]);
        assert_eq!(rollout(true, None).batches(1), [1]);
    }

    proptest! {
        #[test]
        fn batches_hold_every_host_once(total in 0..500_usize, canary: bool, count in 1..600_usize, percent in 1..=100_u8, by_count: bool) {
            let batch = if by_count { Share::Count(count) } else { Share::Percent(percent) };
            let sizes = Rollout { canary, batch: Some(batch), ..Rollout::default() }.batches(total);
            prop_assert_eq!(sizes.iter().sum::<usize>(), total);
            prop_assert!(sizes.iter().all(|size| *size > 0));
        }
    }
}
