//! What every backend must do, generic over the backend.

use sshepherd_model::{ConnectFailure, Outcome, Phase, Stopped, Stream};
use sshepherd_store::{
    CALLERS_KEY, Durability, Error, Finish, Heard, Hint, ListQuery, Lookup, News, Orphans, Patch,
    Spent, State, Store, StreamFilter, Swept, Wish,
};

use crate::common::{chunk, err, exit, flat, found, new_task, out, page, running, started};

/// Runs the whole suite; `make` gives an empty store each time.
pub(crate) async fn conformance<S: Store>(make: impl AsyncFn() -> S) {
    a_life(&make().await).await;
    endings(&make().await).await;
    illegal_steps(&make().await).await;
    cancel_requests(&make().await).await;
    wishes(&make().await).await;
    live_output(&make().await).await;
    over_the_limit(&make().await).await;
    filters(&make().await).await;
    characters(&make().await).await;
    tails(&make().await).await;
    heads_and_tails(&make().await).await;
    lists(&make().await).await;
    expiry(&make().await).await;
    hints(&make().await).await;
    names(&make().await).await;
    callers_names(&make().await).await;
    the_runner_s_words(&make().await).await;
}

async fn a_life(store: &impl Store) {
    let new = new_task(1);
    let id = new.id.clone();
    assert_eq!(store.get(&id).await.unwrap(), Lookup::Unknown);
    let created = store.create(new.clone()).await.unwrap();
    assert_eq!((created.status, created.created_at), (State::Pending, 1000));
    assert_eq!(found(store.get(&id).await.unwrap()), created);
    assert!(matches!(store.create(new).await, Err(Error::Exists { .. })));
    let target_ip = "192.0.2.7".parse().unwrap();
    let _ = store.patch(&id, Patch::Connected { target_ip }).await.unwrap();
    let task = found(store.patch(&id, started(1100)).await.unwrap());
    assert_eq!((task.status, task.started_at), (State::Running, Some(1100)));
    out(store, &id, "ab\nc").await;
    let totals = err(store, &id, "de\n").await;
    assert_eq!((totals.stdout, totals.stderr, totals.lines, totals.missing), (4, 3, 2, 0));
    let task = exit(store, &id, 0).await;
    assert_eq!((task.status, task.ended_at), (State::Completed, Some(2000)));
    assert_eq!(
        (task.outcome.clone(), task.target_ip),
        (Some(Outcome::Exited { status: 0 }), Some(target_ip))
    );
    assert_eq!((task.output, task.elapsed_ms(9999)), (totals, 1000));
    assert_eq!(found(store.get(&id).await.unwrap()), task);
}

/// A caller's own name for a task is taken as long as its result is kept.
async fn names(store: &impl Store) {
    let named = |nonce| {
        let mut new = new_task(nonce);
        new.key = Some("deploy-7".to_owned());
        new
    };
    let first = store.create(named(1)).await.unwrap();
    assert_eq!(first.key.as_deref(), Some("deploy-7"));
    let Err(Error::KeyTaken { task }) = store.create(named(2)).await else { panic!("taken twice") };
    assert_eq!(task.id, first.id);
    assert_eq!(store.named("deploy-7").await.unwrap().map(|task| task.id), Some(first.id.clone()));
    assert_eq!(store.named("deploy-8").await.unwrap(), None);
    assert_eq!(store.get(&new_task(2).id).await.unwrap(), Lookup::Unknown);
    let _ = store.patch(&first.id, started(1)).await.unwrap();
    exit(store, &first.id, 0).await;
    assert!(matches!(store.create(named(3)).await, Err(Error::KeyTaken { .. })));
    store.sweep(u64::MAX).await.unwrap();
    store.create(named(4)).await.unwrap();
}

