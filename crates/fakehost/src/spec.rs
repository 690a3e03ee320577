//! What a fake host is to be like.

use crate::fault::{Fault, Faults};

/// Login name that fake hosts accept unless told otherwise.
pub const DEFAULT_USER: &str = "demo";

/// One fake host: its name decides its numbers (load, memory, uptime), so output differs from host to host and
/// is the same at each start.
#[derive(Clone)]
#[must_use]
pub struct FakeHostSpec {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) faults: Faults,
}

impl std::fmt::Debug for FakeHostSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeHostSpec")
            .field("name", &self.name)
            .field("user", &self.user)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl FakeHostSpec {
    /// A well-behaved host that accepts the fleet's key for [`DEFAULT_USER`].
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            user: DEFAULT_USER.to_owned(),
            password: None,
            faults: Faults::default(),
        }
    }

    /// The login name it accepts.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Also accepts this password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds a fault.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.add(fault);
        self
    }
}
