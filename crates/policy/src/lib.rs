//! Decides what may run; pure: no I/O, no clock, no async runtime.
//!
//! [`words`] recognises a small shell language and refuses the rest (program names and builtins are rooms of their own, `program` and `builtin`; so is the language of hosts that are no shell, `raw`); [`script`] is what it recognised and its
//! re-quoted form; [`rule`], [`glob`], [`limit`] and [`network`] are the owner's policy as typed values;
//! [`filter`] knows the programs that are harmless after a pipe; [`typed`] is what a program may be called with, word by word; [`steering`] knows the variables that make programs run something; `decide` finds the rule for one
//! simple command and `doubt` is what deny rules make of it, and `wrapper` knows the programs that run others; [`judge`](mod@judge) brings the commands of a text together; [`approval`] and [`question`] are what a person's yes is
//! wanted for; [`denial`] says why not and what instead; [`permit`] is the
//! proof that something was judged, which only this crate can make; [`shell`] is the same for interactive shells; [`explain`], [`lint`](mod@lint), [`suggest`](mod@suggest) and [`corpus`] serve those who
//! write policies.

pub mod approval;
mod builtin;
pub mod corpus;
mod decide;
pub mod denial;
mod doubt;
pub mod explain;
pub mod filter;
pub mod glob;
pub mod judge;
pub mod limit;
mod line;
pub mod lint;
mod lint_denies;
mod lint_shells;
pub mod network;
pub mod permit;
pub mod policy;
mod program;
pub mod question;
mod raw;
pub mod rule;
pub mod script;
pub mod shell;
pub mod steering;
pub mod sudo;
pub mod suggest;
mod surroundings;
pub mod typed;
pub mod words;
mod wrapper;

pub use approval::{Lasts, Terms};
pub use denial::{Denial, DenialReason};
pub use explain::{Answer, Explanation, Part};
pub use glob::{BadGlob, Glob};
pub use judge::Verdict;
pub use limit::{LimitPatch, LimitTable};
pub use lint::{Finding, lint};
pub use network::{NetworkDenial, NetworkPolicy};
pub use permit::{Decision, Judged, Permit, PermitParts};
pub use policy::{Dialect, Enforcement, Policy};
pub use question::Question;
pub use rule::{Action, Grants, Position, Rule, RuleRef};
pub use script::{Script, SimpleCommand, quote, quote_always};
pub use shell::{Opening, ShellGrant, ShellPermit, ShellRequest, ShellRule, TypedSecret};
pub use suggest::suggest;
pub use typed::Spec;
pub use words::{Refusal, recognise, recognise_for};