/// A caller's name for a task outlives its result: for so long nothing runs under it again.
async fn callers_names(store: &impl Store) {
    let key = format!("{CALLERS_KEY}deploy-7");
    let named = |nonce, created_at| {
        let mut new = new_task(nonce);
        (new.key, new.created_at, new.digest) = (Some(key.clone()), created_at, Some("d".into()));
        new
    };
    let first = store.create(named(1, 1000)).await.unwrap();
    let _ = store.patch(&first.id, started(1)).await.unwrap();
    exit(store, &first.id, 0).await;
    assert_eq!(store.spent(&key, 400_000).await.unwrap(), None, "its result is there");
    // Twice, as after a crash in between.
    for _ in 0..2 {
        store.sweep(400_000).await.unwrap();
    }
    assert_eq!(store.get(&first.id).await.unwrap(), Lookup::Expired);
    assert_eq!(store.named(&key).await.unwrap(), None);
    let until = 1000 + 86_400_000;
    let spent =
        Spent { id: first.id.clone(), status: State::Completed, digest: Some("d".into()), until };
    assert_eq!(store.spent(&key, until - 1).await.unwrap(), Some(spent.clone()));
    let refused = store.create(named(2, until - 1)).await;
    assert!(matches!(refused, Err(Error::KeySpent { spent: known }) if *known == spent));
    assert_eq!(store.get(&new_task(2).id).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.spent(&key, until).await.unwrap(), None);
    // Free with or without a sweep in between.
    let third = store.create(named(3, until)).await.unwrap();
    assert_eq!(store.named(&key).await.unwrap().map(|task| task.id), Some(third.id.clone()));
    let _ = store.patch(&third.id, started(1)).await.unwrap();
    exit(store, &third.id, 0).await;
    store.sweep(u64::MAX).await.unwrap();
    assert_eq!(store.spent(&key, u64::MAX - 1).await.unwrap(), None);
    store.create(named(4, 1000)).await.unwrap();
}

/// Errand, place and durability are kept for whoever takes the task over; the errand no longer than needed.
async fn the_runner_s_words(store: &impl Store) {
    let id = store.create(new_task(1)).await.unwrap().id;
    let task = found(store.get(&id).await.unwrap());
    assert_eq!((task.errand.as_deref(), task.place, task.durability), (Some("{}"), None, None));
    let _ = store.patch(&id, started(5)).await.unwrap();
    let _ = store.patch(&id, Patch::Placed { place: "/jobs/1".into() }).await.unwrap();
    let task = found(store.get(&id).await.unwrap());
    assert_eq!(task.durability, Some(Durability::Job));
    assert_eq!(task.place.as_deref(), Some("/jobs/1"));
    let _ = store.patch(&id, Patch::Attached).await.unwrap();
    let task = found(store.get(&id).await.unwrap());
    assert_eq!(task.durability, Some(Durability::Attached));
    assert_eq!(exit(store, &id, 0).await.errand, None);
    assert_eq!(store.claim(Orphans::All).await.unwrap(), []);
    let late = store.patch(&id, Patch::Attached).await;
    assert!(matches!(late, Err(Error::Ended { .. })));
}

/// Seed defects 2 and 10: each fate keeps its own status and its own outcome.
async fn endings(store: &impl Store) {
    let stopped = Stopped::Confirmed;
    let failure =
        ConnectFailure { phase: Phase::Dial, detail: "refused".into(), hint: String::new() };
    let cases = [
        (Outcome::Exited { status: 0 }, State::Completed),
        (Outcome::Exited { status: 3 }, State::Failed),
        (Outcome::Signalled { signal: "SEGV".into() }, State::Failed),
        (Outcome::NotStarted(failure), State::Failed),
        (Outcome::Denied { reason: "rule".into() }, State::Failed),
        (Outcome::lost("cut"), State::Interrupted),
        (Outcome::Cancelled { stopped }, State::Cancelled),
        (Outcome::TimedOut { stopped }, State::TimedOut),
    ];
    for (nonce, (outcome, status)) in (0..).zip(cases) {
        let id = running(store, nonce, 100).await;
        let task = store.finish(&id, Finish { outcome: outcome.clone(), at: 5 }).await.unwrap();
        assert_eq!((task.status, task.outcome), (status, Some(outcome)));
        let again = Finish { outcome: Outcome::Exited { status: 1 }, at: 6 };
        assert!(matches!(store.finish(&id, again).await, Err(Error::Illegal { .. })));
        assert_eq!(found(store.get(&id).await.unwrap()).status, status);
    }
}

async fn illegal_steps(store: &impl Store) {
    let id = store.create(new_task(1)).await.unwrap().id;
    let text = bytes::Bytes::from_static(b"x");
    let early = store.append(&id, Stream::Stdout, text.clone()).await;
    assert!(matches!(early, Err(Error::NotRunning { state: State::Pending, .. })));
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 5 };
    assert!(matches!(store.finish(&id, end.clone()).await, Err(Error::Illegal { .. })));
    let _ = store.patch(&id, started(1)).await.unwrap();
    let twice = store.patch(&id, started(2)).await;
    assert!(matches!(twice, Err(Error::Illegal { .. })));
    assert_eq!(found(store.get(&id).await.unwrap()).started_at, Some(1));
    exit(store, &id, 0).await;
    let late = store.append(&id, Stream::Stdout, text.clone()).await;
    assert!(matches!(late, Err(Error::NotRunning { state: State::Completed, .. })));
    let target_ip = "192.0.2.7".parse().unwrap();
    let late = store.patch(&id, Patch::Connected { target_ip }).await;
    assert!(matches!(late, Err(Error::Ended { .. })));
    let nobody = new_task(99).id;
    assert!(matches!(store.append(&nobody, Stream::Stdout, text).await, Err(Error::Gone { .. })));
    assert!(matches!(store.finish(&nobody, end).await, Err(Error::Gone { .. })));
    assert_eq!(store.patch(&nobody, started(1)).await.unwrap(), Lookup::Unknown);
}

