//! Questions that a host asks while logging in (keyboard-interactive), and who answers them: a person, never a program.

use std::future::Future;
use std::pin::Pin;

use sshepherd_model::{Alias, HostWords, Secret};

/// What a host asks at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The host.
    pub alias: Alias,
    /// Who logs in there.
    pub username: String,
    /// The host's words about it; often empty.
    pub instructions: HostWords,
    /// One to 16 questions.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The host's words, at most 256 characters. They are the host's: it may ask for what it should not.
    pub text: HostWords,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

/// The answers, one for each question; `None` when nobody answers.
pub type Answers = Option<Vec<Secret>>;

/// Takes questions to a person. A log-in waits for it no longer than [`crate::Deadlines::person`]; the future is dropped
/// then.
pub trait Prompter: Send + Sync {
    /// Asks, and comes back when the person is done.
    fn ask(&self, questions: Questions) -> Pin<Box<dyn Future<Output = Answers> + Send + '_>>;
}
