//! Looking up secrets by name. Their values never reach a problem, a log or `Debug`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sshepherd_model::Secret;
use zeroize::Zeroizing;

use crate::files;
use crate::folders::{Environment, Folders};
use crate::helper::Helpers;

/// Ordinary variables of a process, which never serve as secrets through their bare name (seed defect 15): a secret called
/// `HOME` must not turn into a path.
const ORDINARY: [&str; 24] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TERM", "LANG", "LANGUAGE", "TZ",
    "TMPDIR", "TMP", "TEMP", "MAIL", "EDITOR", "VISUAL", "PAGER", "DISPLAY", "HOSTNAME", "SHLVL",
    "UID", "COLUMNS", "LINES",
];
const ORDINARY_PREFIXES: [&str; 6] = ["LC_", "XDG_", "SSH_", "DBUS_", "MCP_SSH_", "SSHEPHERD_"];

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The name breaks the rule.
    #[error("{0:?} is no secret name: 1 to 100 letters, digits, _ and - are allowed")]
    BadName(String),
    /// Nothing was found anywhere.
    #[error(
        "secret {name} was not found: set {name} or SSHEPHERD_SECRET_{name} in the environment, add it to .env in the \
         secrets folder, or make a file of that name there"
    )]
    NotFound {
        /// The name.
        name: String,
    },
    /// The helper that prints it did not.
    #[error("secret {name}: {problem}")]
    Helper {
        /// The name.
        name: String,
        /// What went wrong; never what the helper printed.
        problem: String,
    },
    /// A file would hold it but is not safe to read.
    #[error("secret {name}: its file {problem}")]
    Refused {
        /// The name.
        name: String,
        /// What is wrong with the file.
        problem: String,
    },
}

/// Secrets by name, for one reading of the configuration: each helper is run once.
pub(crate) struct Secrets<'a, E> {
    folders: &'a Folders,
    environment: &'a E,
    helpers: Helpers,
    asked: RefCell<BTreeMap<String, Result<Secret, Missing>>>,
}

impl<'a, E: Environment> Secrets<'a, E> {
    pub(crate) fn new(folders: &'a Folders, environment: &'a E, helpers: Helpers) -> Self {
        Self { folders, environment, helpers, asked: RefCell::default() }
    }

    pub(crate) fn environment(&self) -> &E {
        self.environment
    }

    /// A secret that has a helper comes from it alone: the owner has said where it is.
    pub(crate) fn get(&self, name: &str) -> Result<Secret, Missing> {
        let Some(helper) = self.helpers.get(name) else {
            return look_up(name, &self.folders.secrets, self.environment);
        };
        if let Some(known) = self.asked.borrow().get(name) {
            return known.clone();
        }
        let missing = |problem| Missing::Helper { name: name.to_owned(), problem };
        let answer = helper.give().map_err(missing);
        self.asked.borrow_mut().insert(name.to_owned(), answer.clone());
        answer
    }
}

/// Looks in this order: environment `NAME`, `SSHEPHERD_SECRET_NAME`, `MCP_SSH_SECRET_NAME`, `.env` in `folder`, the file
/// `NAME` in `folder` without its last newline.
pub fn look_up(
    name: &str,
    folder: &Path,
    environment: &impl Environment,
) -> Result<Secret, Missing> {
    let sound = !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !sound {
        return Err(Missing::BadName(name.chars().take(100).collect()));
    }
    let bare = (!ordinary(name)).then(|| name.to_owned());
    let variables = bare
        .into_iter()
        .chain([format!("SSHEPHERD_SECRET_{name}"), format!("MCP_SSH_SECRET_{name}")]);
    for variable in variables {
        let Some(value) = environment.var(&variable).map(Zeroizing::new) else { continue };
        let line = files::without_newline(&value);
        if !line.is_empty() {
            return Ok(Secret::new(line.to_owned()));
        }
    }
    let refused = |problem: String| Missing::Refused { name: name.to_owned(), problem };
    let dotenv = folder.join(".env");
    if fs::symlink_metadata(&dotenv).is_ok_and(|data| data.is_symlink()) {
        return Err(refused(".env is a symbolic link; put the file itself there".to_owned()));
    }
    match files::read_secrets(&dotenv) {
        Ok(text) => {
            let value = text.lines().find_map(|line| assignment(line, name));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                return Ok(Secret::new(value.to_owned()));
            }
        }
        Err(files::Refused::Missing) => {}
        Err(problem) => return Err(refused(format!(".env {problem}"))),
    }
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Err(_) => return Err(Missing::NotFound { name: name.to_owned() }),
        Ok(data) if !data.is_file() => return Err(refused("is no regular file".to_owned())),
        Ok(_) => {}
    }
    let text = files::read_secrets(&path).map_err(|problem| refused(problem.to_string()))?;
    let value = files::without_newline(&text);
    if value.is_empty() {
        return Err(refused("is empty".to_owned()));
    }
    Ok(Secret::new(value.to_owned()))
}

/// Whether a name is one of the process' ordinary variables.
#[must_use]
pub fn ordinary(name: &str) -> bool {
    ORDINARY.contains(&name) || ORDINARY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The value of `NAME=value`, `export NAME='value'` and the like.
fn assignment<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (key, value) = line.split_once('=')?;
    if key.trim() != name {
        return None;
    }
    // In quotes up to the closing one, whatever follows; bare up to a comment, for a `#` within a word is part of it.
    let quoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.trim().strip_prefix(*quote)?.split_once(*quote))
        .filter(|(_, rest)| rest.trim().is_empty() || rest.trim().starts_with('#'))
        .map(|(inner, _)| inner);
    Some(quoted.unwrap_or_else(|| uncommented(value).trim()))
}

/// A bare value without the comment behind it, which begins with a `#` after a blank.
fn uncommented(value: &str) -> &str {
    let mut marks = value.match_indices('#').filter_map(|(at, _)| value.get(..at));
    marks.find(|before| before.ends_with([' ', '\t'])).unwrap_or(value)
}