async fn cancel_requests(store: &impl Store) {
    let id = running(store, 1, 100).await;
    let ask = |at| Patch::RequestCancel { at };
    let task = found(store.patch(&id, ask(7)).await.unwrap());
    assert_eq!((task.status, task.cancel_requested_at), (State::Running, Some(7)));
    let task = found(store.patch(&id, ask(8)).await.unwrap());
    assert_eq!(task.cancel_requested_at, Some(7), "the first request counts");
    let done = running(store, 2, 100).await;
    let ended = exit(store, &done, 0).await;
    assert_eq!(found(store.patch(&done, ask(9)).await.unwrap()), ended, "an end stays an end");
}

async fn wishes(store: &impl Store) {
    let id = running(store, 1, 100).await;
    let mut listener = store.subscribe();
    let wish = |wish| store.patch(&id, Patch::Wish(wish));
    let web: sshepherd_model::Alias = "web1".parse().unwrap();
    let _ = wish(Wish::Resume).await.unwrap();
    let task = found(wish(Wish::Pause).await.unwrap());
    assert!(task.wishes.paused && task.wishes.skipped.is_empty());
    let _ = wish(Wish::Pause).await.unwrap();
    let task = found(wish(Wish::Skip(web.clone())).await.unwrap());
    assert!(task.wishes.paused && task.wishes.skipped.contains(&web));
    let task = found(wish(Wish::Resume).await.unwrap());
    assert!(!task.wishes.paused && task.wishes.skipped.contains(&web));
    for _ in 0..3 {
        let news = Hint { id: id.clone(), news: News::Wished };
        assert_eq!(listener.next().await, Heard::Hint(news), "what changes nothing is no news");
    }
    let ended = exit(store, &id, 0).await;
    assert_eq!(found(store.patch(&id, Patch::Wish(Wish::Pause)).await.unwrap()), ended);
}

/// Seed defect 1: output was empty while a task ran.
async fn live_output(store: &impl Store) {
    let id = running(store, 1, 100).await;
    let first = page(store, &id, 0, 10).await;
    assert!((first.chunks.is_empty(), first.next, first.end) == (true, 0, false));
    out(store, &id, "one").await;
    out(store, &id, " two\n").await;
    err(store, &id, "bad\n").await;
    out(store, &id, "three").await;
    let all = page(store, &id, 0, 100).await;
    assert_eq!(
        all.chunks,
        [
            chunk(Stream::Stdout, "one two\n"),
            chunk(Stream::Stderr, "bad\n"),
            chunk(Stream::Stdout, "three")
        ]
    );
    assert_eq!((all.from, all.next, all.total, all.end), (0, 17, 17, false));
    let part = page(store, &id, 5, 5).await;
    assert_eq!(part.chunks, [chunk(Stream::Stdout, "wo\n"), chunk(Stream::Stderr, "ba")]);
    assert_eq!((part.from, part.next), (5, 10));
    exit(store, &id, 0).await;
    assert!(page(store, &id, 10, 100).await.end);
    assert!(page(store, &id, 17, 1).await.end);
    let beyond = store.read(&id, 18, 1, StreamFilter::Both).await;
    assert!(matches!(beyond, Err(Error::BeyondEnd { from: 18, total: 17, .. })));
}

/// Seed defect 5: output over the limit was cut with no sign of it.
async fn over_the_limit(store: &impl Store) {
    let id = running(store, 1, 10).await;
    out(store, &id, "0123456789").await;
    assert_eq!(page(store, &id, 0, 100).await.missing_before, 0);
    let totals = out(store, &id, "abcdef").await;
    assert_eq!((totals.stdout, totals.missing), (16, 6));
    exit(store, &id, 0).await;
    let head = page(store, &id, 0, 100).await;
    assert_eq!((flat(&head.chunks), head.next, head.end), (b"01234".to_vec(), 5, false));
    for (asked, missing) in [(5, 6), (8, 3)] {
        let tail = page(store, &id, asked, 100).await;
        assert_eq!((tail.missing_before, tail.from, tail.next), (missing, 11, 16));
        assert_eq!((flat(&tail.chunks), tail.end), (b"bcdef".to_vec(), true));
    }
    let none = running(store, 2, 0).await;
    out(store, &none, "abc").await;
    exit(store, &none, 0).await;
    let nothing = page(store, &none, 0, 9).await;
    assert_eq!((nothing.missing_before, nothing.next, nothing.end), (3, 3, true));
}

