//! The tasks extension on the wire: a call that becomes a task, its result after a restart, and who is not offered it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ground::Ground;

/// A client of 2026-07-28: no session, everything in each request.
struct Stateless {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
    capabilities: Value,
}

impl Stateless {
    fn start(ground: &Ground, capabilities: Value) -> Self {
        let mut child =
            ground.serve().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output), last: 0, capabilities }
    }

    fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.last += 1;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "native", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        writeln!(self.input, "{request}").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server ended");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == json!(self.last) {
                return answer;
            }
        }
    }

    fn run(&mut self, command: &str) -> Value {
        let arguments = json!({"alias": "box", "command": command});
        self.ask("tools/call", json!({"name": "ssh_run", "arguments": arguments}))["result"].clone()
    }

    fn run_on_all(&mut self, command: &str) -> Value {
        let arguments = json!({"tag": "all", "command": command});
        let call = json!({"name": "ssh_run_on_tag", "arguments": arguments});
        self.ask("tools/call", call)["result"].clone()
    }

    fn get(&mut self, id: &str) -> Value {
        self.ask("tasks/get", json!({"taskId": id}))
    }

    /// Asks, as told to, until the task is no longer at work.
    fn settled(&mut self, id: &str) -> Value {
        loop {
            let task = self.get(id)["result"].clone();
            if task["status"] != "working" {
                return task;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Stateless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_tasks() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

#[test]
fn a_long_call_becomes_a_task_whose_result_survives_a_restart() {
    let ground = Ground::new();
    let mut client = Stateless::start(&ground, with_tasks());
    let offered = client.ask("server/discover", json!({}))["result"].clone();
    assert!(
        offered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(),
        "{offered}"
    );
    let quick = client.run("echo quick");
    assert_eq!(quick["structuredContent"]["output"], "quick\n", "{quick}");
    let task = client.run("echo slow; sleep 4; echo done; exit 3");
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    let id = task["taskId"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&id)["result"]["status"], "working");
    drop(client);

    let mut client = Stateless::start(&ground, with_tasks());
    let done = client.settled(&id);
    assert_eq!(done["status"], "completed", "{done}");
    let answer = &done["result"]["structuredContent"];
    assert_eq!((&answer["exit_code"], &answer["output"]), (&json!(3), &json!("slow\ndone\n")));
    let update = client.ask("tasks/update", json!({"taskId": id, "inputResponses": {}}));
    assert_eq!(update["error"]["code"], -32602, "{update}");

    let stopped = client.run("sleep 1000");
    let id = stopped["taskId"].as_str().unwrap().to_owned();
    let cancel = client.ask("tasks/cancel", json!({"taskId": id}));
    assert!(cancel["error"].is_null(), "{cancel}");
    assert_eq!(client.settled(&id)["status"], "cancelled");
    assert_eq!(client.get("no:such:task")["error"]["code"], -32602);
}

#[test]
fn a_client_that_does_not_know_tasks_waits_for_the_result() {
    let ground = Ground::new();
    let mut client = Stateless::start(&ground, json!({}));
    let ran = client.run("sleep 2; echo done");
    assert_eq!(ran["structuredContent"]["output"], "done\n", "{ran}");
    let id = ran["structuredContent"]["task_id"].as_str().unwrap().to_owned();
    assert!(client.get(&id)["error"].is_object(), "tasks/get belongs to the extension");
}

#[test]
fn a_fan_out_becomes_one_task_and_each_host_runs_once_through_a_kill() {
    let ground = Ground::new();
    let mut client = Stateless::start(&ground, with_tasks());
    let quick = client.run_on_all("echo quick");
    assert_eq!(quick["structuredContent"]["summary"]["completed"], 2, "{quick}");
    let command =
        format!("mktemp -d {}/ran.XXXXXX; sleep 4; echo done", ground.path("ledger").display());
    let task = client.run_on_all(&command);
    assert_eq!(task["resultType"], "task", "{task}");
    let id = task["taskId"].as_str().unwrap().to_owned();
    // The client's end is the server's: kill -9.
    drop(client);

    let mut client = Stateless::start(&ground, with_tasks());
    let done = client.settled(&id);
    let answer = &done["result"]["structuredContent"];
    assert_eq!((&answer["tag"], &answer["summary"]["completed"]), (&json!("all"), &json!(2)));
    for host in answer["results"].as_array().unwrap() {
        assert!(host["output"].as_str().unwrap().ends_with("\ndone\n"), "{host}");
    }
    assert_eq!(ground.ledger().len(), 2, "{:?}", ground.ledger());

    let endless = client.run_on_all("sleep 1000");
    let id = endless["taskId"].as_str().unwrap().to_owned();
    assert!(client.ask("tasks/cancel", json!({"taskId": id}))["error"].is_null());
    assert_eq!(client.settled(&id)["status"], "cancelled");
}
