//! Typed rules: what one program may be called with, word by word.
//!
//! [`value`] holds the types of words; [`spec`] what a rule says, checked; `read` reads an argv as a rule that allows has it:
//! exactly; `forbid` as a rule that denies has it: loosely; `nearest` finds the call that would be taken.

mod forbid;
mod nearest;
mod read;
mod spec;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use forbid::may_be;
pub use read::Mismatch;
pub(crate) use spec::base;
pub use spec::{BadSpec, OperandSpec, OptionSpec, Order, Program, Spec};
pub use value::{BadPattern, Pattern, ValueType};
