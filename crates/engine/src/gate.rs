//! How much at once: rates and concurrency by host and for the whole server, and a circuit breaker by host.
//!
//! It counts what this process does; servers that share a state folder each count their own. Rates are kept by the generic
//! cell rate algorithm (ITU-T I.371, virtual scheduling): a minute's worth may come at once, then one for each interval.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::{Alias, Limits, Outcome, Phase};

const MINUTE: Duration = Duration::from_secs(60);

/// Longest time that a circuit stays open: a host that has been down for long is tried every five minutes.
const OPEN_MOST: Duration = Duration::from_secs(300);

/// The owner's bounds for the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateSettings {
    /// Most commands that are started within a minute.
    pub per_minute: Option<u32>,
    /// Most commands that run at once.
    pub concurrent: Option<u32>,
    /// Failures to connect in a row that open a host's circuit; 0 for never.
    pub breaker_failures: u32,
    /// How long it is open at first; doubled each time, up to five minutes.
    pub breaker_open: Duration,
}

/// Why something has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// What is used up, in words.
    pub why: String,
    /// When to try again.
    pub retry_after: Duration,
}

/// A host's circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Circuit {
    /// Commands go through.
    Closed,
    /// Nothing is tried for so long, because the last attempts to connect failed.
    Open {
        /// What is left of it.
        left: Duration,
        /// How the last attempt failed.
        last: String,
    },
    /// The next command is tried, and decides.
    HalfOpen {
        /// How the last attempt failed.
        last: String,
    },
}

/// The counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    server: Count,
    hosts: HashMap<Alias, Host>,
}

#[derive(Debug, Default)]
struct Host {
    count: Count,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// How long it was opened for.
    span: Duration,
    last: String,
    /// A command is on its way to find out.
    trying: bool,
}

#[derive(Debug, Default)]
struct Count {
    running: u32,
    /// When the next start is due at an even rate.
    due: Option<Instant>,
}

/// A place among the commands that run; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Seat {
    gate: Gate,
    alias: Alias,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        counts.server.running = counts.server.running.saturating_sub(1);
        if let Some(host) = counts.hosts.get_mut(&self.alias) {
            host.count.running = host.count.running.saturating_sub(1);
        }
    }
}

impl Gate {
    /// Takes a place, if the bounds leave one at `now`.
    pub(crate) fn enter(
        &self,
        alias: &Alias,
        limits: &Limits,
        settings: &GateSettings,
        now: Instant,
    ) -> Result<Seat, Throttled> {
        let mut counts = self.lock();
        let Counts { server, hosts } = &mut *counts;
        let host = hosts.entry(alias.clone()).or_default();
        if let Some(open) = &mut host.open {
            let left = open.until.saturating_duration_since(now);
            if !left.is_zero() || open.trying {
                let why = format!(
                    "{alias} is not tried for now, because it could not be connected to: {}",
                    open.last
                );
                return Err(Throttled { why, retry_after: left.max(Duration::from_secs(1)) });
            }
        }
        server
            .room(settings.per_minute, settings.concurrent, now)
            .map_err(|wait| wait.of("the server"))?;
        host.count
            .room(limits.per_minute, limits.concurrent, now)
            .map_err(|wait| wait.of(alias.as_str()))?;
        server.take(settings.per_minute, now);
        host.count.take(limits.per_minute, now);
        if let Some(open) = &mut host.open {
            open.trying = true;
        }
        drop(counts);
        Ok(Seat { gate: self.clone(), alias: alias.clone() })
    }

