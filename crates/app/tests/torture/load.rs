//! Endless outputs and silent hosts: memory stays bounded, healthy hosts go on answering, and every one of the others
//! comes to its proper end.
//!
//! Calm and load take turns, so that what else the machine does falls on both. The plain test run makes a small crowd and
//! asserts no times; `scripts/load` makes the whole one in a release build and asserts their ratio.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crowd::{Crowd, Size};
use crate::server::{Pid, Server};
use crate::setting;

/// What the server may have in memory at most.
const MOST_KIB: u64 = 256 * 1024;

/// A load is measured for so long at most: silent hosts are given up after ten seconds, and all must be silent till its end.
const MEASURED: Duration = Duration::from_secs(8);

/// What is waited for must come within this; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);

struct Trial {
    crowd: Crowd,
    size: Size,
    server: Server,
    pid: u32,
    calls: usize,
}

/// The tasks of one turn of load.
struct Load {
    endless: Vec<String>,
    silent: Vec<String>,
    silent_since: Instant,
}

#[test]
fn endless_outputs_and_silent_hosts_harm_nobody() {
    let count = |name, short| usize::try_from(setting(name, short)).unwrap();
    let size = Size {
        healthy: count("LOAD_HEALTHY", 4),
        silent: count("LOAD_SILENT", 50),
        endless: count("LOAD_ENDLESS", 16),
        rate: Some(setting("LOAD_RATE", 256 * 1024)).filter(|rate| *rate > 0),
    };
    let crowd = Crowd::new(size);
    let pid = Pid::default();
    let server = Server::start(crowd.serve(), &pid).unwrap();
    let pid = pid.load(Ordering::SeqCst);
    let mut trial = Trial { crowd, size, server, pid, calls: count("LOAD_CALLS", 40) };
    println!("{size:?}");
    // Connections first: what is measured is warm.
    trial.healthy(Duration::MAX);
    let (mut calm, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..setting("LOAD_TURNS", 1) {
        calm.extend(trial.measure("calm", MEASURED));
        let load = trial.begin();
        let left = MEASURED.saturating_sub(load.silent_since.elapsed());
        loaded.extend(trial.measure("load", left));
        trial.end(&load);
    }
    let most = kib(trial.pid, "VmHWM:");
    let [calm, loaded] = [calm, loaded].map(Figures::of);
    println!("calm: {calm}\nload: {loaded}\nmost memory of the server: {} MiB", most / 1024);
    assert!(most <= MOST_KIB, "{most} KiB");
    // A timed assertion is for the script, on a machine that does nothing else.
    let percent = setting("LOAD_MOST_PERCENT", u64::MAX);
    let ratio = loaded.p99.as_micros() * 100 / calm.p99.as_micros().max(1);
    println!("p99 under load: {ratio} % of calm");
    assert!(ratio <= u128::from(percent), "{ratio} % of calm");
}

impl Trial {
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.server.call(tool, arguments).unwrap()
    }

    /// One command on each healthy host in turn, until there were enough or `limit` is over, but each was asked: how long
    /// each took.
    fn healthy(&mut self, limit: Duration) -> Vec<Duration> {
        let hosts = self.size.healthy;
        let mut times = Vec::new();
        let start = Instant::now();
        for call in 0..self.calls.max(hosts) {
            if call >= hosts && start.elapsed() > limit {
                break;
            }
            let host = call % hosts;
            let arguments = json!({"alias": format!("healthy{host}"), "command": "true"});
            let began = Instant::now();
            let answer = self.call("ssh_run", arguments);
            times.push(began.elapsed());
            assert_eq!(answer["exit_code"], 0, "{answer}");
        }
        times
    }

    /// The same, with what the machine did meanwhile.
    fn measure(&mut self, what: &str, limit: Duration) -> Vec<Duration> {
        let (began, before) = (Instant::now(), cpu_ms(self.pid));
        let times = self.healthy(limit);
        let spent = cpu_ms(self.pid) - before;
        println!(
            "{what}: {}; processor {} % of one, memory {} MiB",
            Figures::of(times.clone()),
            u128::from(spent) * 100 / began.elapsed().as_millis().max(1),
            kib(self.pid, "VmRSS:") / 1024
        );
        times
    }

    fn start(&mut self, alias: &str, command: &str) -> String {
        let answer = self.call("ssh_run_async", json!({"alias": alias, "command": command}));
        answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Asks for a task's output until the answer is as wanted.
    fn until(&mut self, id: &str, wanted: impl Fn(&Value) -> bool) {
        let query = json!({"task_id": id, "cursor": 0, "max_bytes": 1024, "wait_ms": 20_000});
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.call("ssh_get_task_output", query.clone());
            if wanted(&seen) {
                return;
            }
            assert!(Instant::now() < deadline, "{seen}");
        }
    }

    /// Starts everything, and returns when each endless host has written.
    fn begin(&mut self) -> Load {
        let start = |trial: &mut Self, kind: &str, count: usize| -> Vec<String> {
            (0..count).map(|number| trial.start(&format!("{kind}{number}"), "hostname")).collect()
        };
        let endless = start(self, "endless", self.size.endless);
        for id in &endless {
            self.until(id, |seen| seen["output_lines"].to_string().contains("endless"));
        }
        let silent_since = Instant::now();
        let silent = start(self, "silent", self.size.silent);
        Load { endless, silent, silent_since }
    }

    /// Each endless one can be stopped and is seen dead; each silent one ends at its deadline.
    fn end(&mut self, load: &Load) {
        let began = Instant::now();
        let mut bytes = 0;
        let mut longest = Duration::ZERO;
        for id in &load.endless {
            let status = self.call("ssh_get_task_status", json!({"task_id": id}));
            assert_eq!(status["status"], "running", "{status}");
            bytes += status["bytes_read"].as_u64().unwrap();
            let began = Instant::now();
            let answer = self.call("ssh_cancel_async_task", json!({"task_id": id}));
            longest = longest.max(began.elapsed());
            assert_eq!(answer["stopped"], "confirmed", "{answer}");
        }
        assert_eq!(self.crowd.endless_processes(), Vec::<u32>::new());
        let cancelled = began.elapsed();
        for id in &load.silent {
            self.until(id, |seen| seen["eof"] == true);
            let result = self.call("ssh_get_task_result", json!({"task_id": id}));
            let reason = result["detail"].as_str().unwrap_or_default();
            assert!(reason.contains("said nothing for too long"), "{result}");
        }
        println!(
            "end: {} MiB of endless output, {} cancels in {} ms, the longest {} ms; {} silent hosts given up by {} ms",
            bytes >> 20,
            load.endless.len(),
            cancelled.as_millis(),
            longest.as_millis(),
            load.silent.len(),
            load.silent_since.elapsed().as_millis()
        );
    }
}

/// What many calls took.
struct Figures {
    calls: usize,
    p50: Duration,
    p99: Duration,
    most: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        Self { calls: times.len(), p50: at(50), p99: at(99), most: at(100) }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, p50, p99, most } = self;
        let [p50, p99, most] = [p50, p99, most].map(Duration::as_micros);
        write!(f, "{calls} calls, p50 {p50} µs, p99 {p99} µs, most {most} µs")
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn kib(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of all its threads, in milliseconds: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second.
pub(crate) fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].into_iter().map(|field: usize| fields[field].parse::<u64>().unwrap() * 10).sum()
}
