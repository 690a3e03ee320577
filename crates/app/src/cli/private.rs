//! Keeping the memory of this process to itself, for it holds secrets.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Lets no core be dumped and, on Linux, no other process of the same account look into this one. What fails is an error, so
/// that every command tells it: the owner counts on it.
pub(crate) fn no_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::error!(%error, "core dumps could not be turned off");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::error!(%error, "the memory of this process could not be closed to others");
    }
}