    /// Learns how a command ended.
    pub(crate) fn learn(
        &self,
        alias: &Alias,
        outcome: &Outcome,
        settings: &GateSettings,
        now: Instant,
    ) {
        let mut counts = self.lock();
        let Some(host) = counts.hosts.get_mut(alias) else { return };
        match outcome {
            Outcome::NotStarted(failure) if tells_of_host(failure.phase) => {
                host.failures = host.failures.saturating_add(1);
                let span = match &host.open {
                    Some(open) => (open.span * 2).min(OPEN_MOST),
                    None => settings.breaker_open,
                };
                let tripped = host.open.is_some() || host.failures >= settings.breaker_failures;
                if settings.breaker_failures > 0 && tripped {
                    let last = failure.to_string();
                    host.open = Some(Open { until: now + span, span, last, trying: false });
                }
            }
            // Nothing was learnt of the host.
            Outcome::NotStarted(_) | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
                if let Some(open) = &mut host.open {
                    open.trying = false;
                }
            }
            Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::NotSeenToRun(_)
            | Outcome::Interrupted(_) => {
                host.failures = 0;
                host.open = None;
            }
        }
    }

    /// A host's circuit at `now`.
    pub(crate) fn circuit(&self, alias: &Alias, now: Instant) -> Circuit {
        let counts = self.lock();
        match counts.hosts.get(alias).and_then(|host| host.open.as_ref()) {
            None => Circuit::Closed,
            Some(open) => {
                let (left, last) = (open.until.saturating_duration_since(now), open.last.clone());
                if left.is_zero() {
                    Circuit::HalfOpen { last }
                } else {
                    Circuit::Open { left, last }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure at this step says something about the host: its name and the owner's policy do not.
fn tells_of_host(phase: Phase) -> bool {
    match phase {
        Phase::Dial | Phase::Banner | Phase::KeyExchange | Phase::HostKey | Phase::Auth => true,
        Phase::Resolve | Phase::Network | Phase::Channel | Phase::Exec | Phase::Record => false,
    }
}

/// What a count has no room for.
enum Wait {
    Rate { most: u32, left: Duration },
    Running { most: u32 },
}

impl Wait {
    fn of(self, what: &str) -> Throttled {
        match self {
            Self::Rate { most, left } => Throttled {
                why: format!("{what} takes {most} commands a minute"),
                retry_after: left,
            },
            Self::Running { most } => Throttled {
                why: format!("{what} runs {most} commands at once, and they run"),
                // The end of a command has no time of its own.
                retry_after: Duration::from_secs(1),
            },
        }
    }
}

impl Count {
    fn room(
        &self,
        per_minute: Option<u32>,
        concurrent: Option<u32>,
        now: Instant,
    ) -> Result<(), Wait> {
        if let Some(most) = concurrent.filter(|most| self.running >= *most) {
            return Err(Wait::Running { most });
        }
        let Some(most) = per_minute else { return Ok(()) };
        let ahead = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let left = (ahead + MINUTE / most.max(1)).saturating_sub(MINUTE);
        if left.is_zero() { Ok(()) } else { Err(Wait::Rate { most, left }) }
    }

    fn take(&mut self, per_minute: Option<u32>, now: Instant) {
        self.running += 1;
        if let Some(most) = per_minute {
            self.due = Some(self.due.unwrap_or(now).max(now) + MINUTE / most.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sshepherd_model::ConnectFailure;

    fn alias() -> Alias {
        "web1".parse().unwrap()
    }

    fn refused() -> Outcome {
        Outcome::NotStarted(ConnectFailure {
            phase: Phase::Dial,
            detail: "refused".into(),
            hint: String::new(),
        })
    }

    #[test]
    fn a_minute_s_worth_comes_at_once_and_then_evenly() {
        let (gate, settings) = (Gate::default(), GateSettings::default());
        let limits = Limits { per_minute: Some(4), ..Limits::default() };
        let start = Instant::now();
        let enter = |after: u64| {
            gate.enter(&alias(), &limits, &settings, start + Duration::from_secs(after))
        };
        for _ in 0..4 {
            enter(0).unwrap();
        }
        let wait = enter(0).unwrap_err();
        assert_eq!(
            (wait.why.as_str(), wait.retry_after),
            ("web1 takes 4 commands a minute", Duration::from_secs(15))
        );
        assert_eq!(enter(14).unwrap_err().retry_after, Duration::from_secs(1));
        enter(15).unwrap();
        assert!(enter(15).is_err());
        let other: Alias = "web2".parse().unwrap();
        gate.enter(&other, &limits, &settings, start).unwrap();
    }

    #[test]
    fn places_are_freed_and_the_server_counts_all_hosts() {
        let gate = Gate::default();
        let limits = Limits { concurrent: Some(2), ..Limits::default() };
        let settings = GateSettings { concurrent: Some(3), ..GateSettings::default() };
        let enter =
            |name: &str| gate.enter(&name.parse().unwrap(), &limits, &settings, Instant::now());
        let (one, two) = (enter("a").unwrap(), enter("a").unwrap());
        assert!(enter("a").unwrap_err().why.starts_with("a runs 2 commands"));
        let three = enter("b").unwrap();
        assert!(enter("b").unwrap_err().why.starts_with("the server runs 3 commands"));
        drop(one);
        let four = enter("a").unwrap();
        drop((two, three, four));
        assert_eq!(gate.lock().server.running, 0);
    }

    #[test]
    fn a_circuit_opens_tries_once_and_closes() {
        let gate = Gate::default();
        let settings = GateSettings {
            breaker_failures: 3,
            breaker_open: Duration::from_secs(30),
            ..GateSettings::default()
        };
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let enter = |seconds: u64| gate.enter(&alias(), &Limits::default(), &settings, at(seconds));
        for _ in 0..2 {
            drop(enter(0).unwrap());
            gate.learn(&alias(), &refused(), &settings, at(0));
            assert_eq!(gate.circuit(&alias(), at(0)), Circuit::Closed);
        }
        drop(enter(0).unwrap());
        gate.learn(&alias(), &refused(), &settings, at(0));
        let wait = enter(10).unwrap_err();
        assert!(
            wait.why.contains("refused") && wait.retry_after == Duration::from_secs(20),
            "{wait:?}"
        );
        assert!(matches!(gate.circuit(&alias(), at(30)), Circuit::HalfOpen { .. }));
        let probe = enter(30).unwrap();
        assert!(enter(30).is_err(), "one finds out for all");
        gate.learn(&alias(), &refused(), &settings, at(31));
        drop(probe);
        assert_eq!(enter(32).unwrap_err().retry_after, Duration::from_secs(59), "twice as long");
        let probe = enter(91).unwrap();
        gate.learn(&alias(), &Outcome::Exited { status: 1 }, &settings, at(92));
        drop(probe);
        assert_eq!(gate.circuit(&alias(), at(92)), Circuit::Closed);
        enter(92).unwrap();
        enter(92).unwrap();
    }
}
