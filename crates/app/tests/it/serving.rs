//! A `serve` that runs, whose complaints are heard with a deadline, and a helper that waits until a test lets it go on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::Site;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `work` gives, if it does within the deadline.
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).unwrap()
}

/// A server, what it says on both outputs, and how to talk to it.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) errors: Receiver<String>,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// The lines of an output as they come.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    spawn(move || {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&std::mem::take(&mut bytes)).into_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Serving {
    /// Starts a server of this folder and waits until it answers.
    pub(crate) fn start(site: &Site) -> Self {
        let mut this = Self::spawn(Self::command(site));
        this.hello();
        this
    }

    /// The command that serves a folder.
    pub(crate) fn command(site: &Site) -> Command {
        let serve = site.serve();
        let mut command = Command::new(&serve[0]);
        command.args(&serve[1..]).env_remove("SSHEPHERD_LOG");
        command
    }

    /// Starts a server that may not be ready yet.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let errors = lines(child.stderr.take().unwrap());
        let answers = lines(child.stdout.take().unwrap());
        let input = child.stdin.take();
        Self { child, errors, input, answers }
    }

    pub(crate) fn hello(&mut self) {
        let client = json!({"name": "t", "version": "1"});
        let hello =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let answer = self.ask(1, "initialize", &hello);
        assert!(answer.contains("sshepherd"), "{answer}");
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        writeln!(self.input.as_mut().unwrap(), "{ready}").unwrap();
    }

    /// The line that answers a request.
    pub(crate) fn ask(&mut self, id: u64, method: &str, params: &Value) -> String {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input.as_mut().unwrap(), "{request}").unwrap();
        loop {
            let line = self.answers.recv_timeout(PATIENCE).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == id {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Hears complaints up to one that holds `text`.
    pub(crate) fn hear(&mut self, text: &str) -> String {
        let (mut all, deadline) = (String::new(), Instant::now() + PATIENCE);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.errors.recv_timeout(left) else {
                panic!("nothing says {text:?}: {all}");
            };
            all.push_str(&line);
            if line.contains(text) {
                return all;
            }
        }
    }

    /// Ends the conversation, and hears what is left to hear.
    pub(crate) fn end(mut self) -> String {
        drop(self.input.take());
        let errors = std::mem::replace(&mut self.errors, channel().1);
        in_time(move || errors.iter().collect())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A helper for the log-in's secret whose run of a given number waits.
pub(crate) struct Gate<'a>(&'a Site);

impl<'a> Gate<'a> {
    /// Run `blocked` of the helper, from 1, waits; the others answer at once.
    pub(crate) fn new(site: &'a Site, blocked: u32, settings: &str) -> Self {
        site.password("not this");
        let [began, go, count, script] =
            ["began", "go", "count", "helper.sh"].map(|n| site.path(n));
        for fifo in [&began, &go] {
            assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
        }
        let text = format!(
            "n=$(cat {count} 2>/dev/null || echo 0); n=$((n + 1)); echo $n >{count}\n\
             if [ $n = {blocked} ]; then echo began >{began}; cat {go} >/dev/null; fi\necho from-the-helper\n",
            count = count.display(),
            began = began.display(),
            go = go.display()
        );
        site.write("helper.sh", &text);
        let helper = format!(
            "{settings}secrets: {{canary: {{command: [/bin/sh, {}]}}}}\n",
            script.display()
        );
        site.write("sshepherd.yml", &helper);
        Self(site)
    }

    /// Returns when the blocked run has begun.
    pub(crate) fn began(&self) {
        let began = self.0.path("began");
        let said = in_time(move || std::fs::read_to_string(began).unwrap());
        assert_eq!(said, "began\n");
    }

    /// Lets it go on.
    pub(crate) fn go(&self) {
        let go = self.0.path("go");
        in_time(move || std::fs::write(go, "go").unwrap());
    }
}
