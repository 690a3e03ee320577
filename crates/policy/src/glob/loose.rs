//! A pattern of a deny rule, read word by word: options and other operands between its words do not lead past it.

use regex::bytes::Regex;

use super::{Glob, body};
use crate::typed::{base, may_be};

/// Longest cluster of letters that is read letter by letter; `-delete` is a name.
const MAX_CLUSTER: usize = 3;
/// Programs whose first operand says what they do: there the word of the pattern must be that one.
const VERBED: &str = "apk apt apt-cache apt-get aptitude aws az brew busctl cargo composer consul crictl ctr dnf docker docker-compose \
    etcdctl flatpak gcloud gem gh git go helm hostnamectl incus initctl ip kubectl launchctl loginctl lxc machinectl \
    nerdctl networkctl nmcli nomad npm oc openssl pip pip3 pm2 pnpm podman pvecm qm rabbitmqctl rc-service resolvectl \
    rustup service snap supervisorctl systemctl terraform timedatectl ufw vagrant vault virsh yarn yum zfs zpool zypper";

/// Words of `docker` and its like that may stand before the word that says what they do.
const GROUPS: [&str; 3] = ["container", "compose", "image"];
const GROUPED: [&str; 3] = ["docker", "podman", "nerdctl"];

/// The looser readings of one pattern.
#[derive(Debug, Clone)]
pub(crate) struct Loose {
    within: Option<Regex>,
    short: Option<Glob>,
    words: Option<Words>,
}

/// A pattern of two words and more.
#[derive(Debug, Clone)]
struct Words {
    program: Glob,
    options: Vec<Glob>,
    operands: Vec<Glob>,
    verbed: bool,
    grouped: bool,
}

