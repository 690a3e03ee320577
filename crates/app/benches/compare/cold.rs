//! `true` with a connection of its own each time: connect, log in, run, in turns.

use crate::Setting;
use crate::clock::{median, percentile, timed};
use crate::host::{COLD, Host, run_true};
use crate::raw;
use crate::report::{Report, Table, Wanted};

/// What ours and russh agree on with an OpenSSH that knows no ML-KEM.
const SAME_EXCHANGE: [&str; 2] = ["-o", "KexAlgorithms=curve25519-sha256"];

fn logins(host: &Host) -> usize {
    host.sshd.log().matches("Accepted publickey").count()
}

fn raw_cold(host: &Host) {
    let sshd = &host.sshd;
    host.runtime.block_on(async {
        let key = raw::key(sshd.user_key_path());
        let config = russh::client::Config::default();
        let handle = raw::connect(config, sshd.address(), sshd.user(), key).await;
        raw::run(&handle, "true").await;
    });
}

pub(crate) fn measure(setting: &Setting, host: &mut Host, report: &mut Report) {
    let rounds = setting.rounds(12, COLD);
    let before = logins(host);
    let (mut ours, mut raws, mut same, mut usual) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // An alias that was not used yet has no connection.
        let alias = format!("cold{round}");
        ours.push(timed(|| run_true(&mut host.ours, &alias)));
        raws.push(timed(|| raw_cold(host)));
        let mut ssh = host.alone(&SAME_EXCHANGE, "true");
        same.push(timed(|| assert!(ssh.status().unwrap().success())));
        let mut ssh = host.alone(&[], "true");
        usual.push(timed(|| assert!(ssh.status().unwrap().success())));
    }
    assert_eq!(logins(host) - before, 4 * rounds, "a connection was used twice");
    let columns = ["p50, ms", "p99, ms"];
    let mut table = Table::new("`true` on one host, cold: connect, log in, run", &columns);
    for (who, times) in [
        ("ours, `ssh_run` through MCP", &ours),
        ("raw russh as it comes", &raws),
        ("`ssh`, curve25519 as ours", &same),
        ("`ssh` as it comes", &usual),
    ] {
        table.row(who, &[median(times), percentile(times, 99)]);
    }
    report.table(table.against_first(0, "p50 / ours"));
    let own = median(&ours);
    report.goal(("P2", "cold p50 ms, raw russh"), (own, median(&raws)), Wanted::AtMost(0.5));
    let what = "cold p50 ms, `ssh` with the same key exchange";
    report.goal(("P2", what), (own, median(&same)), Wanted::AtMost(0.3));
}
