//! Points at rules that admit more than they seem to.

use std::fmt;

use serde::Serialize;
use sshepherd_model::{Host, Inventory};

use crate::glob::Glob;
use crate::policy::Policy;
use crate::rule::{Action, Rule};

/// One remark about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id; empty when it is about no rule.
    pub rule: String,
    /// The file.
    pub file: String,
    /// The line; 0 when it is about no rule.
    pub line: usize,
    /// What it admits, and what to write instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.message)
        } else {
            f.write_str(&self.message)
        }
    }
}

/// Programs that run other programs, evaluate text, or write files when their arguments are free (after GTFOBins).
const SHELLS_IN_DISGUISE: &[&str] = &[
    "apt",
    "apt-get",
    "ash",
    "at",
    "awk",
    "bash",
    "batch",
    "busybox",
    "cat",
    "chroot",
    "cp",
    "cpan",
    "crontab",
    "csh",
    "curl",
    "dash",
    "dd",
    "docker",
    "dpkg",
    "ed",
    "emacs",
    "env",
    "expect",
    "find",
    "fish",
    "flock",
    "ftp",
    "gawk",
    "gcc",
    "gdb",
    "git",
    "install",
    "ionice",
    "java",
    "ksh",
    "kubectl",
    "less",
    "ln",
    "lua",
    "make",
    "man",
    "mksh",
    "more",
    "mount",
    "mv",
    "mysql",
    "nano",
    "nc",
    "nice",
    "node",
    "nohup",
    "npm",
    "openssl",
    "perl",
    "php",
    "pip",
    "podman",
    "psql",
    "python",
    "python2",
    "python3",
    "rm",
    "rsync",
    "ruby",
    "run-parts",
    "scp",
    "screen",
    "script",
    "sed",
    "setsid",
    "sftp",
    "sh",
    "socat",
    "sqlite3",
    "ssh",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemctl",
    "systemd-run",
    "tar",
    "tclsh",
    "tcsh",
    "tee",
    "time",
    "timeout",
    "tmux",
    "unshare",
    "vi",
    "vim",
    "watch",
    "wget",
    "xargs",
    "zip",
    "zsh",
];

/// Looks at every rule and network list.
#[must_use]
pub fn lint(policy: &Policy, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, rule) in policy.rules().iter().enumerate() {
        let mut say = |message: String| {
            findings.push(Finding {
                rule: rule.id.clone(),
                file: rule.position.file.clone(),
                line: rule.position.line,
                message,
            });
        };
        if rule.commands.is_empty() {
            say("it has no commands, so it matches nothing".to_owned());
        }
        if !inventory.hosts().is_empty()
            && !inventory.hosts().iter().any(|host: &std::sync::Arc<Host>| rule.covers(host))
        {
            say("no host of the inventory has these aliases and tags".to_owned());
        }
        if rule.action == Action::Allow {
            if rule.shell_unrestricted {
                say("it gives a full shell: whatever the account may do, the agent may do"
                    .to_owned());
            } else {
                rule.commands.iter().filter_map(broad).for_each(&mut say);
            }
            if let Some(deny) = shadow(policy, place, rule) {
                say(format!("rule {deny} denies everything it allows"));
            }
        }
    }
    let everything = policy
        .network()
        .allowed()
        .unwrap_or_default()
        .iter()
        .find(|network| network.prefix_len() == 0);
    if let Some(network) = everything {
        findings.push(Finding {
            rule: String::new(),
            file: String::new(),
            line: 0,
            message: format!(
                "network: {network} on the allow list admits every address of its family"
            ),
        });
    }
    findings
}

/// What is too broad about a pattern of an allow rule.
fn broad(glob: &Glob) -> Option<String> {
    let text = glob.as_str();
    let (program, rest) = text.split_once(' ').unwrap_or((text, ""));
    if program.chars().all(|c| c == '*') {
        return Some(format!("{text:?} admits every program"));
    }
    if program.contains(['*', '?', '[']) {
        return Some(format!(
            "{text:?} admits other programs whose names fit; write the name, a blank, then the pattern"
        ));
    }
    let base = program.rsplit('/').next().unwrap_or(program);
    let fixed_verb = rest
        .split(' ')
        .next()
        .is_some_and(|verb| !verb.is_empty() && !verb.contains(['*', '?', '[']));
    let steered_by_verb = matches!(
        base,
        "systemctl"
            | "docker"
            | "podman"
            | "kubectl"
            | "git"
            | "apt"
            | "apt-get"
            | "dpkg"
            | "pip"
            | "npm"
    );
    if SHELLS_IN_DISGUISE.contains(&base) && rest.contains('*') && !(steered_by_verb && fixed_verb)
    {
        return Some(format!(
            "{text:?}: with free arguments {base} can run other programs or read and write any file; \
             write the arguments out"
        ));
    }
    None
}

/// A deny rule that hits every literal command of `rule`, for at least the same hosts.
fn shadow(policy: &Policy, place: usize, rule: &Rule) -> Option<String> {
    policy
        .rules()
        .iter()
        .enumerate()
        .filter(|(other, deny)| *other != place && deny.action == Action::Deny)
        .find(|(_, deny)| {
            let hosts = (deny.aliases.is_empty() || deny.aliases == rule.aliases)
                && (deny.tags.is_empty() || deny.tags == rule.tags);
            hosts
                && !rule.commands.is_empty()
                && rule.commands.iter().all(|allowed| {
                    deny.commands.iter().any(|glob| {
                        glob == allowed
                            || (allowed.is_literal() && glob.matches(allowed.as_str()))
                            || glob.as_str() == "*"
                    })
                })
        })
        .map(|(_, deny)| deny.id.clone())
}
