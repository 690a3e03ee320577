//! Keeps tasks and their output behind one boundary, [`Store`].
//!
//! Rooms: [`state`] (the task's life as one total match), [`record`] (what is kept of a task), [`output`] (what reads
//! of output answer), [`approval`] (questions to people and their answers), [`hint`] (live news that something changed), [`boundary`] (the trait every backend serves),
//! [`memory`] (the backend that lives in this process and is bounded), [`disk`] (the backend in a folder that several
//! servers share), [`shells`] (interactive shells, as files in that folder), [`crash`] (places where tests end the process), [`error`].
//!
//! This crate knows no clock (the caller gives every time, in milliseconds since the epoch), no SSH, no policy and no
//! face. Whoever runs a task owns it; the record itself names no owner.

pub mod approval;
mod block;
pub mod boundary;
pub mod crash;
pub mod disk;
pub mod error;
pub mod hint;
pub mod memory;
pub mod output;
mod reading;
pub mod record;
mod retained;
mod row;
pub mod shells;
pub mod state;
mod utf8;

pub use approval::{Approval, Holds, NewApproval, Settled, Settlement, Standing};
pub use boundary::{Answer, DigestKey, Store};
pub use disk::{DiskBounds, DiskStore};
pub use error::Error;
pub use hint::{Heard, Hint, News, Subscription};
pub use memory::{Bounds, MemoryStore};
pub use output::{HeadTail, Page, StreamFilter, TailLines, Totals};
pub use record::{
    CALLERS_KEY, Care, Durability, Finish, ListCursor, ListPage, ListQuery, Lookup, NewTask,
    Orphans, Patch, Spent, Swept, Task, TaskLimits, Wish, Wishes,
};
pub use shells::{
    Claim, HeldShell, Life, ListedShell, Recorder, ShellEnd, ShellFolder, ShellRecord,
};
pub use state::{Event, Illegal, State};
