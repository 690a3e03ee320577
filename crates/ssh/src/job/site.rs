//! Where jobs are kept: which home, of which account, in which boot of the host.

use serde::{Deserialize, Serialize};
use sshepherd_model::HostWords;

use super::JobPlace;

/// What a field reads where the host has no such thing, or a version before did not ask.
pub(super) const NONE: &str = "-";

/// Equals nothing that a host says.
const UNKNOWN: &str = "?";

/// Longest field: a boot's id has 36 characters.
const MAX_FIELD: usize = 64;

/// Where an account keeps jobs, in the host's own words; two that are the same are one place in one boot, whatever address or alias
/// leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSite {
    /// Identity of the place in the home.
    pub home: String,
    /// Identity of the place in `/tmp`, which is one for each boot.
    pub tmp: String,
    /// The boot.
    pub boot: String,
    /// The beginning of the machine's own name.
    pub machine: String,
}

/// How what an alias leads to now stands to the site that a start was bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// It may be another host, account or home: the site may be there again one day.
    Elsewhere,
    /// The same home after a restart of its machine: what has left no folder there never will.
    Restarted,
}

impl JobSite {
    /// The site of a start that is bound to none yet: no host has it.
    #[must_use]
    pub fn unknown() -> Self {
        let unknown = || UNKNOWN.to_owned();
        Self { home: unknown(), tmp: unknown(), boot: unknown(), machine: unknown() }
    }

    /// As it is to be asked for again after a start that was not answered. Without a boot's id nobody can tell whether a folder was lost
    /// with a crash: then a folder is only looked for.
    #[must_use]
    pub fn again(self) -> Self {
        let boot = if self.boot == NONE { UNKNOWN.to_owned() } else { self.boot };
        Self { boot, ..self }
    }

    /// Whether there is a place for a job at all.
    pub(super) fn keeps_jobs(&self) -> bool {
        self.home != NONE || self.tmp != NONE
    }

    /// How `found`, which an alias leads to now, stands to this one.
    #[must_use]
    pub fn compared(&self, found: &Self) -> Compared {
        let same = |known: &str, now: &str| known == now && known != NONE;
        let home = same(&self.home, &found.home) && self.boot != found.boot;
        // What lies in /tmp is not known again after a restart; the machine is.
        let machine = same(&self.machine, &found.machine);
        match home && (machine || self.machine == NONE || found.machine == NONE) {
            true => Compared::Restarted,
            false => Compared::Elsewhere,
        }
    }

    /// `HOME TMP BOOT MACHINE`, as a host says it.
    pub(super) fn parse(fields: &str) -> Option<Self> {
        let words: Vec<&str> = fields.split(' ').collect();
        let [home, tmp, boot, machine] = words[..] else { return None };
        let known = [home, tmp, boot, machine].into_iter().all(plain);
        let text = str::to_owned;
        known.then(|| Self {
            home: text(home),
            tmp: text(tmp),
            boot: text(boot),
            machine: text(machine),
        })
    }

    /// Where a job of this site is: `PID START BOOT FOLDER`, short words and a path that is shown as it is, for all of them are.
    pub(super) fn place(&self, fields: &str) -> Option<JobPlace> {
        let mut fields = fields.splitn(4, ' ');
        let (pid, start, boot) = (fields.next()?, fields.next()?, fields.next()?);
        let folder = fields.next().filter(|folder| folder.starts_with('/'))?;
        let known =
            [pid, start, boot].into_iter().all(plain) && HostWords::from(folder).as_str() == folder;
        let identity = if in_home(folder) { &self.home } else { &self.tmp };
        known.then(|| JobPlace {
            folder: folder.to_owned(),
            pid: pid.to_owned(),
            start: start.to_owned(),
            boot: boot.to_owned(),
            room: 0,
            identity: identity.clone(),
            machine: self.machine.clone(),
        })
    }
}

/// Whether a job's folder is in a home, not in /tmp, wherever the home is.
fn in_home(folder: &str) -> bool {
    folder.rsplit_once('/').is_some_and(|(parent, _)| parent.ends_with("/.sshepherd/jobs"))
}

fn plain(word: &str) -> bool {
    word.len() <= MAX_FIELD && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl JobPlace {
    /// Whether a host that does not know the place is the machine it was on, started anew: what lay in its `/tmp` is gone for good.
    pub(super) fn restarted(&self, found: &JobSite) -> bool {
        !in_home(&self.folder)
            && self.machine != NONE
            && self.machine == found.machine
            && self.boot != NONE
            && self.boot != found.boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(home: &str, tmp: &str, boot: &str, machine: &str) -> JobSite {
        JobSite::parse(&format!("{home} {tmp} {boot} {machine}")).unwrap()
    }

    #[test]
    fn only_the_same_home_after_a_restart_is_known_again() {
        let bound = site("a", "b", "c", "d");
        let restarted = |found: JobSite| bound.compared(&found) == Compared::Restarted;
        assert!(restarted(site("a", "x", "y", "d")));
        assert!(restarted(site("a", "x", "y", "-")));
        // An emptied home, another host that shares the home, another account, the same boot.
        for found in [("x", "b", "c", "d"), ("a", "x", "y", "z"), ("x", "y", "c", "d")] {
            assert!(!restarted(site(found.0, found.1, found.2, found.3)), "{found:?}");
        }
        assert!(!restarted(site("a", "x", "c", "d")));
        let homeless = site("-", "b", "c", "d");
        assert_eq!(homeless.compared(&site("-", "x", "y", "d")), Compared::Elsewhere);
    }

    #[test]
    fn a_home_may_lie_anywhere() {
        let site = site("a", "b", "c", "d");
        let identity = |folder: &str| site.place(&format!("1 2 c {folder}")).unwrap().identity;
        assert_eq!(identity("/tmp/sshepherd-1/.sshepherd/jobs/x"), "a");
        assert_eq!(identity("/tmp/sshepherd-1000/x"), "b");
    }

    #[test]
    fn a_site_is_four_plain_words() {
        for text in ["", "a b c", "a b c d e", "a b c d/", "a b c \u{1b}", "a  c d e"] {
            assert_eq!(JobSite::parse(text), None, "{text:?}");
        }
        let long = "x".repeat(MAX_FIELD + 1);
        assert_eq!(JobSite::parse(&format!("a b c {long}")), None);
    }
}
