//! Trouble on this side: a disk that takes nothing, a process that is stopped, a client that does not read.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};

use crate::site::{ALIAS, OK, Site, TAG};

/// A server of which the process is at hand.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(site: &Site) -> Self {
        Self::start_logged(site, Stdio::null())
    }

    fn start_logged(site: &Site, log: Stdio) -> Self {
        let serve = site.serve();
        let mut child = Command::new(&serve[0])
            .args(&serve[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn send(&mut self, method: &str, mut params: Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.stdin.as_mut().unwrap(), "{call}").unwrap();
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> (Value, Duration) {
        let began = Instant::now();
        self.send("tools/call", json!({"name": tool, "arguments": arguments}));
        for line in self.lines.by_ref() {
            let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if answer["id"] == 1 {
                return (answer["result"]["structuredContent"].clone(), began.elapsed());
            }
        }
        panic!("the server ended without an answer to {tool}")
    }

    /// How long it takes to end, which must not be for ever.
    fn end(mut self) -> Duration {
        let began = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(25), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No file of the server may grow any more, as on a full disk.
fn full(server: &Server, full: bool) {
    let current = if full { Some(0) } else { None };
    prlimit(Some(server.pid()), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}

#[test]
fn a_store_that_takes_nothing_is_told_at_once_with_what_is_known_of_the_command() {
    let site = Site::new();
    let mut server = Server::start(&site);
    let call = json!({"alias": ALIAS, "command": OK});
    let (answer, _) = server.call("ssh_run", &call);
    assert_eq!(answer["status"], "completed", "{answer}");
    full(&server, true);
    let (answer, took) = server.call("ssh_run", &call);
    assert!(took < Duration::from_secs(5), "{took:?} {answer}");
    assert_eq!((&answer["status"], &answer["exit_code"]), (&json!("not_recorded"), &json!(0)));
    assert_eq!(answer["safe_to_resend"], false, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("File too large"), "{answer}");
    // What goes on writing is not waited for to its end.
    let (answer, took) =
        server.call("ssh_run", &json!({"alias": ALIAS, "command": "seq 1 2000000"}));
    assert!(took < Duration::from_secs(8), "{took:?} {answer}");
    assert_eq!(
        (&answer["status"], &answer["safe_to_resend"]),
        (&json!("not_recorded"), &json!(false))
    );
    let (answer, took) = server.call("ssh_run_on_tag", &json!({"tag": TAG, "command": OK}));
    assert!(took < Duration::from_secs(8), "{took:?} {answer}");
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(result["status"], "not_recorded", "{answer}");
    }
    let (answer, took) = server.call("ssh_run_async", &call);
    assert!(took < Duration::from_secs(8), "{took:?} {answer}");
    assert_eq!(answer["status"], "store_failed", "{answer}");
    // What could not be stored is, once there is room.
    full(&server, false);
    let (answer, _) = server.call("ssh_run", &call);
    assert_eq!(answer["status"], "completed", "{answer}");
    server.stdin.take();
    server.end();
}

#[test]
fn a_command_whose_start_cannot_be_written_down_is_not_recorded_and_not_sent() {
    let site = Site::new();
    let audit = site.path("audit.jsonl");
    site.write("sshepherd.yml", &format!("audit: {{path: {}}}\n", audit.display()));
    let mut server = Server::start(&site);
    let (answer, _) = server.call("ssh_run", &json!({"alias": ALIAS, "command": OK}));
    assert_eq!(answer["status"], "completed", "{answer}");
    full(&server, true);
    let (answer, took) = server.call("ssh_run", &json!({"alias": ALIAS, "command": OK}));
    assert!(took < Duration::from_secs(5), "{took:?} {answer}");
    assert_eq!(answer["status"], "not_recorded", "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("File too large"), "{answer}");
}

/// The lock of a process that is stopped is waited for so long, and the answer names the process.
#[test]
fn a_process_that_is_stopped_with_a_lock_stops_nobody_else() {
    let site = Site::new();
    let audit = site.path("audit.jsonl");
    site.write("sshepherd.yml", &format!("audit: {{path: {}}}\n", audit.display()));
    let mut server = Server::start(&site);
    let call = json!({"alias": ALIAS, "command": OK});
    server.call("ssh_run", &call);
    let holds = |path: &std::path::Path| {
        let holder =
            Command::new("flock").arg("-F").arg(path).args(["sleep", "60"]).spawn().unwrap();
        let file = File::open(path).unwrap();
        while file.try_lock().is_ok() {
            file.unlock().unwrap();
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&holder), Signal::STOP).unwrap();
        holder
    };
    let mut opening = holds(&site.path("state/opening.lock"));
    let began = Instant::now();
    let mut second = Server::start(&site);
    let (answer, _) = second.call("ssh_run", &call);
    assert_eq!(answer["status"], "completed", "{answer}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let mut lock = holds(&site.path("audit.jsonl.lock"));
    for most in [10, 3] {
        let (answer, took) = server.call("ssh_run", &call);
        assert!(took < Duration::from_secs(most), "{took:?} {answer}");
        assert_eq!(answer["status"], "not_recorded", "{answer}");
        let named = format!("process {}, which is stopped", lock.id());
        assert!(answer["error"].as_str().unwrap().contains(&named), "{answer}");
    }
    for holder in [&mut opening, &mut lock] {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    let (answer, _) = server.call("ssh_run", &call);
    assert_eq!(answer["status"], "completed", "{answer}");
}

#[test]
fn a_client_that_does_not_read_keeps_no_server_from_ending() {
    let site = Site::new();
    for signalled in [true, false] {
        let mut server = Server::start(&site);
        // Far more answers than a pipe takes.
        for _ in 0..300 {
            server.send("tools/list", json!({}));
        }
        match signalled {
            true => kill_process(server.pid(), Signal::TERM).unwrap(),
            false => drop(server.stdin.take()),
        }
        let took = server.end();
        assert!(took < Duration::from_secs(12), "{took:?} signalled: {signalled}");
    }
}

/// A job that writes while the store takes nothing is followed on the channel that it has, and loses no byte.
#[test]
fn a_job_whose_output_waits_for_the_store_keeps_its_channel() {
    let site = Site::new();
    let mut server = Server::start_logged(&site, Stdio::piped());
    let mut log = server.child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut told = String::new();
        log.read_to_string(&mut told).map(|_| told)
    });
    let command = "echo 1 && sleep 2 && echo 2 && sleep 1 && echo 3 && sleep 1 && echo 4";
    let call = json!({"alias": ALIAS, "command": command});
    let (started, _) = server.call("ssh_run_async", &call);
    let asked = json!({"task_id": started["task_id"]});
    let until = |server: &mut Server, tool: &str, done: &dyn Fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let (answer, _) = server.call(tool, &asked);
            if done(&answer) {
                return answer;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "{answer}");
            std::thread::yield_now();
        }
    };
    until(&mut server, "ssh_get_task_status", &|status| status["bytes_read"] == 2);
    full(&server, true);
    // As long as the job writes.
    server.call("ssh_run", &json!({"alias": ALIAS, "command": "sleep 5"}));
    full(&server, false);
    let result =
        until(&mut server, "ssh_get_task_result", &|result| result["status"] == "completed");
    assert_eq!(result["output"], "1\n2\n3\n4\n", "{result}");
    server.stdin.take();
    server.end();
    let told = log.join().unwrap().unwrap();
    assert!(told.contains("output waits for the store"), "{told}");
    let left = told.lines().filter(|line| line.contains("output cannot be stored")).count();
    assert!(left <= 1, "{left} channels given up: {told}");
}
