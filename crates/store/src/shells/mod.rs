//! What the servers that share a state folder know of interactive shells: plain files, apart from the tasks.
//!
//! ```text
//! shells/ID/record.json   what is known of it; replaced as a whole
//! shells/ID/cast          its recording, lines that are only ever added
//! shells/ID/lock          held by the server that serves it; free means that this server is gone
//! shells/ID.new, ID.gone  one on its way in or out
//! ```
//!
//! Rooms: `record` (what is known), `folder` (all of them), `held` (the one that a server serves), `recorder`.

mod folder;
mod held;
mod record;
mod recorder;

pub use folder::{Claim, ShellFolder};
pub use held::HeldShell;
pub use record::{Life, ListedShell, ShellEnd, ShellRecord};
pub use recorder::Recorder;
