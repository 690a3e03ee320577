//! What is peculiar to one fake host: its numbers, which follow from its name, and its processes.

use std::time::Instant;

use crate::process::Processes;

/// One pretended machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) processes: Processes,
    /// When the fake host was started; its clock goes on from here.
    started: Instant,
    /// FNV-1a of the name: the source of all its numbers.
    seed: u64,
}

impl Machine {
    pub(crate) fn new(name: String, user: String) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { name, user, processes: Processes::new(), started: Instant::now(), seed }
    }

    /// A number in `0..below` that belongs to `what` on this host.
    pub(crate) fn number(&self, what: u64, below: u64) -> u64 {
        let mixed = (self.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 20) % below.max(1)
    }

    /// Whole seconds since the fake host was started.
    pub(crate) fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}
