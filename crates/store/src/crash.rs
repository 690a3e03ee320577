//! Places at which a test can have the process killed, as `kill -9` would: the proof that a restart is consistent.
//!
//! Only in builds with debug assertions; release builds know no such places.

/// The variable that names the place. With `NAME@N` it is the N-th time that the place is reached.
pub const VARIABLE: &str = "SSHEPHERD_CRASH_AT";

/// Ends the process at once when this place was asked for.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(wanted) = wanted() else { return };
    let (place, times) = wanted.split_once('@').unwrap_or((wanted, "1"));
    if place == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times.parse().unwrap_or(1) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

/// Ends the process at once when this place was asked for.
#[cfg(not(debug_assertions))]
pub fn point(_name: &str) {}

#[cfg(debug_assertions)]
fn wanted() -> Option<&'static str> {
    static WANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    WANTED.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref()
}
