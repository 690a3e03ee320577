//! The addresses of one host, tried side by side (RFC 8305): one that is dead costs a quarter of a second, not a time-out.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

/// How long an address may stay the only one that is tried (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Most addresses that are named when none answered.
const MAX_NAMED: usize = 8;

/// What came of the first address that answered; the others are given up. A failure names each address, in the
/// words of its own attempt.
///
/// The families take turns, the one that the resolver prefers first. The next address is begun when one has failed, or when
/// nothing has come of the last one for a while; all together have `limit`, if there is one.
pub(crate) async fn race<T, F>(
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let order = in_turns(addresses);
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut failures: BTreeMap<usize, String> = BTreeMap::new();
    let mut waiting = order.iter().copied().enumerate();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some((place, address)) = waiting.next() {
            let trying = attempt(address);
            running.push(async move { (place, trying.await) });
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some((place, done)) = running.next() => match done {
                Ok(won) => return Ok(won),
                Err(why) => {
                    failures.insert(place, why);
                    if running.is_empty() && !more {
                        break;
                    }
                }
            },
            () = tokio::time::sleep(HEAD_START), if more => {}
            () = until(deadline) => break,
        }
    }
    let begun = order.len() - waiting.len();
    let silent = |place: usize| match limit {
        Some(limit) if place < begun => format!("did not answer within {} s", limit.as_secs()),
        Some(_) | None => "was not tried".to_owned(),
    };
    let named = order.iter().enumerate().take(MAX_NAMED).map(|(place, address)| {
        let why = failures.remove(&place);
        why.unwrap_or_else(|| format!("{address} {}", silent(place)))
    });
    let mut told: Vec<String> = named.collect();
    if order.len() > MAX_NAMED {
        told.push(format!("and {} more addresses", order.len() - MAX_NAMED));
    }
    Err(told.join("; "))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The addresses in their order, but one of each family after the other.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let mut other = other.into_iter();
    let mut order = Vec::with_capacity(addresses.len());
    for address in preferred {
        order.push(address);
        order.extend(other.next());
    }
    order.extend(other);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_the_preferred_one_first() {
        let (a, b, c) = ("10.0.0.1:22", "10.0.0.2:22", "10.0.0.3:22");
        let (x, y) = ("[::1]:22", "[::2]:22");
        for (given, order) in [
            (&[x, y, a, b, c][..], &[x, a, y, b, c][..]),
            (&[a, b, x, y], &[a, x, b, y]),
            (&[a, b], &[a, b]),
            (&[x], &[x]),
            (&[], &[]),
        ] {
            assert_eq!(in_turns(&addresses(given)), addresses(order));
        }
    }

    /// What comes of an address.
    #[derive(Clone, Copy)]
    enum Comes {
        Silence,
        Refusal,
        Answer,
        /// An answer once so many addresses were begun.
        AnswerAfter(usize),
    }

    /// Who won, and the addresses in the order in which they were begun.
    async fn run(
        list: &[(&str, Comes)],
        limit: Duration,
    ) -> (Result<SocketAddr, String>, Vec<SocketAddr>) {
        let comes: BTreeMap<SocketAddr, Comes> =
            list.iter().map(|(text, comes)| (text.parse().unwrap(), *comes)).collect();
        let begun = watch::Sender::new(Vec::new());
        let names: Vec<&str> = list.iter().map(|(text, _)| *text).collect();
        let attempt = |address: SocketAddr| {
            begun.send_modify(|all| all.push(address));
            let (comes, mut seen) = (comes[&address], begun.subscribe());
            async move {
                match comes {
                    Comes::Silence => std::future::pending().await,
                    Comes::Refusal => Err(format!("{address}: refused")),
                    Comes::Answer => Ok(address),
                    Comes::AnswerAfter(count) => {
                        seen.wait_for(|all| all.len() >= count).await.unwrap();
                        Ok(address)
                    }
                }
            }
        };
        let won = race(&addresses(&names), Some(limit), attempt).await;
        let begun = begun.borrow().clone();
        (won, begun)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_silent_address_keeps_no_other_waiting() {
        let list = [
            ("[::1]:1", Comes::Silence),
            ("[::1]:2", Comes::Silence),
            ("1.1.1.1:3", Comes::Answer),
        ];
        let start = Instant::now();
        let (won, begun) = run(&list, LONG).await;
        assert_eq!(won.unwrap(), "1.1.1.1:3".parse().unwrap());
        assert_eq!(
            begun,
            addresses(&["[::1]:1", "1.1.1.1:3"]),
            "the second IPv6 address comes after"
        );
        assert!(start.elapsed() >= HEAD_START);
    }

    #[tokio::test]
    async fn one_that_answers_late_still_wins() {
        let list = [
            ("1.1.1.1:1", Comes::AnswerAfter(3)),
            ("1.1.1.1:2", Comes::Refusal),
            ("1.1.1.1:3", Comes::Silence),
        ];
        let (won, begun) = run(&list, LONG).await;
        assert_eq!(won.unwrap(), "1.1.1.1:1".parse().unwrap());
        assert_eq!(begun.len(), 3);
    }

    /// Refusals take no time, so a hundred of them are over long before a second head start would be.
    #[tokio::test]
    async fn one_that_fails_makes_way_at_once() {
        let names: Vec<String> = (1..=100).map(|port| format!("1.1.1.1:{port}")).collect();
        let list: Vec<_> = names.iter().map(|name| (name.as_str(), Comes::Refusal)).collect();
        let (won, begun) = tokio::time::timeout(20 * HEAD_START, run(&list, LONG)).await.unwrap();
        assert_eq!(begun.len(), 100);
        let told = won.unwrap_err();
        assert!(told.ends_with("1.1.1.1:8: refused; and 92 more addresses"), "{told}");
    }

    #[tokio::test]
    async fn all_have_one_limit_and_each_is_named_with_its_own_failure() {
        let list = [
            ("[::1]:1", Comes::Silence),
            ("1.1.1.1:2", Comes::Refusal),
            ("1.1.1.1:3", Comes::Silence),
        ];
        let (won, _) = run(&list, Duration::from_secs(1)).await;
        assert_eq!(
            won.unwrap_err(),
            "[::1]:1 did not answer within 1 s; 1.1.1.1:2: refused; 1.1.1.1:3 did not answer within 1 s"
        );
        let (won, _) = run(&list, HEAD_START / 5).await;
        let told = won.unwrap_err();
        assert!(told.ends_with("1.1.1.1:2 was not tried; 1.1.1.1:3 was not tried"), "{told}");
    }
}
