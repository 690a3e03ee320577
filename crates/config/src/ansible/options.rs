//! What the arguments of `ssh` in an inventory say of the way to a host.

use super::words;
use crate::ssh_config::{Facts, KeepAlive, SshHost, at_home, hop, seconds};

/// Options of `ssh` with a value.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOopQRSWw";

/// Takes over what fits and is not said elsewhere; the first counts. Gives back what is left.
pub(super) fn read(
    text: &str,
    host: &mut SshHost,
    facts: &Facts<'_>,
) -> Result<Vec<String>, &'static str> {
    let words = words::split(text, false).ok_or("has an open quote, and is not taken over")?;
    let mut left = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (option, joined) = word.split_at_checked(2).unwrap_or((word.as_str(), ""));
        let letter = option.strip_prefix('-').and_then(|it| it.chars().next());
        let takes = letter.is_some_and(|letter| WITH_VALUE.contains(letter));
        if !takes {
            left.push(word);
            continue;
        }
        let value =
            if joined.is_empty() { words.next().unwrap_or_default() } else { joined.to_owned() };
        let (keyword, value) = match letter {
            Some('J') => ("proxyjump".to_owned(), value),
            Some('l') => ("user".to_owned(), value),
            Some('p') => ("port".to_owned(), value),
            Some('i') => ("identityfile".to_owned(), value),
            Some('o') => match keyword_of(&value) {
                Some(pair) => pair,
                None => {
                    left.push(format!("-o {value}"));
                    continue;
                }
            },
            _ => {
                left.push(format!("{option} {value}"));
                continue;
            }
        };
        if !set(host, &keyword, &value, facts) {
            left.push(match letter {
                Some('o') => format!("-o {}", shown(&keyword, &value, &word)),
                _ => format!("{option} {value}"),
            });
        }
    }
    Ok(left)
}

/// The keyword and the value of `Keyword=value` or `Keyword value`.
fn keyword_of(option: &str) -> Option<(String, String)> {
    let (keyword, value) =
        option.trim().split_once(|letter: char| letter == '=' || letter.is_whitespace())?;
    let value = value.trim_start_matches(['=', ' ', '\t']).trim();
    (!value.is_empty()).then(|| (keyword.to_owned(), value.to_owned()))
}

fn shown(keyword: &str, value: &str, word: &str) -> String {
    word.strip_prefix("-o")
        .filter(|it| !it.is_empty())
        .map_or_else(|| format!("{keyword}={value}"), str::to_owned)
}

/// Whether there is a place for it. What was set first stays.
fn set(host: &mut SshHost, keyword: &str, value: &str, facts: &Facts<'_>) -> bool {
    let number = || seconds(value).filter(|seconds| *seconds > 0);
    let keep = |host: &SshHost| host.keep_alive.unwrap_or(KeepAlive { seconds: 0, count: 3 });
    match keyword.to_ascii_lowercase().as_str() {
        "proxyjump" if host.proxy_command.is_none() => {
            host.jump
                .get_or_insert_with(|| facts.filled(value).unwrap_or_else(|| value.to_owned()));
        }
        "proxycommand" if host.jump.is_none() && host.proxy_command.is_none() => {
            if !value.eq_ignore_ascii_case("none") {
                hop(host, value, facts);
                if let Some(words) = host.proxy_command.take() {
                    let words = words.join(" ");
                    host.left_out.push(format!("ProxyCommand {words} (an inventory names no programs here; see proxy_command: in servers.yml)"));
                }
            }
        }
        "proxyjump" | "proxycommand" => {}
        "user" => drop(host.user.get_or_insert_with(|| value.to_owned())),
        "port" => match value.parse() {
            Ok(port) => drop(host.port.get_or_insert(port)),
            Err(_) => return false,
        },
        "identityfile" => {
            let file =
                at_home(&facts.filled(value).unwrap_or_else(|| value.to_owned()), facts.home);
            if !host.identities.contains(&file) {
                host.identities.push(file);
            }
        }
        "identitiesonly"
        | "passwordauthentication"
        | "preferredauthentications"
        | "kbdinteractiveauthentication"
        | "controlmaster"
        | "controlpersist"
        | "controlpath" => return false,
        "connecttimeout" => match number() {
            Some(seconds) => drop(host.connect_seconds.get_or_insert(seconds)),
            None => return false,
        },
        "serveraliveinterval" => match number() {
            Some(seconds) => host.keep_alive = Some(KeepAlive { seconds, ..keep(host) }),
            None => return false,
        },
        "serveralivecountmax" => match number() {
            Some(count) => host.keep_alive = Some(KeepAlive { count, ..keep(host) }),
            None => return false,
        },
        _ => return false,
    }
    true
}
