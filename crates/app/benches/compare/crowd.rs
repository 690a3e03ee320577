//! One command on many hosts: ours, raw russh, and the command lines that people use for it, in turns.

use std::net::SocketAddr;
use std::sync::Arc;

use russh::client::Handle;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Setting;
use crate::clock::{median, own_cpu, timed};
use crate::fleet::{COMMAND, Cost, Fleet};
use crate::raw::{self, AnyKey};
use crate::report::{Report, Table, Wanted};
use crate::tools::Tool;

/// Hosts that raw russh talks to at once.
const AT_ONCE: usize = 128;
/// Fan-outs over connections that stand, after each cold one.
const WARM: usize = 3;

/// Fan-outs of one kind to so many hosts.
#[derive(Default)]
struct Costs {
    seconds: Vec<f64>,
    cpu_ms: Vec<f64>,
}

impl Costs {
    /// What it cost on `measured` hosts stands for `count`.
    fn add(&mut self, cost: Cost, measured: usize, count: usize) {
        self.seconds.push(cost.seconds * count as f64 / measured as f64);
        self.cpu_ms.push(cost.cpu_ms / measured as f64);
    }

    fn cells(&self) -> [Option<f64>; 2] {
        [median(&self.seconds), median(&self.cpu_ms)]
    }
}

type Connections = Vec<Arc<Handle<AnyKey>>>;

async fn all<T: Send + 'static>(
    works: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for work in works {
        let seats = Arc::clone(&seats);
        running.spawn(async move {
            let _seat = seats.acquire().await.unwrap();
            work.await
        });
    }
    running.join_all().await
}

fn costing(runtime: &Runtime, work: impl Future) -> Cost {
    let before = own_cpu();
    let time = timed(|| drop(runtime.block_on(work)));
    Cost { seconds: time / 1000.0, cpu_ms: (own_cpu() - before) * 1000.0 }
}

/// Cold, then warm.
fn raw_fan_out(runtime: &Runtime, fleet: &Fleet, count: usize) -> (Cost, Vec<Cost>) {
    let key = raw::key(&fleet.path("key"));
    let mut connections: Connections = Vec::new();
    let cold = costing(runtime, async {
        let works = fleet.hosts[..count].iter().map(|(address, user)| {
            let address: SocketAddr = format!("{address}:{}", fleet.port).parse().unwrap();
            let (user, key) = (user.clone(), Arc::clone(&key));
            async move {
                let handle = raw::connect(raw::nodelay(), address, &user, key).await;
                raw::run(&handle, COMMAND).await;
                Arc::new(handle)
            }
        });
        connections = all(works).await;
    });
    let warm = (0..WARM).map(|_| {
        costing(runtime, async {
            let works = connections.iter().cloned();
            all(works.map(|handle| async move { raw::run(&handle, COMMAND).await })).await;
        })
    });
    (cold, warm.collect())
}

fn our_fan_out(setting: &Setting, fleet: &Fleet, count: usize) -> (Cost, Vec<Cost>) {
    let mut ours = fleet.ours(setting, &fleet.hosts[..count]);
    let (cold, _) = ours.run(COMMAND);
    (cold, (0..WARM).map(|_| ours.run(COMMAND).0).collect())
}

pub(crate) fn measure(setting: &Setting, runtime: &Runtime, report: &mut Report) {
    let tools = Tool::all(setting);
    let sizes: &[usize] = if setting.quick { &[100, 1000] } else { &[100, 500, 1000] };
    // The last hosts of a fleet have other users.
    let fleet = Fleet::start(1010);
    for &count in sizes {
        fan_out(setting, runtime, (&fleet, count), &tools, report);
    }
}

fn fan_out(
    setting: &Setting,
    runtime: &Runtime,
    (fleet, count): (&Fleet, usize),
    tools: &[Tool],
    report: &mut Report,
) {
    // Cold and warm: ours, then raw russh.
    let mut near: [[Costs; 2]; 2] = Default::default();
    let mut far: Vec<Costs> = tools.iter().map(|_| Costs::default()).collect();
    for _ in 0..setting.rounds(1, 3) {
        let both = [our_fan_out(setting, fleet, count), raw_fan_out(runtime, fleet, count)];
        for ([cold, warm], (first, later)) in near.iter_mut().zip(both) {
            cold.add(first, count, count);
            later.into_iter().for_each(|cost| warm.add(cost, count, count));
        }
        for (costs, tool) in far.iter_mut().zip(tools) {
            let measured = count.min(tool.most);
            match tool.run(fleet, measured) {
                Ok(cost) => costs.add(cost, measured, count),
                Err(why) => report.missing(tool.name, &why),
            }
        }
    }
    tabulate(count, &near, (tools, &far), report);
    if count == 1000 {
        goals(&near, (tools, &far), report);
    }
}

fn tabulate(
    count: usize,
    [ours, raws]: &[[Costs; 2]; 2],
    (tools, far): (&[Tool], &[Costs]),
    report: &mut Report,
) {
    let columns = ["cold, s", "processor, ms a host", "warm, s", "warm processor, ms a host"];
    let title = format!("`{COMMAND}` on {count} fake hosts, output captured");
    let mut table = Table::new(&title, &columns);
    let row = |[cold, warm]: &[Costs; 2]| [cold.cells(), warm.cells()].concat();
    table.row("ours, `ssh_run_on_tag` through MCP, stored", &row(ours));
    table.row(&format!("raw russh, {AT_ONCE} at a time"), &row(raws));
    for (tool, costs) in tools.iter().zip(far) {
        let name = if count > tool.most {
            format!("{} (extrapolated from {})", tool.name, tool.most)
        } else {
            tool.name.to_owned()
        };
        table.row(&name, &[&costs.cells()[..], &[None, None]].concat());
    }
    report.table(table.against_first(0, "cold / ours"));
}

fn goals([ours, raws]: &[[Costs; 2]; 2], (tools, far): (&[Tool], &[Costs]), report: &mut Report) {
    let seconds = |costs: &Costs| median(&costs.seconds);
    let cold = seconds(&ours[0]);
    for (tool, costs) in tools.iter().zip(far) {
        let least = match tool.name {
            "clush" => 12.0,
            name if name.starts_with("Ansible") => 35.0,
            name if name.contains("library") => 1.7,
            _ => 7.0,
        };
        let what = format!("1,000 hosts cold, s, {}", tool.name);
        report.goal(("P3", &what), (cold, seconds(costs)), Wanted::AtLeast(least));
    }
    report.bound("P3", "1,000 hosts cold, processor ms a host", median(&ours[0].cpu_ms), 1.0);
    let warm = (seconds(&ours[1]), seconds(&raws[1]));
    report.goal(("P4", "1,000 hosts warm, s, raw russh"), warm, Wanted::AtMost(1.3));
}
