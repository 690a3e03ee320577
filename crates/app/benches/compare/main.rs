//! SSHepherd beside its peers on the same machine, in turns: one host, many hosts, start-up, memory, tokens.
//!
//! `scripts/bench` installs the peers, runs this and draws the plot. By hand: `cargo bench -p sshepherd --bench compare --
//! --tools FOLDER [--quick]`, where FOLDER holds `peers/node_modules` and `venv`; what is not there is named as missing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

mod clock;
mod cold;
mod crowd;
mod design;
mod endless;
mod fleet;
mod flow;
mod growth;
mod host;
mod peers;
#[path = "../raw/mod.rs"]
mod raw;
mod report;
#[path = "../served/mod.rs"]
mod served;
mod start;
mod tokens;
mod tools;
mod warm;

use std::cell::RefCell;
use std::path::PathBuf;

use report::Report;
use tempfile::TempDir;

/// What the caller chose.
pub(crate) struct Setting {
    pub(crate) quick: bool,
    /// Where the peers are, and where the report goes.
    pub(crate) tools: PathBuf,
    /// Folders that are removed when everything is measured: for a minute after files were removed, ext4 takes several times as
    /// long to make others.
    folders: RefCell<Vec<TempDir>>,
}

impl Setting {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let tools = arguments.iter().position(|argument| argument == "--tools");
        let tools =
            tools.and_then(|at| arguments.get(at + 1)).map_or("target/bench", String::as_str);
        Self {
            quick: arguments.iter().any(|argument| argument == "--quick"),
            tools: tools.into(),
            folders: RefCell::default(),
        }
    }

    /// A folder that stays until the end.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        self.folders.borrow_mut().push(folder);
        path
    }

    /// How often something is done: in the short form and in the whole one.
    pub(crate) fn rounds(&self, quick: usize, whole: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

fn main() {
    let setting = Setting::read();
    let load_before = report::load();
    let mut report = Report::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    {
        let mut host = host::Host::start(&setting, &runtime, &mut report);
        start::measure(&setting, &host, &mut report);
        warm::measure(&setting, &mut host, &mut report);
        warm::measure_together(&setting, &mut host, &mut report);
        cold::measure(&setting, &mut host, &mut report);
        flow::throughput(&setting, &mut host, &mut report);
        flow::tail(&setting, &mut host, &mut report);
        endless::measure(&setting, &host, &mut report);
    }
    crowd::measure(&setting, &runtime, &mut report);
    growth::measure(&setting, &mut report);
    tokens::measure(&setting, &mut report);
    let form = if setting.quick { "quick" } else { "whole" };
    println!("{}", report.write(&setting.tools, form, &load_before));
}
