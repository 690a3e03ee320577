//! A server that runs: its configuration read again without being asked over MCP, and its memory kept to itself.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::site::Site;

/// A server whose complaints can be read.
struct Serving {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Serving {
    fn start(site: &Site) -> Self {
        let serve = site.serve();
        let mut child = Command::new(&serve[0])
            .args(&serve[1..])
            .env_remove("SSHEPHERD_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let mut this = Self { child, errors };
        // Once it has answered, its signals are heard.
        let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
        writeln!(this.child.stdin.as_mut().unwrap(), "{hello}").unwrap();
        let mut answer = String::new();
        BufReader::new(this.child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert!(answer.contains("sshepherd"), "{answer}");
        this
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Reads complaints up to one that holds `text`.
    fn hear(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(self.errors.read_line(&mut line).unwrap() > 0, "the server ended: {all}");
            all.push_str(&line);
            if line.contains(text) {
                return all;
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FEWER: &str = "  - {id: fewer, action: allow, commands: [\"true\"]}\n";

#[test]
fn a_hangup_reads_the_configuration_again_or_keeps_the_old_one() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let mut serving = Serving::start(&site);
    site.rules(FEWER);
    serving.signal("-HUP");
    serving.hear("the configuration was read again");
    let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""event":"reload","source":"signal""#), "{audit}");
    site.write("policy.yml", "rules: 7\n");
    serving.signal("-HUP");
    let heard = serving.hear("the old one stays in force");
    assert!(heard.contains("policy.yml:1: error: rules: must be a list"), "{heard}");
}

#[test]
fn a_change_of_the_files_is_seen_where_the_owner_wants_it() {
    let site = Site::new();
    site.write("sshepherd.yml", "reload: {watch: true}\n");
    let mut serving = Serving::start(&site);
    site.rules(FEWER);
    serving.hear("the configuration was read again");
}

/// What is in memory stays there: no core is dumped whatever happens.
#[cfg(target_os = "linux")]
#[test]
fn no_core_is_dumped() {
    let site = Site::new();
    let mut serving = Serving::start(&site);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    serving.signal("-ABRT");
    let status = serving.child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
