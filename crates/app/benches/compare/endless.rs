//! What a large output costs in memory, and an endless one those who share its host.

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

/// Beside one command that writes as fast as it is read, on the same host and connection.
fn beside(setting: &Setting, host: &Host, report: &mut Report) {
    let count = setting.rounds(200, 1000);
    let mut mcp = Mcp::start(host.folder());
    run_true(&mut mcp, "box");
    let calm = calls(&mut mcp, count);
    // Its answer never comes: the server ends before it does.
    let call = json!({"alias": "box", "command": "cat /dev/zero"});
    mcp.send("tools/call", &json!({"name": "ssh_run", "arguments": call}));
    let busy = calls(&mut mcp, count);
    let columns = ["p50, ms", "p99, ms"];
    let mut table = Table::new("`true` beside an endless output on the same host", &columns);
    for (who, times) in [("calm", &calm), ("beside `cat /dev/zero`", &busy)] {
        table.row(who, &[median(times), percentile(times, 99)]);
    }
    report.table(table.against_first(1, "p99 / calm"));
    let both = (percentile(&busy, 99), percentile(&calm, 99));
    report.goal(("P10", "p99 ms beside an endless output, calm"), both, Wanted::AtMost(2.0));
}

pub(crate) fn measure(setting: &Setting, host: &Host, report: &mut Report) {
    memory(host, report);
    beside(setting, host, report);
}
