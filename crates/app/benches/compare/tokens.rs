//! How long the answers about a thousand hosts are.

use crate::Setting;
use crate::fleet::Fleet;
use crate::report::{Report, Table};

const HOSTS: usize = 1000;

pub(crate) fn measure(setting: &Setting, report: &mut Report) {
    let fleet = Fleet::start(HOSTS);
    let mut ours = fleet.ours(setting, &fleet.hosts);
    let columns = ["text, bytes", "text, tokens estimated as bytes/4", "whole result, bytes"];
    let mut table = Table::new("An answer about 1,000 hosts", &columns);
    for (what, command) in [
        ("the same everywhere (`uname -r`)", "uname -r"),
        ("another on each of ten (`whoami`)", "whoami"),
        ("another on every host (`uptime`), cut at `answers.max_bytes`", "uptime"),
    ] {
        let (_, answer) = ours.run(command);
        let text = answer["content"][0]["text"].as_str().unwrap().len() as f64;
        table.row(what, &[Some(text), Some(text / 4.0), Some(answer.to_string().len() as f64)]);
    }
    report.table(table);
}
