//! Exit codes, in one place: 0 done, 1 the remote command or a case failed, 2 usage or configuration, 3 denied by
//! policy, 4 could not connect or authenticate.

use std::process::ExitCode;

/// How a command of ours ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// The remote command failed, a case of a corpus did not match, or `check` found hosts that cannot be used.
    Failed,
    /// Could not connect or log in.
    Unreachable,
    /// The policy does not allow it.
    Denied,
    /// Wrong usage or an unusable configuration.
    Usage,
}

impl Exit {
    /// The worse of two ends, for a fan-out: usage over denied over unreachable over failed over done.
    pub(crate) fn worse(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Denied => 3,
            Exit::Unreachable => 4,
        })
    }
}