impl Loose {
    pub(super) fn of(text: &str) -> Self {
        // A command within a text begins after a blank, a sign of the shell, a folder of programs or a letter of an option,
        // and ends at a sign of the shell.
        let before = r#"(?:.*(?:[\s;&|(){}"'`=$<>]|/s?bin/|(?:^|\s)-[A-Za-z]{1,2}))?"#;
        let after = r#"(?:\s*[;&|(){}"'`<>\n].*)?"#;
        let within = body(text)
            .ok()
            .and_then(|body| Regex::new(&format!("(?s-u)^{before}{body}{after}$")).ok());
        let (program, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let short = program.contains('/').then(|| format!("{}{rest}", base(program)));
        Self {
            within,
            short: short.and_then(|short| Glob::new(&short).ok()),
            words: Words::of(text),
        }
    }

    /// Whether the pattern fits a command that stands within `text`.
    pub(super) fn fits_within(&self, text: &str) -> bool {
        self.within.as_ref().is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    /// The pattern without its program's folder.
    pub(crate) fn short(&self) -> Option<&Glob> {
        self.short.as_ref()
    }

    /// Whether it is a pattern for this program, named without its folder.
    pub(crate) fn is_program(&self, name: &str) -> bool {
        let fits = |words: &Words| {
            words.program.matches(name) || words.program.matches(&name.to_ascii_lowercase())
        };
        self.words.as_ref().is_some_and(fits)
    }

    /// Whether the words after the program have all that the pattern names: its options anywhere, its operands in order.
    pub(crate) fn fits(&self, words: &[String]) -> bool {
        let rest = words.get(1..).unwrap_or_default();
        self.words.as_ref().is_some_and(|pattern| pattern.fit(rest))
    }
}

impl Words {
    fn of(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let name = base(words.next()?);
        let program = Glob::new(name).ok()?;
        let rest: Option<Vec<Glob>> = words.map(|word| Glob::new(word).ok()).collect();
        let (options, operands): (Vec<Glob>, Vec<Glob>) =
            rest?.into_iter().partition(|glob| glob.as_str().starts_with('-'));
        let verbed = VERBED.split_ascii_whitespace().any(|known| known == name);
        let several = !options.is_empty() || !operands.is_empty();
        let grouped = GROUPED.contains(&name);
        several.then_some(Self { program, options, operands, verbed, grouped })
    }

    fn fit(&self, words: &[String]) -> bool {
        if !self.options.iter().all(|option| has_option(option, words)) {
            return false;
        }
        if self.fit_operands(words) {
            return true;
        }
        let group = certain(words);
        let is_group = |word: &String| GROUPS.contains(&word.as_str());
        self.grouped
            && words.get(group).is_some_and(is_group)
            && self.fit_operands(words.get(group + 1..).unwrap_or_default())
    }

    fn fit_operands(&self, words: &[String]) -> bool {
        let mut rest = words;
        let mut wanted = self.operands.as_slice();
        if let (true, Some((verb, after))) = (self.verbed, wanted.split_first()) {
            let verbs = words.get(..=certain(words)).unwrap_or(words);
            let Some(place) = verbs.iter().position(|word| is(verb, word)) else {
                return false;
            };
            rest = words.get(place + 1..).unwrap_or_default();
            wanted = after;
        }
        let mut rest = rest.iter();
        wanted.iter().all(|operand| rest.any(|word| holds(operand, word)))
    }
}

/// The place of the first word that cannot be an option or the value of one.
fn certain(words: &[String]) -> usize {
    let mut before = "";
    for (place, word) in words.iter().enumerate() {
        if !word.starts_with('-') && !before.starts_with('-') {
            return place;
        }
        before = word;
    }
    words.len()
}

/// Whether one of the words may be the option that a pattern names: in full, abbreviated, with a value; its letters in any
/// clusters, or in the long forms that begin with them.
fn has_option(option: &Glob, words: &[String]) -> bool {
    let name = option.as_str();
    let named = |word: &String| option.matches(word) || (option.is_literal() && may_be(name, word));
    if words.iter().any(named) {
        return true;
    }
    let letters = name.trim_start_matches('-');
    let cluster = !name.starts_with("--")
        && (1..=MAX_CLUSTER).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
    cluster && letters.chars().all(|letter| words.iter().any(|word| has_letter(word, letter)))
}

fn has_letter(word: &str, letter: char) -> bool {
    match word.strip_prefix("--") {
        Some(long) => long.starts_with(letter),
        None => word.starts_with('-') && word.contains(letter),
    }
}

/// Whether a word, or a value in it, is an operand of the pattern.
fn holds(operand: &Glob, word: &str) -> bool {
    let attached = || word.starts_with('-').then(|| word.get(2..)).flatten();
    is(operand, word)
        || word.split(['=', ',']).skip(1).any(|piece| is(operand, piece))
        || word.split(',').next().is_some_and(|piece| is(operand, piece))
        || attached().is_some_and(|value| is(operand, value))
}

/// Whether a word is what the pattern names, or a pattern itself that a program may expand to it, or `{}`.
fn is(wanted: &Glob, word: &str) -> bool {
    wanted.matches(word) || may_become(wanted.as_str(), word)
}

/// By what stands before the first and after the last sign of a pattern; a path comes of a path only.
fn may_become(wanted: &str, word: &str) -> bool {
    const SIGNS: [char; 4] = ['*', '?', '[', ']'];
    let fed = word.contains("{}");
    if !fed && !word.contains(['*', '?', '[']) {
        return false;
    }
    if !fed && wanted.starts_with('/') && !word.contains('/') {
        return false;
    }
    let word = word.replace("{}", "*");
    let start = |text: &str| text.split(SIGNS).next().unwrap_or_default().to_owned();
    let end = |text: &str| text.rsplit(SIGNS).next().unwrap_or_default().to_owned();
    let (one, other) = (start(&word), start(wanted));
    let (last, wanted_last) = (end(&word), end(wanted));
    (one.starts_with(&other) || other.starts_with(&one))
        && (last.ends_with(&wanted_last) || wanted_last.ends_with(&last))
}

#[cfg(test)]
mod tests {
    use crate::glob::Glob;

    fn fits(pattern: &str, text: &str) -> bool {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let glob = Glob::new(pattern).unwrap();
        let loose = glob.loose();
        loose.is_program(&words[0]) && loose.fits(&words)
    }

    #[test]
    fn options_and_other_operands_do_not_lead_past_a_pattern() {
        for (pattern, text) in [
            ("systemctl status vault*", "systemctl status nginx vault"),
            ("systemctl status vault*", "systemctl status -n 5 vault.service"),
            ("systemctl status vault*", "systemctl --no-pager -n5 status -l a b vault-x c"),
            ("systemctl status vault*", "systemctl status --lines 5 -- vault"),
            ("systemctl stop *", "systemctl --job-mode x stop a"),
            ("systemctl stop*", "systemctl -q stop a"),
            ("rm -rf *", "rm -r -f x"),
            ("rm -rf *", "rm -fr x"),
            ("rm -rf *", "rm x -v --recursive --force"),
            ("tail -f *", "tail -n 5 --follow=name x"),
            ("git push --force*", "git push origin main --force-with-lease"),
            ("git push --force", "git push --for origin"),
            ("cat /etc/shadow", "cat -n /etc/hosts /etc/shadow"),
            ("journalctl -u vault*", "journalctl -n 5 --unit=vault.service"),
            ("journalctl -u vault*", "journalctl -uvault -n 5"),
            ("kubectl get secrets*", "kubectl -n a get pods,secrets"),
            ("kubectl get secrets*", "kubectl get secrets,pods"),
            ("docker run * --privileged *", "docker run --privileged a b"),
            ("find * -delete", "find /x -delete"),
            ("/bin/rm -r *", "rm -r x"),
            ("RM *", "RM x"),
            ("rm *", "RM x"),
            ("dd if=/dev/zero *", "dd bs=1 if=/dev/zero of=/x"),
        ] {
            assert!(fits(pattern, text), "{pattern}: {text}");
        }
    }

    #[test]
    fn a_pattern_says_nothing_of_other_calls() {
        for (pattern, text) in [
            ("systemctl status vault*", "systemctl status nginx"),
            ("systemctl status vault*", "systemctl is-active vault"),
            ("systemctl stop *", "systemctl status stop x"),
            ("systemctl stop *", "systemctl stop"),
            ("docker run*", "docker logs runner-1"),
            ("docker run*", "docker logs --tail 5 runner-1"),
            ("docker rm *", "docker ps --filter name=rm x"),
            ("rm -rf *", "rm -r x"),
            ("rm -rf *", "rm -r f"),
            ("tail --f *", "tail -f x"),
            ("find * -delete", "find /x -type d -ls -newer /t"),
            ("tail -f *", "tail -n 5 /var/log/f"),
            ("git push --force", "git push --format"),
            ("rm *", "rmdir x"),
            ("rm *", "rm"),
        ] {
            assert!(!fits(pattern, text), "{pattern}: {text}");
        }
        for one in ["top", "halt*", "/sbin/halt"] {
            assert!(!fits(one, "top -b"), "{one}");
        }
        assert!(Glob::new("/sbin/halt -p").unwrap().loose().short().is_some());
        assert!(Glob::new("halt /x").unwrap().loose().short().is_none());
    }

    #[test]
    fn a_command_stands_within_a_text() {
        for (pattern, text) in [
            ("rm *", "sh -c rm x"),
            ("rm *", "sh -crm x"),
            ("rm *", "timeout 5 /usr/bin/rm x"),
            ("rm *", "perl -e system(\"rm x\")"),
            ("rm *", "env --split-string=rm x"),
            ("reboot", "sh -c id; reboot; id"),
            ("reboot", "sh -c (reboot)"),
            ("reboot", "nice -n 5 reboot"),
            ("halt*", "timeout 5 /sbin/halt -p"),
        ] {
            assert!(Glob::new(pattern).unwrap().matches_within(text), "{pattern}: {text}");
        }
        for (pattern, text) in [
            ("rm *", "sh -c alarm x"),
            ("rm *", "timeout 5 rm"),
            ("reboot", "timeout 5 echo reboot now"),
            ("mount*", "timeout 5 cat /proc/mounts"),
        ] {
            assert!(!Glob::new(pattern).unwrap().matches_within(text), "{pattern}: {text}");
        }
    }
}
