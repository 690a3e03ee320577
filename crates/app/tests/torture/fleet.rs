//! Fan-outs over many hosts of which some refuse connections, some hang and some die in the middle: every host has one outcome of
//! the right kind, the healthy ones do not wait for the others, the deadline holds, and fan-outs share what there is.
//!
//! The plain test run takes few hosts and asserts no times; `scripts/fleet` takes a thousand in a release build and asserts the
//! ratio.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use sshepherd_engine::audit::Timestamp;
use sshepherd_testkit::fakehost::Fault;
use tempfile::TempDir;

use crate::crowd::{Kind, configure};
use crate::ground::serve;
use crate::load::cpu_ms;
use crate::server::{Pid, Server};
use crate::setting;

/// What is waited for must come within this; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// A twentieth each refuses connections, says nothing and dies after some output; the others are healthy. As many as those, the
/// spare ones, are healthy as well.
struct Fleet {
    /// Also keeps the hosts running.
    kinds: [Kind; 4],
    bad: usize,
    healthy: usize,
    folder: TempDir,
}

impl Fleet {
    fn new(hosts: usize, settings: &str) -> Self {
        let bad = hosts / 20;
        let healthy = hosts - 3 * bad;
        let kinds = [
            Kind::start("healthy", healthy, None),
            Kind::start("silent", bad, Some(Fault::SilentBanner)),
            Kind::start("dying", bad, Some(Fault::CutAfterBytes(600))),
            Kind::start("spare", 3 * bad, None),
        ];
        // All at once, so that no two are the same; free again, so that nobody listens.
        let free: Vec<TcpListener> =
            (0..bad).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let closed: Vec<u16> = free.iter().map(|free| free.local_addr().unwrap().port()).collect();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        // Whose end came when is read there, so that asking costs nothing while it runs.
        let settings = format!("audit: {{path: audit.jsonl}}\n{settings}");
        configure(folder.path(), &kinds, &closed, &settings);
        Self { kinds, bad, healthy, folder }
    }

    fn server(&self, pid: &Pid) -> Server {
        Server::start(serve(self.folder.path()), pid).unwrap()
    }

    /// How long after `began` the last healthy host had its end.
    fn healthy_done(&self, began: SystemTime) -> Duration {
        let log = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        let began = Timestamp::from(began);
        let ends = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ends: Vec<Timestamp> = ends
            .filter(|entry| entry["event"] == "execution_end")
            .filter(|entry| entry["alias"].as_str().unwrap().starts_with("healthy"))
            .map(|entry| entry["ts"].as_str().unwrap().parse::<Timestamp>().unwrap())
            .filter(|end| *end >= began)
            .collect();
        assert_eq!(ends.len(), self.healthy);
        let last = ends.into_iter().max().unwrap();
        Duration::from_millis(last.as_millis() - began.as_millis())
    }
}

/// The hosts of which some fail.
const FAULTY: &str = "all minus spare*";

fn start(server: &mut Server, call: &Value) -> Value {
    let mut call = call.clone();
    call["background"] = json!(true);
    let answer = server.call("ssh_run_on_tag", call).unwrap();
    assert_eq!(answer["status"], "pending", "{answer}");
    answer["task_id"].clone()
}

/// Asks for the counts each time a host has ended, until they are as wanted.
fn until(server: &mut Server, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = server.call("ssh_get_task_status", json!({"task_id": id})).unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status}");
        let wait = json!({"task_id": id, "max_lines": 1, "wait_ms": 1000});
        server.call("ssh_get_task_output", wait).unwrap();
    }
}

fn ended(status: &Value) -> bool {
    !["pending", "running", "paused"].contains(&status["status"].as_str().unwrap())
}

/// How often each host is in the output of a fan-out that has ended, and with which end.
fn ends(server: &mut Server, id: &Value) -> BTreeMap<String, Vec<String>> {
    let (mut ends, mut cursor) = (BTreeMap::<String, Vec<String>>::new(), json!(0));
    loop {
        let call = json!({"task_id": id, "cursor": cursor});
        let page = server.call("ssh_get_task_output", call).unwrap();
        for line in page["output_lines"].as_array().unwrap() {
            let Some(heading) = line.as_str().unwrap().strip_prefix("== ") else { continue };
            let (alias, rest) = heading.split_once(": ").unwrap();
            let end = rest.split([',', ' ']).next().unwrap().to_owned();
            ends.entry(alias.to_owned()).or_default().push(end);
        }
        if page["eof"] == true {
            return ends;
        }
        cursor = page["next_cursor"].clone();
    }
}

/// Waits until a fan-out is over, and asks as seldom as it is told that there is news.
fn over(server: &mut Server, id: &Value) -> Value {
    let deadline = Instant::now() + PATIENCE;
    server.watch(&format!("ssh://task/{}", id.as_str().unwrap())).unwrap();
    loop {
        let status = server.call("ssh_get_task_status", json!({"task_id": id})).unwrap();
        if ended(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status}");
        server.note().unwrap();
    }
}

