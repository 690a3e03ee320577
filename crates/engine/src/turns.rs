//! Whose turn it is among the hosts of all fan-outs: one bound for the whole server, one for each fan-out and one for each jump
//! host, shared so that a small fan-out that comes second need not wait for a big one.
//!
//! A free place goes to the fan-out that has the fewest hosts at work, among equals to the one that has waited longest for one.
//! Fan-outs whose callers wait and those in the background have half of the places each, as long as both have use for them: however
//! many are in the background, a caller who waits is served. Commands on single hosts take no turns, so they never wait here.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sshepherd_model::Alias;
use tokio::sync::oneshot;

/// How many hosts are at work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Of all fan-outs together.
    pub(crate) all: usize,
    /// Of one fan-out.
    pub(crate) each: usize,
    /// Behind one jump host.
    pub(crate) behind_one: usize,
    /// Of those that wait for an answer from the network and have made room.
    pub(crate) aside: usize,
}

/// Whether somebody waits for a fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Its caller does.
    Waited,
    /// Nobody: it is asked about later.
    Background,
}

/// The places. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    all: usize,
    behind_one: usize,
    most_aside: usize,
    /// Hosts at work, and those that were slow to connect and made room.
    running: usize,
    /// Those of the first that are of fan-outs of each kind.
    of_kind: BTreeMap<Kind, usize>,
    aside: usize,
    behind: HashMap<Alias, usize>,
    queues: BTreeMap<u64, Waiting>,
    /// Counts queues and turns.
    counter: u64,
}

/// The hosts of one fan-out.
#[derive(Debug)]
struct Waiting {
    kind: Kind,
    most: usize,
    running: usize,
    /// When it last got a turn.
    last: u64,
    /// By their place in the fan-out.
    hosts: BTreeMap<usize, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    jumps: Vec<Alias>,
    granted: oneshot::Sender<Turn>,
}

/// One fan-out's place among the others.
#[derive(Debug)]
pub(crate) struct Queue {
    turns: Turns,
    id: u64,
}

/// A host's place among those at work; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    queue: u64,
    kind: Kind,
    jumps: Vec<Alias>,
    aside: AtomicBool,
}

impl Turns {
    /// The queue of a fan-out that is waited for. The bounds for all are those that were given last.
    pub(crate) fn queue(&self, bounds: Bounds) -> Queue {
        self.queue_of(Kind::Waited, bounds)
    }

    /// The queue of one in the background.
    pub(crate) fn background_queue(&self, bounds: Bounds) -> Queue {
        self.queue_of(Kind::Background, bounds)
    }

    fn queue_of(&self, kind: Kind, bounds: Bounds) -> Queue {
        let mut places = self.lock();
        places.all = bounds.all.max(1);
        places.behind_one = bounds.behind_one.max(1);
        places.most_aside = bounds.aside;
        places.counter += 1;
        let id = places.counter;
        let hosts = BTreeMap::new();
        let most = bounds.each.max(1);
        places.queues.insert(id, Waiting { kind, most, running: 0, last: id, hosts });
        drop(places);
        Queue { turns: self.clone(), id }
    }

    /// Gives away what is free.
    fn deal(&self) {
        loop {
            let granted = self.lock().next(self);
            let Some((turn, granted)) = granted else { return };
            // Nobody waits for it any more: it is free again, and dealt out by its end.
            drop(granted.send(turn));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Takes the place that is due, if there is one and someone for it.
    fn next(&mut self, turns: &Turns) -> Option<(Turn, oneshot::Sender<Turn>)> {
        if self.running >= self.all {
            return None;
        }
        let free = |jumps: &[Alias]| {
            jumps.iter().all(|jump| self.behind.get(jump).copied().unwrap_or(0) < self.behind_one)
        };
        let half = self.all.div_ceil(2);
        let has_half = |kind| self.of_kind.get(&kind).copied().unwrap_or(0) >= half;
        let due = self.queues.iter().filter(|(_, queue)| queue.running < queue.most);
        let due = due.filter_map(|(id, queue)| {
            let host = queue.hosts.iter().find(|(_, waiter)| free(&waiter.jumps))?;
            Some(((has_half(queue.kind), queue.running, queue.last), *id, *host.0))
        });
        let (_, id, host) = due.min()?;
        self.counter += 1;
        let queue = self.queues.get_mut(&id)?;
        let Waiter { jumps, granted } = queue.hosts.remove(&host)?;
        (queue.running, queue.last) = (queue.running + 1, self.counter);
        let kind = queue.kind;
        self.running += 1;
        *self.of_kind.entry(kind).or_default() += 1;
        for jump in &jumps {
            *self.behind.entry(jump.clone()).or_default() += 1;
        }
        let aside = AtomicBool::new(false);
        let turn = Turn { turns: turns.clone(), queue: id, kind, jumps, aside };
        Some((turn, granted))
    }

    fn leave(&mut self, queue: u64, kind: Kind) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.of_kind.get_mut(&kind) {
            *running = running.saturating_sub(1);
        }
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.running = queue.running.saturating_sub(1);
        }
    }
}

