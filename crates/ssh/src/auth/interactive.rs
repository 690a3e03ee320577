//! keyboard-interactive: a configured password answers the one question that asks for it; a person answers the others.

use russh::client::{Handle, KeyboardInteractiveAuthResponse as Reply, Prompt as Asked};
use sshepherd_model::{HostWords, Secret};

use super::asked::PasswordPrompt;
use super::clock::Clock;
use super::refusals::Try;
use super::{Answer, Note};
use crate::client::Client;
use crate::prompt::{Prompt, Questions};
use crate::target::Target;

/// Most turns of questions. OpenSSH with PAM takes one or two; a wrong code is asked for again a few times.
const MAX_ROUNDS: usize = 10;
/// Most questions in a turn, far more than a person is ever asked.
const MAX_PROMPTS: usize = 16;
/// Most characters shown of a question.
const MAX_PROMPT: usize = 256;

/// A configured password: what it answers, and its turn among all log-ins with it.
pub(super) struct Given<'a> {
    pub(super) secret: &'a Secret,
    pub(super) prompt: PasswordPrompt,
    pub(super) turn: Try,
}

/// Logs in by answering. The password is given once, and only to a single hidden question for a password; whatever else is
/// asked goes to the target's prompter.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    clock: &Clock,
    given: Option<Given<'_>>,
) -> Result<Answer, russh::Error> {
    let (mut unused, mut sent) = (given, None);
    let user = &target.username;
    let mut reply = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..MAX_ROUNDS {
        let (instructions, prompts) = match reply {
            Reply::Success => {
                settle(unused, sent, true);
                return Ok(Answer::In);
            }
            Reply::Failure { remaining_methods, partial_success } => {
                settle(unused, sent, partial_success);
                return Ok(Answer::refused(remaining_methods, partial_success));
            }
            Reply::InfoRequest { instructions, prompts, .. } => (instructions, prompts),
        };
        let answers = match prompts.as_slice() {
            [] => Vec::new(),
            [one] if unused.as_ref().is_some_and(|given| given.prompt.asks_for_it(one)) => {
                let answer = unused.take().map(|given| {
                    sent = Some(given.turn);
                    given.secret.expose().to_owned()
                });
                answer.into_iter().collect()
            }
            _ => match ask(target, clock, &instructions, &prompts).await {
                Ok(answers) => answers,
                Err(note) => {
                    settle(unused, sent, false);
                    return Ok(Answer::Stuck(note));
                }
            },
        };
        reply = handle.authenticate_keyboard_interactive_respond(answers).await?;
    }
    settle(unused, sent, false);
    Ok(Answer::Stuck(Note::new(
        format!("{} asked more than {MAX_ROUNDS} times while logging in", target.alias),
        "see the host's PAM configuration",
    )))
}

/// Counts the password as taken, as refused, or as never sent.
fn settle(unused: Option<Given<'_>>, sent: Option<Try>, right: bool) {
    if let Some(given) = unused {
        given.turn.unused();
    }
    match sent {
        Some(turn) if right => turn.accepted(),
        // Dropped without a word, it is a refusal.
        Some(_) | None => {}
    }
}

async fn ask(
    target: &Target,
    clock: &Clock,
    instructions: &str,
    asked: &[Asked],
) -> Result<Vec<String>, Note> {
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
        let what = format!("{alias} asks {} questions at once", asked.len());
        return Err(Note::new(what, "see the host's PAM configuration"));
    }
    let Some(prompter) = &target.prompter else {
        return Err(Note::new(
            format!("{alias} asks {first:?} while logging in, and nobody is here to answer"),
            "a person can run it with `sshepherd run` at a terminal; or give the account a key; if the password answers it, \
             set password_prompt in credentials.yml",
        ));
    };
    let wanted = prompts.len();
    let questions = Questions {
        alias: alias.clone(),
        username: target.username.clone(),
        instructions: instructions.into(),
        prompts,
    };
    // What a person takes is not the host's time.
    let hold = clock.hold();
    let answered = tokio::time::timeout(target.deadlines.person, prompter.ask(questions)).await;
    drop(hold);
    match answered {
        Ok(Some(answers)) if answers.len() == wanted => {
            Ok(answers.iter().map(|answer| answer.expose().to_owned()).collect())
        }
        Ok(Some(_) | None) | Err(_) => Err(Note::new(
            format!("{alias} asked {first:?} while logging in, and nobody answered"),
            "try again when a person is there to answer; `sshepherd run` asks at a terminal",
        )),
    }
}