/// How long it takes until the healthy hosts are done, by a server that has no connections yet.
fn time(fleet: &Fleet, selector: &str) -> Duration {
    let pid = Pid::default();
    let mut server = fleet.server(&pid);
    let began = SystemTime::now();
    let id = start(&mut server, &json!({"selector": selector, "command": "seq 1 500"}));
    let status = over(&mut server, &id);
    let (all, cpu) = (began.elapsed().unwrap(), cpu_ms(pid.load(Ordering::SeqCst)));
    let took = fleet.healthy_done(began);
    if selector == FAULTY {
        assert_eq!(status["hosts"]["failed"], 3 * fleet.bad, "{status}");
        right_ends(fleet, &ends(&mut server, &id));
        let result = server.call("ssh_get_task_result", json!({"task_id": id})).unwrap();
        println!("slowest: {}", result["slowest"]);
    }
    println!(
        "{selector}: {} healthy hosts done after {} ms, all after {} ms; the server's processor time {cpu} ms",
        fleet.healthy,
        took.as_millis(),
        all.as_millis()
    );
    took
}

fn right_ends(fleet: &Fleet, ends: &BTreeMap<String, Vec<String>>) {
    assert_eq!(ends.len(), fleet.healthy + 3 * fleet.bad);
    for (alias, end) in ends {
        let kind = alias.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let wanted = match kind {
            "healthy" => "completed",
            "dying" => "interrupted",
            _ => "could_not_connect",
        };
        assert_eq!(*end, [wanted], "{alias}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn hosts_that_fail_hold_no_others_up_and_each_has_one_end() {
    let fleet = Fleet::new(usize::try_from(setting("FLEET_HOSTS", 60)).unwrap(), "");
    // By themselves, as those of a fan-out whose other hosts are healthy too, and of one whose others fail.
    let ways = ["healthy*", "healthy* or spare*", FAULTY];
    let mut times = ways.map(|_| Vec::new());
    for _ in 0..setting("FLEET_TURNS", 1) {
        for (way, times) in ways.iter().zip(&mut times) {
            times.push(time(&fleet, way));
        }
    }
    let [alone, whole, among] = times.map(|times| median(times).as_millis());
    let percent = |of: u128| among * 100 / of.max(1);
    println!(
        "the same {} healthy hosts: {among} ms among hosts that fail; {whole} ms among as many healthy ones ({} %); {alone} ms by \
         themselves ({} %)",
        fleet.healthy,
        percent(whole),
        percent(alone)
    );
    // A timed assertion is for the script, on a machine that does nothing else. By themselves is the strict measure: it counts
    // all that the others cost, and not only what their failing does.
    let most = setting("FLEET_MOST_PERCENT", u64::MAX);
    assert!(percent(alone) <= u128::from(most), "{} %", percent(alone));
}

#[test]
fn the_deadline_of_a_fan_out_holds_whatever_its_hosts_do() {
    let fleet = Fleet::new(usize::try_from(setting("FLEET_HOSTS", 60)).unwrap(), "");
    let mut server = fleet.server(&Pid::default());
    let began = Instant::now();
    let call = json!({"selector": FAULTY, "command": "sleep 600", "deadline_seconds": 3});
    let id = start(&mut server, &call);
    let status = until(&mut server, &id, ended);
    let took = began.elapsed();
    println!("deadline of 3 s: over after {} ms: {}", took.as_millis(), status["hosts"]);
    // What heeds TERM needs none of the grace before KILL; what has lost its connection is not waited for.
    let most = Duration::from_secs(3 + setting("FLEET_STOPPING_SECONDS", 60));
    assert!(took >= Duration::from_secs(3) && took < most, "{took:?}");
    let all = ends(&mut server, &id);
    assert_eq!(all.len(), fleet.healthy + 3 * fleet.bad);
    for (alias, end) in &all {
        assert_eq!(end.len(), 1, "{alias}: {end:?}");
        assert_ne!(end[0], "completed", "{alias}");
    }
    let [healthy, ..] = &fleet.kinds;
    assert_eq!(healthy.processes(), Vec::<u32>::new(), "all that ran was seen dead");
}

#[test]
fn a_small_fan_out_and_single_hosts_do_not_wait_for_big_ones() {
    let fleet = Fleet::new(12, "fan_out: {parallel: 2}\n");
    let mut server = fleet.server(&Pid::default());
    let big = json!({"selector": "healthy*", "command": "sleep 600"});
    let (first, second) = (start(&mut server, &big), start(&mut server, &big));
    // Two fan-outs have two hosts each at work, and all places are taken.
    let full = |status: &Value| status["hosts"]["running"] == 2;
    for id in [&first, &second] {
        let asked = Instant::now();
        while !full(&server.call("ssh_get_task_status", json!({"task_id": id})).unwrap()) {
            assert!(asked.elapsed() < PATIENCE);
        }
    }
    let alone = server.call("ssh_run", json!({"alias": "healthy11", "command": "hostname"}));
    assert_eq!(alone.unwrap()["exit_code"], 0, "a single host waits for no fan-out");
    let small = json!({"selector": "healthy10", "command": "hostname"});
    let small = start(&mut server, &small);
    let status = server.call("ssh_get_task_status", json!({"task_id": small})).unwrap();
    assert_eq!(status["hosts"]["completed"], 0, "there is no place: {status}");
    let one = json!({"task_id": first, "alias": "healthy0"});
    let stopped = server.call("ssh_cancel", one).unwrap();
    assert_eq!(stopped["cancelled"], true, "{stopped}");
    let status = until(&mut server, &small, ended);
    assert_eq!(status["hosts"]["completed"], 1, "the free place was its own: {status}");
    for id in [&first, &second] {
        server.call("ssh_cancel", json!({"task_id": id})).unwrap();
    }
}
