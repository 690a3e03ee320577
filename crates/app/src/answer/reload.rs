//! What came of reading the configuration again.

use super::answer;

answer! {
    /// The new configuration is in force, or the old one still is.
    ReloadAnswer {
        /// `reloaded` or `error`.
        status: String,
        /// What changed.
        changes: Vec<String>,
        /// Findings that do not stop it, each with file and line.
        warnings: Vec<String>,
        /// Every problem, each with file and line; the old configuration stays in force.
        errors: Vec<String>,
        /// Findings that did not fit.
        missing: u64,
        /// What to do next.
        hint: String,
    }
}