impl Queue {
    /// Waits for a turn of the host at this place of the fan-out, who is reached through these jump hosts. Who stops waiting has
    /// no turn and loses nothing: places decide, not when one came.
    pub(crate) async fn turn(&self, place: usize, jumps: Vec<Alias>) -> Turn {
        let (granted, turn) = oneshot::channel();
        if let Some(queue) = self.turns.lock().queues.get_mut(&self.id) {
            queue.hosts.insert(place, Waiter { jumps, granted });
        }
        let _leaving = Leaving { queue: self, place };
        self.turns.deal();
        match turn.await {
            Ok(turn) => turn,
            // The queue lives as long as this, so it cannot have dropped its waiters.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Takes a host that no longer waits out of its queue.
struct Leaving<'a> {
    queue: &'a Queue,
    place: usize,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut places = self.queue.turns.lock();
        if let Some(queue) = places.queues.get_mut(&self.queue.id) {
            // After the turn came there is nobody here.
            let waiter = queue.hosts.remove(&self.place);
            drop(places);
            drop(waiter);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let queue = self.turns.lock().queues.remove(&self.id);
        drop(queue);
    }
}

impl Turn {
    /// Makes room for another host while this one waits for an answer from the network.
    pub(crate) fn step_aside(&self) {
        let mut places = self.turns.lock();
        if places.aside >= places.most_aside || self.aside.swap(true, Ordering::Relaxed) {
            return;
        }
        places.aside += 1;
        places.leave(self.queue, self.kind);
        drop(places);
        self.turns.deal();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.turns.lock();
        if self.aside.load(Ordering::Relaxed) {
            places.aside = places.aside.saturating_sub(1);
        } else {
            places.leave(self.queue, self.kind);
        }
        for jump in &self.jumps {
            if let Some(behind) = places.behind.get_mut(jump) {
                *behind = behind.saturating_sub(1);
            }
        }
        drop(places);
        self.turns.deal();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt;

    use super::*;

    fn jumps(names: &[&str]) -> Vec<Alias> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// A fan-out whose hosts all wait from the start, as far as a test lets them.
    struct FanOut<'a> {
        waiting: Vec<Pin<Box<dyn Future<Output = Turn> + 'a>>>,
        at_work: Vec<Turn>,
    }

    impl<'a> FanOut<'a> {
        fn of(queue: &'a Queue, hosts: usize, jumps: &[Alias]) -> Self {
            let turn = |place| -> Pin<Box<dyn Future<Output = Turn> + 'a>> {
                Box::pin(queue.turn(place, jumps.to_vec()))
            };
            let mut all = Self { waiting: (0..hosts).map(turn).collect(), at_work: Vec::new() };
            all.look();
            all
        }

        fn look(&mut self) {
            let waiting = std::mem::take(&mut self.waiting);
            for mut turn in waiting {
                match turn.as_mut().now_or_never() {
                    Some(turn) => self.at_work.push(turn),
                    None => self.waiting.push(turn),
                }
            }
        }
    }

    const BOUNDS: Bounds = Bounds { all: 6, each: 4, behind_one: 2, aside: 6 };

    #[test]
    fn a_small_one_that_comes_second_does_not_wait_for_a_big_one() {
        let turns = Turns::default();
        let (first, second, third) =
            (turns.queue(BOUNDS), turns.queue(BOUNDS), turns.queue(BOUNDS));
        let mut big = FanOut::of(&first, 100, &[]);
        assert_eq!(big.at_work.len(), 4, "no fan-out takes all places");
        let mut other = FanOut::of(&second, 100, &[]);
        assert_eq!(other.at_work.len(), 2);
        let mut small = FanOut::of(&third, 2, &[]);
        assert_eq!(small.at_work.len(), 0);
        drop(big.at_work.pop());
        small.look();
        assert_eq!(small.at_work.len(), 1, "the next free place is its own");
        drop(big.at_work.pop());
        for one in [&mut small, &mut big, &mut other] {
            one.look();
        }
        assert_eq!((big.at_work.len(), other.at_work.len(), small.at_work.len()), (2, 2, 2));
    }

    /// However many are in the background, who waits gets every free place up to half of them; and the other way round.
    #[test]
    fn who_waits_and_what_is_in_the_background_have_half_each() {
        for (many, one) in [(Kind::Background, Kind::Waited), (Kind::Waited, Kind::Background)] {
            let turns = Turns::default();
            let queues: Vec<Queue> = (0..20).map(|_| turns.queue_of(many, BOUNDS)).collect();
            let mut all: Vec<_> = queues.iter().map(|queue| FanOut::of(queue, 500, &[])).collect();
            assert_eq!(all.iter().map(|one| one.at_work.len()).sum::<usize>(), BOUNDS.all);
            let small = turns.queue_of(one, BOUNDS);
            let mut small = FanOut::of(&small, 5, &[]);
            for ended in 1..=4 {
                let busy = all.iter_mut().find(|one| !one.at_work.is_empty()).unwrap();
                drop(busy.at_work.pop());
                all.iter_mut().for_each(FanOut::look);
                small.look();
                assert_eq!(small.at_work.len(), ended.min(3), "{one:?}");
            }
            // With nobody else to serve, all places are anybody's.
            drop(all);
            small.look();
            assert_eq!(small.at_work.len(), 4);
        }
    }

    #[test]
    fn a_full_jump_host_holds_up_only_who_is_behind_it() {
        let turns = Turns::default();
        let queue = turns.queue(BOUNDS);
        let gate = jumps(&["gate"]);
        let behind = FanOut::of(&queue, 5, &gate);
        assert_eq!(behind.at_work.len(), 2);
        let other = turns.queue(BOUNDS);
        assert_eq!(FanOut::of(&other, 5, &jumps(&["gate2"])).at_work.len(), 2);
        let mut rest = FanOut::of(&other, 5, &gate);
        assert_eq!(rest.at_work.len(), 0, "the bound is over all fan-outs");
        drop(behind);
        rest.look();
        assert_eq!(rest.at_work.len(), 2);
    }

    #[test]
    fn who_is_slow_to_connect_makes_room_and_who_gives_up_leaves_none_taken() {
        let turns = Turns::default();
        let queue = turns.queue(Bounds { all: 2, each: 2, behind_one: 1, aside: 2 });
        let mut all = FanOut::of(&queue, 6, &[]);
        assert_eq!(all.at_work.len(), 2);
        all.at_work.iter().for_each(Turn::step_aside);
        all.look();
        assert_eq!(all.at_work.len(), 4);
        all.at_work.iter().for_each(Turn::step_aside);
        all.look();
        assert_eq!(all.at_work.len(), 4, "no more than so many stand aside");
        drop(all);
        let places = turns.lock();
        assert_eq!((places.running, places.aside, places.of_kind[&Kind::Waited]), (0, 0, 0));
        assert!(places.queues.values().all(|queue| queue.hosts.is_empty() && queue.running == 0));
    }

    /// Whatever comes and goes: no bound is broken, no place stays free that someone may have, and nobody gets one while another
    /// fan-out with fewer hosts at work could have it.
    #[test]
    fn any_order_of_ends_keeps_the_bounds_and_leaves_no_place_empty() {
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..200 {
            let turns = Turns::default();
            let bounds = Bounds {
                all: 1 + random(8),
                each: 1 + random(5),
                behind_one: 1 + random(3),
                aside: 0,
            };
            let kinds: Vec<Kind> =
                (0..5).map(|_| [Kind::Waited, Kind::Background][random(2)]).collect();
            let queues: Vec<Queue> = kinds
                .iter()
                .take(1 + random(4))
                .map(|kind| turns.queue_of(*kind, bounds))
                .collect();
            let mut all: Vec<FanOut<'_>> = queues
                .iter()
                .map(|queue| {
                    let behind = ["a", "b"].get(random(3)).map(|name| jumps(&[name]));
                    FanOut::of(queue, random(20), &behind.unwrap_or_default())
                })
                .collect();
            loop {
                all.iter_mut().for_each(FanOut::look);
                let running: usize = all.iter().map(|one| one.at_work.len()).sum();
                assert!(running <= bounds.all);
                assert!(all.iter().all(|one| one.at_work.len() <= bounds.each));
                assert!(turns.lock().behind.values().all(|behind| *behind <= bounds.behind_one));
                let free = turns.lock().next(&turns);
                assert!(free.is_none(), "a place is free and someone waits");
                let busy: Vec<usize> =
                    (0..all.len()).filter(|one| !all[*one].at_work.is_empty()).collect();
                if busy.is_empty() {
                    break;
                }
                let one = &mut all[busy[random(busy.len())]];
                let which = random(one.at_work.len());
                drop(one.at_work.swap_remove(which));
            }
            assert!(all.iter().all(|one| one.waiting.is_empty()), "someone never had a turn");
        }
    }
}
