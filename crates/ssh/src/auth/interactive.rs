//! keyboard-interactive: a configured password answers the one question that asks for it; a person answers the others.

use russh::client::{Handle, KeyboardInteractiveAuthResponse as Reply, Prompt as Asked};
use sshepherd_model::{ConnectFailure, HostWords, Secret};

use super::{Answer, broken, failure};
use crate::client::Client;
use crate::prompt::{Prompt, Questions};
use crate::target::Target;

/// Most turns of questions. OpenSSH with PAM takes one or two; a wrong code is asked for again a few times.
const MAX_ROUNDS: usize = 10;
/// Most questions in a turn, far more than a person is ever asked.
const MAX_PROMPTS: usize = 16;
/// Most characters shown of a question.
const MAX_PROMPT: usize = 256;

/// Logs in by answering. `password` is given once, and only to a single hidden question for a password; whatever else is
/// asked goes to the target's prompter.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    mut password: Option<&Secret>,
) -> Result<Answer, ConnectFailure> {
    let trouble = |error: russh::Error| broken(target, &error);
    let user = &target.username;
    let mut reply =
        handle.authenticate_keyboard_interactive_start(user, None).await.map_err(trouble)?;
    for _ in 0..MAX_ROUNDS {
        let (instructions, prompts) = match reply {
            Reply::Success => return Ok(Answer::In),
            Reply::Failure { remaining_methods, partial_success } => {
                return Ok(Answer::refused(remaining_methods, partial_success));
            }
            Reply::InfoRequest { instructions, prompts, .. } => (instructions, prompts),
        };
        let answers = match (prompts.as_slice(), password) {
            ([], _) => Vec::new(),
            ([one], Some(secret)) if wants_password(one) => {
                password = None;
                vec![secret.expose().to_owned()]
            }
            _ => ask(target, &instructions, &prompts).await?,
        };
        reply = handle.authenticate_keyboard_interactive_respond(answers).await.map_err(trouble)?;
    }
    Err(failure(
        format!("{} asked more than {MAX_ROUNDS} times while logging in", target.alias),
        "see the host's PAM configuration",
    ))
}

/// Whether a question is the one that a password answers, and no other: PAM's `Password:`, `(user@host) Password:` of
/// OpenSSH 8.7 and newer, `Password for user@host:`, `user@host's password:`. A code of one time is none.
fn wants_password(asked: &Asked) -> bool {
    let text = asked.prompt.trim().trim_end_matches(':').trim_end().to_ascii_lowercase();
    let text = match text.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((_, rest)) => rest,
        None => &text,
    };
    let known =
        text == "password" || text.starts_with("password for ") || text.ends_with("'s password");
    !asked.echo && known
}

async fn ask(
    target: &Target,
    instructions: &str,
    asked: &[Asked],
) -> Result<Vec<String>, ConnectFailure> {
    let alias = &target.alias;
    let prompts: Vec<Prompt> = asked
        .iter()
        .take(MAX_PROMPTS)
        .map(|asked| Prompt {
            text: HostWords::within(&asked.prompt, MAX_PROMPT),
            echo: asked.echo,
        })
        .collect();
    let first = prompts.first().map_or("", |prompt| prompt.text.trim()).to_owned();
    if asked.len() > MAX_PROMPTS {
        let detail = format!("{alias} asks {} questions at once", asked.len());
        return Err(failure(detail, "see the host's PAM configuration"));
    }
    let Some(prompter) = &target.prompter else {
        return Err(failure(
            format!("{alias} asks {first:?} while logging in, and nobody is here to answer"),
            "a person can run it with `sshepherd run` at a terminal; or give the account a key",
        ));
    };
    let wanted = prompts.len();
    let questions = Questions {
        alias: alias.clone(),
        username: target.username.clone(),
        instructions: instructions.into(),
        prompts,
    };
    match prompter.ask(questions).await {
        Some(answers) if answers.len() == wanted => {
            Ok(answers.iter().map(|answer| answer.expose().to_owned()).collect())
        }
        Some(_) | None => Err(failure(
            format!("{alias} asked {first:?} while logging in, and nobody answered"),
            "try again when a person is there to answer; `sshepherd run` asks at a terminal",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_goes_to_no_other_question() {
        for (prompt, echo, expected) in [
            ("Password: ", false, true),
            ("password:", false, true),
            ("(ops@web1) Password: ", false, true),
            ("Password for ops@web1:", false, true),
            ("ops@web1's password: ", false, true),
            ("Password: ", true, false),
            ("Verification code: ", false, false),
            ("One-time password (OATH) for `ops': ", false, false),
            ("(ops@web1) New password: ", false, false),
            ("Enter password or code:", false, false),
            ("(x) y) Password:", false, false),
            ("", false, false),
        ] {
            let asked = Asked { prompt: prompt.to_owned(), echo };
            assert_eq!(wants_password(&asked), expected, "{prompt:?}");
        }
    }
}
