//! Times, medians, and what a process has cost, read from `/proc`.

use std::fs;
use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Rust supports.
const TICKS: f64 = 100.0;

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How long it took, in milliseconds.
pub(crate) fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    ms(began.elapsed())
}

/// The value below which so many per cent lie; `None` of nothing.
pub(crate) fn percentile(values: &[f64], share: usize) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? * share / 100).copied()
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50)
}

fn stat(pid: u32) -> Vec<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
}

/// Seconds that a process has computed, all its threads.
pub(crate) fn cpu(pid: u32) -> f64 {
    let fields = stat(pid);
    (fields[11] + fields[12]) / TICKS
}

/// Seconds that this process has computed.
pub(crate) fn own_cpu() -> f64 {
    cpu(std::process::id())
}

/// Seconds that our ended children have computed, with the children they waited for.
pub(crate) fn children_cpu() -> f64 {
    let fields = stat(std::process::id());
    (fields[13] + fields[14]) / TICKS
}

/// A line of `/proc/PID/status` in MB: `VmRSS` for all resident memory, `RssAnon` for what does not come from files.
pub(crate) fn memory_mb(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    let kib: f64 =
        found.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}