async fn filters(store: &impl Store) {
    let id = running(store, 1, 100).await;
    for n in 0..4 {
        out(store, &id, format!("o{n}")).await;
        err(store, &id, format!("e{n}")).await;
    }
    let only =
        async |from, max| found(store.read(&id, from, max, StreamFilter::Stderr).await.unwrap());
    let first = only(0, 5).await;
    assert_eq!((flat(&first.chunks), first.next), (b"e0e1e".to_vec(), 11));
    let rest = only(first.next, 5).await;
    assert_eq!((flat(&rest.chunks), rest.next), (b"2e3".to_vec(), 16));
}

/// A character is in one page or the other, never in both halves.
async fn characters(store: &impl Store) {
    let id = running(store, 1, 100).await;
    out(store, &id, "aé€").await;
    let cut = page(store, &id, 0, 2).await;
    assert_eq!((flat(&cut.chunks), cut.next), (b"a".to_vec(), 1));
    assert_eq!(page(store, &id, 3, 1).await.next, 4, "a page too small for it still goes on");
    out(store, &id, &"😀".as_bytes()[..3]).await;
    let live = page(store, &id, 6, 9).await;
    assert!((live.chunks.is_empty(), live.next, live.total) == (true, 6, 9), "{live:?}");
    out(store, &id, &"😀".as_bytes()[3..]).await;
    assert_eq!(flat(&page(store, &id, 6, 9).await.chunks), "😀".as_bytes());
    let gap = running(store, 2, 8).await;
    out(store, &gap, "€€€€€").await;
    let (head, tail) = (page(store, &gap, 0, 99).await, page(store, &gap, 3, 99).await);
    assert_eq!((flat(&head.chunks), head.next), ("€".into(), 3));
    assert_eq!((flat(&tail.chunks), tail.missing_before, tail.next), ("€".into(), 9, 15));
}

async fn tails(store: &impl Store) {
    let id = running(store, 1, 1000).await;
    let last = async |n, max| {
        let tail = found(store.tail_lines(&id, n, max).await.unwrap());
        let lines: Vec<String> =
            tail.lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        (lines.join("|"), tail.total_lines, tail.first_cut, tail.has_more)
    };
    assert_eq!(last(5, 100).await, (String::new(), 0, false, false));
    out(store, &id, "one\ntwo\n\nfo").await;
    assert_eq!(last(9, 100).await, ("one|two||fo".into(), 4, false, false));
    err(store, &id, "ur\n").await;
    assert_eq!(last(9, 100).await, ("one|two||four".into(), 4, false, false));
    assert_eq!(last(2, 100).await, ("|four".into(), 4, false, true));
    assert_eq!(last(9, 9).await, ("|four".into(), 4, false, true));
    assert_eq!(last(9, 10).await, ("two||four".into(), 4, false, true));
    assert_eq!(last(9, 3).await, ("ur".into(), 4, true, true));
    assert_eq!(last(0, 100).await, (String::new(), 4, false, true));
    out(store, &id, "x€€").await;
    assert_eq!(last(1, 4).await, ("€".into(), 5, true, true));
    let gap = running(store, 2, 10).await;
    out(store, &gap, "first\nsecond\nthird\n").await;
    let tail = found(store.tail_lines(&gap, 9, 100).await.unwrap());
    assert_eq!((tail.lines, tail.total_lines), (vec![b"hird".to_vec()], 3));
    assert!(tail.first_cut && tail.has_more);
}

