//! `hosts trust`: a person at a terminal compares a host's fingerprints and stores its key. No other face can.

use std::io::{self, IsTerminal};

use serde_json::json;
use sshepherd_engine::prompt::Prompt;
use sshepherd_engine::{Engine, Shown, Verdict};
use sshepherd_model::{Alias, ConnectFailure};

use super::args::{Global, Trust};
use super::context::{self, origin};
use super::exit::Exit;
use super::out;
use super::terminal::{self, Terminal};

/// Shows the keys of a host and stores those that the person, or the option `--fingerprint`, confirms.
pub(crate) async fn trust(global: &Global, what: Trust) -> Exit {
    started(global, what).await.unwrap_or_else(|exit| exit)
}

async fn started(global: &Global, what: Trust) -> Result<Exit, Exit> {
    let alias: Alias = what.alias.parse().map_err(|problem| context::invalid(&problem))?;
    let (config, settings) = context::engine_config(context::load(global)?);
    context::host(&config, &alias)?;
    if what.fingerprint.is_none() && !(io::stdin().is_terminal() && terminal::there()) {
        out::complain(
            "a host's key is trusted by a person at a terminal, or with --fingerprint SHA256:… as the host's owner gave it",
        );
        return Err(Exit::Usage);
    }
    let engine = context::start(config, &settings)?;
    terminal::attend(&engine);
    let done = match engine.shown_keys(&alias).await {
        Ok(shown) => decided(global, &engine, &shown, what.fingerprint).await,
        Err(failure) => Err(failed(&alias, &failure)),
    };
    engine.shutdown().await;
    done
}

fn failed(alias: &Alias, failure: &ConnectFailure) -> Exit {
    out::complain(&format!("{alias}: {failure}\n  {}", failure.hint));
    Exit::Unreachable
}

async fn decided(
    global: &Global,
    engine: &Engine,
    shown: &Shown,
    fingerprint: Option<String>,
) -> Result<Exit, Exit> {
    let host = &shown.host;
    out::say(&format!("{} ({}:{}) shows", host.alias, host.address, host.port));
    for key in &shown.keys {
        let note = match &key.verdict {
            Verdict::Known => "  stored already",
            Verdict::Unknown => "",
            Verdict::Changed { .. } => "  not the stored key",
            Verdict::Revoked { .. } => "  revoked",
        };
        out::say(&format!("  {} {}{note}", key.kind, key.fingerprint));
    }
    let mut chosen: Vec<String> = Vec::new();
    if known(shown)? {
        out::say("nothing is added: the host's key is stored already");
    } else {
        chosen = match fingerprint {
            Some(given) => vec![given],
            None => asked(shown).await?,
        };
        engine.trust(shown, &chosen, &origin()).map_err(|failure| failed(&host.alias, &failure))?;
        out::say(&format!("stored in {}", shown.file.display()));
    }
    if global.json {
        let keys: Vec<_> = shown
            .keys
            .iter()
            .map(|key| {
                json!({
                    "kind": key.kind, "fingerprint": key.fingerprint,
                    "stored": key.verdict == Verdict::Known || chosen.contains(&key.fingerprint),
                })
            })
            .collect();
        out::json(&json!({ "alias": host.alias, "file": shown.file, "keys": keys }));
    }
    Ok(Exit::Done)
}

/// Whether a key of the host is stored already. Another one that is stored, or a revoked one, ends the command: that is
/// for a person to look into and to take out by hand.
fn known(shown: &Shown) -> Result<bool, Exit> {
    let host = &shown.host;
    let name = match host.port {
        22 => host.address.clone(),
        port => format!("[{}]:{port}", host.address),
    };
    let any_known = shown.keys.iter().any(|key| key.verdict == Verdict::Known);
    for key in &shown.keys {
        match &key.verdict {
            Verdict::Revoked { file, line } => {
                out::complain(&format!(
                    "{}: the key {} is revoked ({}:{line}); the host needs a new one",
                    host.alias,
                    key.fingerprint,
                    file.display()
                ));
                return Err(Exit::Unreachable);
            }
            Verdict::Changed { file, line } if !any_known => {
                out::complain(&format!(
                    "{}: another key is stored for it ({}:{line}); someone may be between you and the host\n  if its key \
                     was changed on purpose, take the old one out by hand (ssh-keygen -R '{name}' -f '{}') and come back",
                    host.alias,
                    file.display(),
                    file.display()
                ));
                return Err(Exit::Unreachable);
            }
            Verdict::Changed { .. } | Verdict::Known | Verdict::Unknown => {}
        }
    }
    Ok(any_known)
}

/// What the person at the terminal decides: a fingerprint stores that key, `yes` all that were shown.
async fn asked(shown: &Shown) -> Result<Vec<String>, Exit> {
    let words = "Compare a fingerprint with what the host's owner told you, over another way than this network.";
    let prompt = Prompt {
        text: "Type the fingerprint, or yes to trust all of them:".to_owned().into(),
        echo: true,
    };
    let answers = Terminal::default().converse(words.to_owned(), vec![prompt]).await;
    let typed = answers.and_then(|answers| answers.into_iter().next());
    match typed.as_ref().map(|answer| answer.expose().trim()) {
        Some("yes") => Ok(shown.keys.iter().map(|key| key.fingerprint.clone()).collect()),
        Some(print) if shown.keys.iter().any(|key| key.fingerprint == print) => {
            Ok(vec![print.to_owned()])
        }
        Some(_) | None => {
            out::complain("nothing is stored: that is neither yes nor one of the fingerprints");
            Err(Exit::Failed)
        }
    }
}
