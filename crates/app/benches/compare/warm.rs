//! `true` over connections that stand: one at a time in turns, then many at once.

use serde_json::json;

use crate::Setting;
use crate::clock::{median, percentile, timed};
use crate::design::Design;
use crate::host::{Host, run_true};
use crate::peers::{Package, Peer};
use crate::raw;
use crate::report::{Report, Table, Wanted};
use crate::served::Mcp;

/// Calls of ours and raw russh for each call of those that take longer.
const SHARE: usize = 8;
/// And for each call of those that take longest.
const LONG_SHARE: usize = 24;

fn peer_true(peer: &Peer, mcp: &mut Mcp) {
    let answer = mcp.ask("tools/call", &peer.call());
    assert!(peer.well(&answer), "{}: {answer}", peer.name);
}

pub(crate) fn measure(setting: &Setting, host: &mut Host, report: &mut Report) {
    let (mut raws, mut ours, mut masters) = (Vec::new(), Vec::new(), Vec::new());
    let mut peers: Vec<Vec<f64>> = host.peers.iter().map(|_| Vec::new()).collect();
    let mut designs = Design::all(setting, host, report);
    for round in 0..setting.rounds(160, 1200) {
        raws.push(timed(|| host.runtime.block_on(raw::run(&host.raw, "true"))));
        ours.push(timed(|| run_true(&mut host.ours, "box")));
        if round % SHARE > 0 {
            continue;
        }
        let mut ssh = host.ssh(&["-o", "ControlMaster=no"], "true");
        masters.push(timed(|| assert!(ssh.status().unwrap().success())));
        for (times, (peer, mcp)) in peers.iter_mut().zip(&mut host.peers) {
            times.extend(mcp.as_mut().map(|mcp| timed(|| peer_true(peer, mcp))));
        }
        if round % LONG_SHARE == 0 {
            designs.iter_mut().for_each(Design::take);
        }
    }
    let mut table = Table::new("`true` on one host, warm, one at a time", &["p50, ms", "p99, ms"]);
    let mut row = |who: &str, times: &[f64]| {
        table.row(who, &[median(times), percentile(times, 99)]);
    };
    row("ours, `ssh_run` through MCP", &ours);
    row("raw russh, pooled, nodelay", &raws);
    row("`ssh` with ControlMaster", &masters);
    for (times, (peer, _)) in peers.iter().zip(&host.peers) {
        row(peer.name, times);
    }
    designs.iter().for_each(|design| design.row(&mut table));
    report.table(table.against_first(0, "p50 / ours"));
    let (p50, p99) = (median(&ours), percentile(&ours, 99));
    let raw = (median(&raws), percentile(&raws, 99));
    report.goal(("P1", "warm p50 ms, raw russh"), (p50, raw.0), Wanted::AtMost(1.15));
    report.goal(("P1", "warm p99 ms, raw russh"), (p99, raw.1), Wanted::AtMost(1.5));
    let master = median(&masters);
    report.goal(
        ("P1", "warm p50 ms, `ssh` with ControlMaster"),
        (p50, master),
        Wanted::AtLeast(6.0),
    );
    for (times, (peer, _)) in peers.iter().zip(&host.peers) {
        let wanted = Wanted::AtLeast(if peer.nodelay { 1.5 } else { 30.0 });
        let what = format!("warm p50 ms, {}", peer.name);
        report.goal(("P1", &what), (p50, median(times)), wanted);
    }
    designs.iter().for_each(|design| design.goal(p50, report));
}

fn ours_together(host: &mut Host, count: usize) {
    let call = json!({"name": "ssh_run", "arguments": {"alias": "box", "command": "true"}});
    for _ in 0..count {
        host.ours.send("tools/call", &call);
    }
    for _ in 0..count {
        let answer = host.ours.receive();
        assert_eq!(answer["structuredContent"]["exit_code"], json!(0), "{answer}");
    }
}

fn raw_together(host: &Host, count: usize) {
    host.runtime.block_on(async {
        let runs = (0..count).map(|_| raw::run(&host.raw, "true"));
        futures::future::join_all(runs).await;
    });
}

/// Whether all ended well.
fn peer_together(peer: &Peer, mcp: &mut Mcp, count: usize) -> bool {
    for _ in 0..count {
        mcp.send("tools/call", &peer.call());
    }
    let answers: Vec<bool> = (0..count).map(|_| peer.well(&mcp.receive())).collect();
    answers.into_iter().all(|well| well)
}

pub(crate) fn measure_together(setting: &Setting, host: &mut Host, report: &mut Report) {
    for count in [50, 64] {
        together(setting, host, count, report);
    }
}

fn together(setting: &Setting, host: &mut Host, count: usize, report: &mut Report) {
    let (mut raws, mut ours) = (Vec::new(), Vec::new());
    let mut peers: Vec<Vec<f64>> = host.peers.iter().map(|_| Vec::new()).collect();
    let rounds = setting.rounds(4, 20);
    // The first round opens what connections it takes, and is not counted.
    for round in 0..=rounds {
        let raw = timed(|| raw_together(host, count));
        let own = timed(|| ours_together(host, count));
        let others: Vec<Option<f64>> = host
            .peers
            .iter_mut()
            .map(|(peer, mcp)| {
                let mut well = false;
                let time = timed(|| {
                    well = mcp.as_mut().is_some_and(|mcp| peer_together(peer, mcp, count));
                });
                well.then_some(time)
            })
            .collect();
        if round == 0 {
            continue;
        }
        raws.push(raw);
        ours.push(own);
        for (times, time) in peers.iter_mut().zip(others) {
            times.extend(time);
        }
    }
    let title = format!("{count} `true` on one host at once");
    let mut table = Table::new(&title, &["all done after, ms"]);
    table.row("ours, `ssh_run` through MCP", &[median(&ours)]);
    table.row("raw russh on one connection", &[median(&raws)]);
    for (times, (peer, _)) in peers.iter().zip(&host.peers) {
        if times.len() < rounds && peer.installed() {
            report.missing(&format!("{} with {count} at once", peer.name), "some calls failed");
        }
        table.row(peer.name, &[median(times)]);
    }
    report.table(table.against_first(0, "/ ours"));
    let own = median(&ours);
    let what = |who: &str| format!("{count} at once, ms, {who}");
    report.goal(("P8", &what("raw russh")), (own, median(&raws)), Wanted::AtMost(1.25));
    for (times, (peer, _)) in peers.iter().zip(&host.peers) {
        let least = match (peer.nodelay, peer.package) {
            (true, _) => continue,
            (false, Package::SshMcp) => 1.5,
            (false, Package::SshManager) => 3.0,
        };
        report.goal(("P8", &what(peer.name)), (own, median(times)), Wanted::AtLeast(least));
    }
}
