//! Random kills and faults while jobs are accepted and run.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sshepherd_model::TaskId;
use sshepherd_testkit::{Stall, processes};

use crate::ground::Ground;
use crate::ledger::{self, Counts};
use crate::server::{Pid, Server};
use crate::setting;

/// A small generator (xorshift64, Marsaglia 2003): the same seed gives the same run as far as timing allows.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// How often each fault was made.
#[derive(Debug, Default)]
struct Faults {
    server_killed: u64,
    connections_cut: u64,
    connections_stalled: u64,
    connections_refused: u64,
    sshd_restarted: u64,
    sshd_sessions_killed: u64,
    disk_filled: u64,
}

impl Faults {
    fn others(&self) -> u64 {
        self.connections_cut
            + self.connections_stalled
            + self.connections_refused
            + self.sshd_restarted
            + self.sshd_sessions_killed
            + self.disk_filled
    }
}

/// Makes faults until there were enough of each, then until the driver is through.
fn rage(ground: &Ground, pid: &Pid, kills: u64, others: u64, dice: &mut Dice) -> Faults {
    let mut faults = Faults::default();
    while faults.server_killed < kills || faults.others() < others {
        thread::sleep(Duration::from_millis(100 + dice.roll(500)));
        let kill = faults.server_killed < kills
            && (faults.others() >= others || dice.roll(kills + others) < kills);
        if kill {
            let victim = pid.swap(0, Ordering::SeqCst);
            if victim != 0 {
                processes::kill(victim);
                faults.server_killed += 1;
            }
            continue;
        }
        match dice.roll(if ground.small_disk { 6 } else { 5 }) {
            0 => {
                ground.proxy.cut();
                faults.connections_cut += 1;
            }
            1 => {
                ground.proxy.stall(Stall::Both);
                thread::sleep(Duration::from_millis(200 + dice.roll(800)));
                ground.proxy.resume();
                faults.connections_stalled += 1;
            }
            2 => {
                ground.proxy.refuse();
                ground.proxy.cut();
                thread::sleep(Duration::from_millis(200 + dice.roll(800)));
                ground.proxy.admit();
                faults.connections_refused += 1;
            }
            3 => {
                let mut sshd = ground.sshd.lock().unwrap_or_else(PoisonError::into_inner);
                sshd.restart();
                faults.sshd_restarted += 1;
            }
            4 => {
                let sshd = ground.sshd.lock().unwrap_or_else(PoisonError::into_inner);
                sshd.kill_connections();
                faults.sshd_sessions_killed += 1;
            }
            _ => {
                fill(ground, Duration::from_millis(300 + dice.roll(700)));
                faults.disk_filled += 1;
            }
        }
    }
    faults
}

/// Fills the disk of the state folder for a while.
fn fill(ground: &Ground, how_long: Duration) {
    let path = ground.state().join("filler");
    let mut file = File::create(&path).unwrap();
    let block = vec![0_u8; 64 << 10];
    while file.write_all(&block).is_ok() {}
    thread::sleep(how_long);
    drop(file);
    std::fs::remove_file(path).unwrap();
}

/// Has every job accepted, whatever happens to the server, and answers their ids.
fn drive(
    ground: &Ground,
    pid: &Pid,
    jobs: u64,
    raging: &AtomicBool,
    seed: u64,
) -> Vec<(String, TaskId)> {
    let mut dice = Dice(seed ^ 0x5DEE_CE66);
    let mut server: Option<Server> = None;
    let mut accepted = Vec::new();
    let mut serve = || {
        let mut command = ground.serve();
        // A clock that is wrong by up to an hour either way, anew at each start.
        let offset = i64::try_from(dice.roll(7_200_000)).unwrap() - 3_600_000;
        command.env("SSHEPHERD_CLOCK_OFFSET_MS", offset.to_string());
        Server::start(command, pid)
    };
    for job in 0..jobs {
        let name = format!("job-{job}");
        let arguments = json!({
            "alias": "box", "command": ledger::command(ground, &name), "idempotency_key": name
        });
        loop {
            let Some(alive) = server.as_mut() else {
                server = serve();
                continue;
            };
            match alive.call("ssh_run_async", arguments.clone()) {
                None => server = None,
                // Refused, for the disk was full: nothing was accepted, so it is asked for again.
                Some(answer) if answer["task_id"].is_null() => {
                    thread::sleep(Duration::from_millis(100));
                }
                Some(answer) => {
                    accepted.push((name, answer["task_id"].as_str().unwrap().parse().unwrap()));
                    break;
                }
            }
        }
        // About as long as the faults last, so that they meet jobs at every age.
        thread::sleep(Duration::from_millis(setting("PACE_MS", 150)));
    }
    while raging.load(Ordering::SeqCst) {
        match server.as_mut() {
            Some(alive) => {
                if alive.call("ssh_ping", json!({})).is_none() {
                    server = None;
                }
                thread::sleep(Duration::from_millis(20));
            }
            None => server = serve(),
        }
    }
    // The last server stays until all is settled; the last kill may have been its.
    while server.as_mut().is_none_or(|alive| alive.call("ssh_ping", json!({})).is_none()) {
        server = serve();
    }
    std::mem::forget(server);
    accepted
}

#[test]
fn nothing_accepted_is_lost_run_twice_or_mixed_up() {
    let (jobs, kills) = (setting("JOBS", 40), setting("KILLS", 5));
    let (others, seed) = (setting("FAULTS", 10), setting("SEED", 1).max(1));
    let ground = Ground::new();
    let pid = Pid::default();
    let raging = AtomicBool::new(true);
    let began = Instant::now();
    let (accepted, faults) = thread::scope(|scope| {
        let rage = scope.spawn(|| {
            let faults = rage(&ground, &pid, kills, others, &mut Dice(seed));
            raging.store(false, Ordering::SeqCst);
            faults
        });
        let accepted = drive(&ground, &pid, jobs, &raging, seed);
        (accepted, rage.join().unwrap())
    });
    let counts = ledger::settle(&ground, &accepted, Duration::from_secs(180));
    processes::kill(pid.load(Ordering::SeqCst));
    println!(
        "torture: seed {seed}, {} jobs accepted, {faults:?}, {counts:?}, {} s; full disk {}",
        accepted.len(),
        began.elapsed().as_secs(),
        if ground.small_disk {
            "exercised"
        } else {
            "not exercised: no right to mount a small one"
        }
    );
    assert_eq!(accepted.len() as u64, jobs);
    let (done, not_started) = (counts.done, counts.not_started);
    assert_eq!(counts, Counts { done, not_started, ..Counts::default() });
    assert_eq!(done + not_started, accepted.len());
    // Arc keeps the type of the pid in one place.
    drop(Arc::clone(&pid));
}
