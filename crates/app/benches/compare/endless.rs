//! What a large output costs in memory, and an endless one those who share its host.

use std::fs;
use std::time::Instant;

use serde_json::json;

use crate::Setting;
use crate::clock::{median, memory_mb, percentile, timed};
use crate::host::{Host, run_true};
use crate::report::{Report, Table, Wanted};
use crate::served::Mcp;

/// `true` on the host, one at a time: milliseconds each.
fn calls(mcp: &mut Mcp, count: usize) -> Vec<f64> {
    (0..count).map(|_| timed(|| run_true(mcp, "box"))).collect()
}

/// Most memory so far, before and after an output of 100 MB.
fn memory(host: &Host, report: &mut Report) {
    let mut mcp = Mcp::start(host.folder());
    run_true(&mut mcp, "box");
    let pid = mcp.child.id();
    let before = memory_mb(pid, "VmHWM");
    let answer =
        mcp.tool("ssh_run", json!({"alias": "box", "command": "head -c 100000000 /dev/zero"}));
    assert_eq!(answer["exit_code"], json!(0), "{answer}");
    let missing = answer["missing_bytes"].as_u64().unwrap_or(0);
    assert!(missing > 99_000_000 && answer["cursor"].is_u64(), "it says what is missing: {answer}");
    report.bound(
        "P9",
        "more memory for 100 MB of output, MB",
        Some(memory_mb(pid, "VmHWM") - before),
        16.0,
    );
}

/// Starts a task that writes 10 MB a second, somewhat less where the host is busy, and waits for its first bytes.
fn stream(mcp: &mut Mcp, host: &Host) -> String {
    let script = host.folder().join("stream.sh");
    fs::write(&script, "while :; do head -c 1000000 /dev/zero; sleep 0.1; done\n").unwrap();
    let call = json!({"alias": "box", "command": format!("sh {}", script.display())});
    let started = mcp.tool("ssh_run_async", call);
    let id = started["task_id"].as_str().unwrap().to_owned();
    let reading = json!({"task_id": id, "cursor": 0, "max_bytes": 1, "wait_ms": 20_000});
    mcp.tool("ssh_get_task_output", reading);
    id
}

/// Output of a task so far, in MB.
fn written_mb(mcp: &mut Mcp, id: &str) -> f64 {
    mcp.tool("ssh_get_task_status", json!({"task_id": id}))["bytes_read"].as_f64().unwrap() / 1e6
}

/// The same beside that task; how many MB/s it wrote meanwhile.
fn beside_unread(mcp: &mut Mcp, host: &Host, count: usize) -> (Vec<f64>, f64) {
    let id = stream(mcp, host);
    let (began, before) = (Instant::now(), written_mb(mcp, &id));
    let times = calls(mcp, count);
    let rate = (written_mb(mcp, &id) - before) / began.elapsed().as_secs_f64();
    assert!(rate > 1.0, "the stream stands still: {rate} MB/s");
    // It would outlive the server.
    let stopped = mcp.tool("ssh_cancel_async_task", json!({"task_id": id}));
    assert_eq!(stopped["stopped"], json!("confirmed"), "{stopped}");
    (times, rate)
}

/// Beside a task whose output nobody reads, and beside one that writes as fast as it is read; both on the same host.
fn beside(setting: &Setting, host: &Host, report: &mut Report) {
    let count = setting.rounds(200, 1000);
    let mut mcp = Mcp::start(host.folder());
    run_true(&mut mcp, "box");
    let calm = calls(&mut mcp, count);
    let (streamed, rate) = beside_unread(&mut mcp, host, count);
    // Its answer never comes: the server ends before it does.
    let call = json!({"alias": "box", "command": "cat /dev/zero"});
    mcp.send("tools/call", &json!({"name": "ssh_run", "arguments": call}));
    let flooded = calls(&mut mcp, count);
    let columns = ["p50, ms", "p99, ms"];
    let mut table = Table::new("`true` beside an output on the same host", &columns);
    let unread = format!("beside a task that nobody reads, {rate:.0} MB/s");
    for (who, times) in
        [("calm", &calm), (&unread, &streamed), ("beside `cat /dev/zero`", &flooded)]
    {
        table.row(who, &[median(times), percentile(times, 99)]);
    }
    report.table(table.against_first(1, "p99 / calm"));
    let p99 = |times: &[f64]| percentile(times, 99);
    for (what, times) in [
        ("p99 ms beside a stream that nobody reads, calm", &streamed),
        ("p99 ms beside an endless flood, calm (harder)", &flooded),
    ] {
        report.goal(("P10", what), (p99(times), p99(&calm)), Wanted::AtMost(2.0));
    }
}

pub(crate) fn measure(setting: &Setting, host: &Host, report: &mut Report) {
    memory(host, report);
    beside(setting, host, report);
}
