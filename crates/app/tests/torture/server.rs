//! The built binary as an MCP client sees it, line by line, through its death.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// The process id of the server that runs now, for whoever wants to kill it; 0 for none.
pub(crate) type Pid = Arc<AtomicU32>;

pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
    /// A note about a resource came that nobody has waited for.
    noted: bool,
}

impl Server {
    /// Starts it; `None` when it died before it could be greeted.
    pub(crate) fn start(mut command: Command, pid: &Pid) -> Option<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        pid.store(child.id(), Ordering::SeqCst);
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server =
            Self { child, input, output: BufReader::new(output), last: 0, noted: false };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "torture", "version": "1"}
        });
        server.ask("initialize", hello)?;
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Some(server)
    }

    fn send(&mut self, message: &Value) -> Option<()> {
        writeln!(self.input, "{message}").ok()
    }

    /// The result of a request; `None` when the server died first.
    fn ask(&mut self, method: &str, params: Value) -> Option<Value> {
        self.last += 1;
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let answer = self.heard()?;
            if answer["id"] == json!(id) {
                return Some(answer["result"].clone());
            }
        }
    }

    /// The next message.
    fn heard(&mut self) -> Option<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let message: Value = serde_json::from_str(&line).ok()?;
        self.noted |= message["method"] == "notifications/resources/updated";
        Some(message)
    }

    /// Has this resource's changes told; `None` when the server died first.
    pub(crate) fn watch(&mut self, uri: &str) -> Option<()> {
        self.ask("resources/subscribe", json!({"uri": uri})).map(drop)
    }

    /// Waits for the next note about a resource; `None` when the server died first.
    pub(crate) fn note(&mut self) -> Option<()> {
        while !self.noted {
            self.heard()?;
        }
        self.noted = false;
        Some(())
    }

    /// What a tool answers; `None` when the server died first.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Option<Value> {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments}))?;
        Some(result["structuredContent"].clone())
    }

    /// Waits for its death and tells whether a signal was the cause.
    pub(crate) fn died(mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.child.wait().unwrap().signal().is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
