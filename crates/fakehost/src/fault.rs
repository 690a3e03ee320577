//! What a fake host can be told to do wrong, for tests.

/// One way to misbehave; a host may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Accepts the connection and never sends a version line.
    SilentBanner,
    /// Sends its version line and nothing more.
    StopAfterBanner,
    /// Refuses every login.
    RefuseAuth,
    /// Never answers a login.
    StopInAuth,
    /// Refuses a channel while this many are open on the same connection, as sshd's `MaxSessions` does.
    MaxSessions(usize),
    /// Refuses every channel.
    RefuseChannels,
    /// Never answers when a channel is opened.
    StopInChannelOpen,
    /// Refuses every command.
    RefuseExec,
    /// Never answers an exec request, and runs nothing.
    StopInExec,
    /// Cuts the connection when a command has written this many bytes, or at its end if it writes fewer.
    CutAfterBytes(u64),
    /// Every command writes without end, as fast as its reader reads.
    EndlessOutput,
    /// Every command writes without end, this many bytes a second at most.
    EndlessOutputAt(u64),
    /// Closes the channel of every command without telling how it ended.
    NoExitStatus,
}

/// The faults of one host, asked by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    pub(crate) fn max_sessions(&self) -> Option<usize> {
        self.0.iter().find_map(|fault| match fault {
            Fault::MaxSessions(most) => Some(*most),
            Fault::SilentBanner
            | Fault::StopAfterBanner
            | Fault::RefuseAuth
            | Fault::StopInAuth
            | Fault::RefuseChannels
            | Fault::StopInChannelOpen
            | Fault::RefuseExec
            | Fault::StopInExec
            | Fault::CutAfterBytes(_)
            | Fault::EndlessOutput
            | Fault::EndlessOutputAt(_)
            | Fault::NoExitStatus => None,
        })
    }

    pub(crate) fn cut_after(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::CutAfterBytes(bytes) => Some(*bytes),
            Fault::SilentBanner
            | Fault::StopAfterBanner
            | Fault::RefuseAuth
            | Fault::StopInAuth
            | Fault::MaxSessions(_)
            | Fault::RefuseChannels
            | Fault::StopInChannelOpen
            | Fault::RefuseExec
            | Fault::StopInExec
            | Fault::EndlessOutput
            | Fault::EndlessOutputAt(_)
            | Fault::NoExitStatus => None,
        })
    }

    /// Whether commands write without end, and how many bytes a second at most.
    pub(crate) fn endless(&self) -> Option<Option<u64>> {
        self.0.iter().find_map(|fault| {
            if let Fault::EndlessOutputAt(rate) = fault {
                return Some(Some(*rate));
            }
            (*fault == Fault::EndlessOutput).then_some(None)
        })
    }
}
