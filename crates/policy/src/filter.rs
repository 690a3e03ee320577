//! Filters.
/// Check.
#[must_use]
pub fn check(_argv: &[String]) -> Option<Result<(), String>> {
    None
}