async fn heads_and_tails(store: &impl Store) {
    let id = running(store, 1, 1000).await;
    out(store, &id, "0123456789").await;
    err(store, &id, "abcdefghij").await;
    let bound = async |budget, filter| {
        let answer = found(store.head_tail(&id, budget, filter).await.unwrap());
        let text = |chunks| String::from_utf8(flat(chunks)).unwrap();
        (text(&answer.head), answer.missing, text(&answer.tail), answer.total)
    };
    let both = StreamFilter::Both;
    assert_eq!(bound(20, both).await, ("0123456789abcdefghij".into(), 0, String::new(), 20));
    assert_eq!(bound(7, both).await, ("012".into(), 13, "ghij".into(), 20));
    assert_eq!(bound(0, both).await, (String::new(), 20, String::new(), 20));
    assert_eq!(bound(10, StreamFilter::Stderr).await, ("abcdefghij".into(), 0, String::new(), 10));
    assert_eq!(bound(4, StreamFilter::Stdout).await, ("01".into(), 6, "89".into(), 10));
    let wide = running(store, 2, 1000).await;
    out(store, &wide, "€€€€").await;
    let answer = found(store.head_tail(&wide, 8, both).await.unwrap());
    assert_eq!(
        (flat(&answer.head), answer.missing, flat(&answer.tail)),
        ("€".into(), 6, "€".into())
    );
    let gap = running(store, 3, 10).await;
    out(store, &gap, "0123456789abcdef").await;
    let answer = found(store.head_tail(&gap, 100, both).await.unwrap());
    assert_eq!(
        (flat(&answer.head), answer.missing, flat(&answer.tail)),
        ("01234".into(), 6, "bcdef".into())
    );
}

async fn lists(store: &impl Store) {
    for nonce in 0..5_u64 {
        let mut new = new_task(nonce.into());
        new.created_at = 100 - nonce / 2;
        store.create(new).await.unwrap();
    }
    let all = store.list(ListQuery::default()).await.unwrap();
    let key = |task: &sshepherd_store::Task| {
        (std::cmp::Reverse(task.created_at), std::cmp::Reverse(task.id.clone()))
    };
    assert!(all.tasks.is_sorted_by_key(key) && all.tasks.len() == 5 && all.next.is_none());
    let mut seen = Vec::new();
    let mut query = ListQuery { limit: 2, ..ListQuery::default() };
    loop {
        let part = store.list(query.clone()).await.unwrap();
        seen.extend(part.tasks);
        match part.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all.tasks);
    let _ = store.patch(&seen[0].id, started(1)).await.unwrap();
    let only = ListQuery { states: vec![State::Running], ..ListQuery::default() };
    assert_eq!(store.list(only).await.unwrap().tasks.len(), 1);
    let other = ListQuery { alias: Some("db".parse().unwrap()), ..ListQuery::default() };
    assert!(store.list(other).await.unwrap().tasks.is_empty());
}

/// The time to live counts from the end; what expired is told from what never was; what runs never expires.
async fn expiry(store: &impl Store) {
    let (done, at_work) = (running(store, 1, 100).await, running(store, 2, 100).await);
    exit(store, &done, 0).await;
    assert_eq!(store.sweep(301_999).await.unwrap(), Swept::default());
    assert_eq!(store.sweep(302_000).await.unwrap(), Swept { expired: 1 });
    assert_eq!(store.sweep(u64::MAX).await.unwrap(), Swept::default());
    assert_eq!(store.get(&done).await.unwrap(), Lookup::Expired);
    assert_eq!(store.read(&done, 5, 1, StreamFilter::Both).await.unwrap(), Lookup::Expired);
    assert_eq!(store.tail_lines(&done, 1, 1).await.unwrap(), Lookup::Expired);
    assert_eq!(store.head_tail(&done, 1, StreamFilter::Both).await.unwrap(), Lookup::Expired);
    assert_eq!(store.get(&new_task(3).id).await.unwrap(), Lookup::Unknown);
    assert_eq!(found(store.get(&at_work).await.unwrap()).status, State::Running);
    assert!(matches!(store.create(new_task(1)).await, Err(Error::Exists { .. })));
}

async fn hints(store: &impl Store) {
    let mut listener = store.subscribe();
    let other = new_task(2).id;
    let mut others = store.subscribe_to(&other);
    let mut own = store.subscribe_to(&new_task(1).id);
    let id = running(store, 1, 100).await;
    out(store, &id, "abc").await;
    let _ = store.patch(&id, Patch::RequestCancel { at: 1 }).await.unwrap();
    let outcome = Outcome::Cancelled { stopped: Stopped::Confirmed };
    store.finish(&id, Finish { outcome, at: 2 }).await.unwrap();
    for news in [
        News::State(State::Pending),
        News::State(State::Running),
        News::Grew { total: 3 },
        News::CancelRequested,
        News::State(State::Cancelled),
    ] {
        assert_eq!(listener.next().await, Heard::Hint(Hint { id: id.clone(), news }));
        assert_eq!(own.next().await, Heard::Hint(Hint { id: id.clone(), news }));
    }
    // Who listens to one task hears of no other.
    running(store, 2, 100).await;
    assert_eq!(
        others.next().await,
        Heard::Hint(Hint { id: other, news: News::State(State::Pending) })
    );
}
