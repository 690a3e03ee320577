//! Ours on more and more hosts: time, processor and memory.

use serde_json::json;

use crate::Setting;
use crate::clock::median;
use crate::fleet::{COMMAND, Fleet};
use crate::report::{Report, Table};

const SIZES: [usize; 5] = [100, 500, 1000, 2000, 5000];
/// What each round found of one size, in the order of the table's columns.
type Rounds = [Vec<f64>; 6];

const COLUMNS: [&str; 6] = [
    "cold, s",
    "processor, ms a host",
    "warm, s",
    "warm processor, ms a host",
    "memory warm, MB",
    "KB a connection",
];

fn round(setting: &Setting, fleet: &Fleet, count: usize, found: &mut Rounds) {
    let mut ours = fleet.ours(setting, &fleet.hosts[..count]);
    let before = ours.resident_mb();
    let (cold, _) = ours.run(COMMAND);
    found[0].push(cold.seconds);
    found[1].push(cold.cpu_ms / count as f64);
    let (warm, _) = ours.run(COMMAND);
    found[2].push(warm.seconds);
    found[3].push(warm.cpu_ms / count as f64);
    let after = ours.resident_mb();
    found[4].push(after);
    found[5].push((after - before) * 1000.0 / count as f64);
}

pub(crate) fn measure(setting: &Setting, report: &mut Report) {
    let sizes = if setting.quick { &SIZES[..4] } else { &SIZES[..] };
    let fleet = Fleet::start(sizes[sizes.len() - 1] + 10);
    let mut found: Vec<Rounds> = sizes.iter().map(|_| Rounds::default()).collect();
    for _ in 0..setting.rounds(1, 3) {
        for (count, found) in sizes.iter().zip(&mut found) {
            round(setting, &fleet, *count, found);
        }
    }
    let mut table = Table::new("Ours on more and more hosts", &COLUMNS);
    for (count, found) in sizes.iter().zip(&found) {
        let cells: Vec<Option<f64>> = found.iter().map(|values| median(values)).collect();
        table.row(&format!("{count} hosts"), &cells);
        report.growth.push(json!({
            "hosts": count, "cold_s": cells[0], "cpu_ms": cells[1], "warm_s": cells[2],
            "warm_cpu_ms": cells[3], "memory_mb": cells[4], "connection_kb": cells[5]
        }));
        if *count == 1000 {
            report.bound("P6", "1,000 warm hosts, MB", cells[4], 80.0);
            report.bound("P6", "KB an idle connection, of 1,000", cells[5], 64.0);
        }
    }
    report.table(table);
}
