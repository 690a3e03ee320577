//! Output on its way: a gigabyte of it, and single lines as they come.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Setting;
use crate::clock::{children_cpu, cpu, median, ms, percentile, timed};
use crate::host::Host;
use crate::report::{Report, Table, Wanted};

/// Bytes of the file that is printed, and how often.
const FILE: usize = 100_000_000;
const TIMES: usize = 10;
/// Between two lines, so that the reader waits for the next one.
const PAUSE: Duration = Duration::from_millis(5);

/// Seconds, and seconds of the client's processor.
#[derive(Default)]
struct Flow {
    seconds: Vec<f64>,
    cpu: Vec<f64>,
}

impl Flow {
    fn take(&mut self, cpu: impl Fn() -> f64, work: impl FnOnce()) {
        let before = cpu();
        self.seconds.push(timed(work) / 1000.0);
        self.cpu.push(cpu() - before);
    }
}

fn text(path: &Path) {
    let mut lines = String::new();
    for number in 0.. {
        if lines.len() >= FILE {
            break;
        }
        lines += &format!("{number:>9} GET /assets/app.js HTTP/1.1 200 in 12 ms from 192.0.2.10\n");
    }
    lines.truncate(FILE);
    fs::write(path, lines).unwrap();
}

fn ours(host: &mut Host, command: &str) {
    let answer = host.ours.tool("ssh_run", json!({"alias": "box", "command": command}));
    let kept = answer["output"].as_str().map_or(0, str::len) as u64;
    let all = kept + answer["missing_bytes"].as_u64().unwrap_or(0);
    assert!(answer["exit_code"] == json!(0) && all >= (FILE * TIMES) as u64, "{answer}");
}

/// Streamed from one command and, by ours, stored.
pub(crate) fn throughput(setting: &Setting, host: &mut Host, report: &mut Report) {
    let file = host.folder().join("text");
    text(&file);
    let command = format!("cat{}", format!(" {}", file.display()).repeat(TIMES));
    let [mut own, mut fast, mut kept, mut usual] = [(); 4].map(|()| Flow::default());
    let copy = host.folder().join("copy");
    let server = host.ours.child.id();
    for _ in 0..setting.rounds(1, 5) {
        own.take(|| cpu(server), || ours(host, &command));
        let mut ssh = host.alone(&["-c", "aes128-gcm@openssh.com"], &command);
        fast.take(children_cpu, || assert!(ssh.status().unwrap().success()));
        // What ours does as well: a gigabyte into the page cache takes longer than the connection, on some machines.
        let mut ssh = host.alone(&["-c", "aes128-gcm@openssh.com"], &command);
        ssh.stdout(File::create(&copy).unwrap());
        kept.take(children_cpu, || assert!(ssh.status().unwrap().success()));
        fs::remove_file(&copy).unwrap();
        let mut ssh = host.alone(&[], &command);
        usual.take(children_cpu, || assert!(ssh.status().unwrap().success()));
    }
    let columns = ["s per GB", "client's processor, s per GB", "MB/s"];
    let mut table = Table::new("1 GB of output of one command", &columns);
    let gb = (FILE * TIMES) as f64 / 1e9;
    let per_gb = |values: &[f64]| median(values).map(|seconds| seconds / gb);
    for (who, flow) in [
        ("ours, streamed and stored", &own),
        ("`ssh -c aes128-gcm@openssh.com`, thrown away", &fast),
        ("`ssh -c aes128-gcm@openssh.com`, into a file", &kept),
        ("`ssh` as it comes, thrown away", &usual),
    ] {
        let seconds = per_gb(&flow.seconds);
        table.row(who, &[seconds, per_gb(&flow.cpu), seconds.map(|seconds| 1000.0 / seconds)]);
    }
    report.table(table.against_first(0, "time / ours"));
    let time = per_gb(&own.seconds);
    let peers = [
        ("`ssh -c aes128-gcm`", &fast, 1.0),
        ("`ssh -c aes128-gcm` into a file", &kept, 1.0),
        ("default `ssh`", &usual, 1.4),
    ];
    for (who, flow, least) in peers {
        let what = format!("s per GB, {who}");
        report.goal(("P5", &what), (time, per_gb(&flow.seconds)), Wanted::AtLeast(least));
    }
    report.bound("P5", "client's processor, s per GB", per_gb(&own.cpu), 1.0);
    fs::remove_file(file).unwrap();
}

/// A pipe whose reader is the command on the host and whose writer is this process: no clock but ours.
fn pipe(host: &Host, name: &str) -> (PathBuf, String) {
    let path = host.folder().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let command = format!("cat {}", path.display());
    (path, command)
}

fn ours_live(host: &mut Host, alias: &str, lines: usize) -> Vec<f64> {
    let (path, command) = pipe(host, alias);
    let started = host.ours.tool("ssh_run_async", json!({"alias": alias, "command": command}));
    let id = started["task_id"].as_str().unwrap().to_owned();
    // Opens when the command on the host has opened its end.
    let mut pipe = File::options().write(true).open(path).unwrap();
    let mut cursor = 0;
    let mut times = Vec::new();
    for number in 0..lines {
        let reading = json!({"task_id": id, "cursor": cursor, "wait_ms": 20_000});
        let call = json!({"name": "ssh_get_task_output", "arguments": reading});
        host.ours.send("tools/call", &call);
        std::thread::sleep(PAUSE);
        let began = Instant::now();
        pipe.write_all(format!("line {number}\n").as_bytes()).unwrap();
        let answer = host.ours.receive();
        times.push(ms(began.elapsed()));
        let page = &answer["structuredContent"];
        assert_eq!(page["output_lines"], json!([format!("line {number}")]), "{answer}");
        cursor = page["next_cursor"].as_u64().unwrap();
    }
    times
}

fn ssh_live(host: &Host, lines: usize) -> Vec<f64> {
    let (path, command) = pipe(host, "ssh");
    let mut ssh = host.alone(&[], &command).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(ssh.stdout.take().unwrap());
    let mut pipe = File::options().write(true).open(path).unwrap();
    let mut times = Vec::new();
    for number in 0..lines {
        std::thread::sleep(PAUSE);
        let mut line = String::new();
        let began = Instant::now();
        pipe.write_all(format!("line {number}\n").as_bytes()).unwrap();
        output.read_line(&mut line).unwrap();
        times.push(ms(began.elapsed()));
    }
    drop(pipe);
    assert!(ssh.wait().unwrap().success());
    times
}

/// From the write of a line on the host until the caller has it.
pub(crate) fn tail(setting: &Setting, host: &mut Host, report: &mut Report) {
    let lines = setting.rounds(100, 500);
    let columns = ["p50, ms", "p99, ms"];
    let mut table =
        Table::new("A line of live output, from its write until the caller has it", &columns);
    for (who, alias) in
        [("ours, attached, waited for with `wait_ms`", "attached"), ("ours, as a job", "box")]
    {
        let times = ours_live(host, alias, lines);
        table.row(who, &[median(&times), percentile(&times, 99)]);
    }
    let times = ssh_live(host, lines);
    table.row("`ssh`, read from its pipe", &[median(&times), percentile(&times, 99)]);
    report.table(table.against_first(0, "p50 / ours"));
}
