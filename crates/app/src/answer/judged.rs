//! From the policy's values to wire shapes: the only room here that knows what a judgement looks like.

use serde_json::{Value, json};
use sshepherd_engine::policy::Action;
use sshepherd_engine::{Config, Preview};
use sshepherd_model::{Alias, Host, Request};

use super::{Limits, PlanAnswer, PlannedCommand, PolicyLimits, encoded, shorten};

/// Longest command text that is repeated in an answer, in characters; the asker knows the rest.
const ECHO_CHARS: usize = 400;

/// Longest explanation in an answer, in characters; an owner's `why` may be of any length.
const WORDS_CHARS: usize = 600;

/// Most addresses shown; a name rarely has more than a few.
const ADDRESSES: usize = 16;

/// A command as it is repeated in answers.
pub(crate) fn echo(request: &Request) -> String {
    shorten(request.command(), ECHO_CHARS)
}

/// Part of a command as it is repeated in answers.
pub(super) fn echo_part(text: &str) -> String {
    shorten(text, ECHO_CHARS)
}

/// The answer about a planned command, at most about `budget` bytes.
pub(crate) fn planned(
    alias: &Alias,
    request: &Request,
    preview: &Preview,
    budget: usize,
) -> PlanAnswer {
    let explanation = &preview.explanation;
    let mut answer = PlanAnswer {
        alias: Some(alias.to_string()),
        command: Some(echo(request)),
        hash: Some(request.hash().to_string()),
        allowed: Some(preview.allowed()),
        limits: Some(Limits::from(&explanation.limits)),
        raw_shell: explanation.raw_shell.then_some(true),
        would_send: explanation.wire.as_deref().map(echo_part),
        ..PlanAnswer::default()
    };
    answer.needs_approval = explanation.asks.is_some().then_some(true);
    if let Some(noted) = &explanation.unenforced {
        answer.not_enforced = Some(true);
        answer.why = Some(shorten(&noted.message, WORDS_CHARS));
    }
    if let Some(denial) = &explanation.denial {
        answer.nearest = denial.nearest.as_deref().map(echo_part);
        answer.why = Some(shorten(&denial.message, WORDS_CHARS));
        answer.hint = Some(shorten(&denial.hint, WORDS_CHARS));
        answer.denied_command = denial.command.as_deref().map(echo_part);
    }
    match &preview.addresses {
        Ok(addresses) => {
            let some = addresses.iter().take(ADDRESSES);
            answer.addresses = Some(some.map(ToString::to_string).collect());
        }
        // A name that cannot be looked up just now does not make the command forbidden.
        Err(failure) if preview.allowed() => {
            answer.hint = Some(format!("allowed, but {failure}; {}", failure.hint));
        }
        Err(failure) if answer.why.is_none() => {
            answer.why = Some(failure.to_string());
            answer.hint = Some(failure.hint.clone());
        }
        Err(_) => {}
    }
    let mut room = budget.saturating_sub(encoded(&answer) + 32);
    let mut commands = Vec::new();
    for part in &explanation.commands {
        let part = PlannedCommand {
            command: echo_part(&part.text),
            allowed: part.allowed,
            by: part.by.clone().unwrap_or_else(|| "no rule allows it".to_owned()),
        };
        let size = encoded(&part) + 1;
        if size > room {
            break;
        }
        room -= size;
        commands.push(part);
    }
    answer.commands = Some(commands).filter(|commands| !commands.is_empty());
    answer
}

/// What may be done on `host`: limits and a sample of what the policy allows.
pub(crate) fn capabilities(config: &Config, host: &Host) -> Value {
    json!({
        "alias": host.alias.to_string(),
        "shells": shells(config, host),
        "shell_programs": config.policy.shell_programs(host, SAMPLES),
        "policy_limits": PolicyLimits::from(&config.policy.limits(host)),
        "allowed_sample": config.policy.samples(host, SAMPLES),
        "note": "ssh_plan judges a command exactly; what no rule allows is denied, and deny wins over allow",
    })
}

/// What the policy says to the log-in shell of `host` as an interactive one.
pub(crate) fn shells(config: &Config, host: &Host) -> &'static str {
    match config.policy.shells_on(host) {
        Action::Allow => "allow",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

/// The programs that may be opened in its place, if any.
pub(crate) fn shell_programs(config: &Config, host: &Host) -> Option<Vec<String>> {
    Some(config.policy.shell_programs(host, SAMPLES)).filter(|programs| !programs.is_empty())
}

/// Patterns shown of what a host allows: enough to see the kind of work, not the whole policy.
const SAMPLES: usize = 20;
