//! Decides what may run; pure: no I/O, no clock, no async runtime.
//!
//! [`words`] recognises a small shell language and refuses the rest (program names are its own room, `program`); [`script`] is what it recognised and its
//! re-quoted form; [`rule`], [`glob`], [`limit`] and [`network`] are the owner's policy as typed values;
//! [`filter`] knows the programs that are harmless after a pipe; [`judge`](mod@judge) brings them together; [`denial`] says why not and what instead; [`permit`] is the
//! proof that something was judged, which only this crate can make; [`explain`], [`lint`](mod@lint) and [`corpus`] serve those who
//! write policies.

pub mod corpus;
pub mod denial;
pub mod explain;
pub mod filter;
pub mod glob;
pub mod judge;
pub mod limit;
pub mod lint;
pub mod network;
pub mod permit;
pub mod policy;
mod program;
pub mod rule;
pub mod script;
mod surroundings;
pub mod words;

pub use denial::{Denial, DenialReason};
pub use explain::{Explanation, Part};
pub use glob::{BadGlob, Glob};
pub use judge::Verdict;
pub use limit::{LimitPatch, LimitTable};
pub use lint::{Finding, lint};
pub use network::{NetworkDenial, NetworkPolicy};
pub use permit::{Decision, Permit, PermitParts};
pub use policy::{Dialect, Policy};
pub use rule::{Action, Grants, Position, Rule, RuleRef};
pub use script::{Script, SimpleCommand, quote};
pub use words::{Refusal, recognise};
