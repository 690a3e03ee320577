//! `import`: an inventory from an OpenSSH client configuration or from Ansible's, to be looked over by a person.

mod sift;
mod texts;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use sshepherd_config::ansible::Ansible;
use sshepherd_config::hops::{self, Candidate};
use sshepherd_config::ssh_config::{Asking, SshConfig, SshHost};
use sshepherd_model::{Alias, names};

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::out;
use texts::{Texts, plain};

/// Prints the files for the hosts of a client configuration, or writes them where there are none yet. With `yes`, `ssh` is asked about
/// somebody else's file, too.
pub(crate) fn ssh_config(global: &Global, file: Option<&Path>, write: bool, yes: bool) -> Exit {
    of_ssh(file, yes).and_then(|found| shown(global, found, write)).unwrap_or_else(|exit| exit)
}

/// The same for an inventory of Ansible.
pub(crate) fn ansible(global: &Global, path: &Path, write: bool) -> Exit {
    of_ansible(path).and_then(|found| shown(global, found, write)).unwrap_or_else(|exit| exit)
}

/// What was found.
struct Found {
    hosts: Vec<Candidate>,
    /// What was not taken over, and why.
    notes: Vec<String>,
}

fn home() -> Result<PathBuf, Exit> {
    std::env::home_dir().ok_or_else(|| {
        out::complain("there is no home folder; set HOME");
        Exit::Usage
    })
}

fn unreadable(error: &dyn std::error::Error) -> Exit {
    out::complain(&plain(&context::chain(error)));
    Exit::Usage
}

fn of_ssh(file: Option<&Path>, yes: bool) -> Result<Found, Exit> {
    let home = home()?;
    let file = file.map_or_else(|| home.join(".ssh/config"), Path::to_path_buf);
    let config = SshConfig::read(&file, &home).map_err(|error| unreadable(&error))?;
    let mut notes = config.notes.clone();
    let mut reading = Reading::begin(&config, &file, &home, yes, &mut notes);
    let (named, others): (Vec<String>, Vec<String>) =
        config.aliases().into_iter().partition(|alias| alias.parse::<Alias>().is_ok());
    let mut hosts: Vec<Candidate> =
        named.iter().map(|alias| candidate(reading.host(alias))).collect();
    if reading.asking.is_some() {
        // A Match line may name an alias, or only the address of one.
        let addresses: Vec<String> = hosts.iter().map(|host| host.reached.host.clone()).collect();
        let more = config.matched().into_iter().filter(|name| name.parse::<Alias>().is_ok());
        let more = more.filter(|name| !addresses.contains(&name.to_ascii_lowercase()));
        hosts.extend(more.map(|name| candidate(reading.host(&name))));
    }
    for alias in config.unreached() {
        notes.push(format!("{alias} is left out: no block that names it speaks of it (negated, or included below another host)"));
    }
    let (addresses, others): (Vec<String>, Vec<String>) =
        others.into_iter().partition(|name| name.parse::<Ipv6Addr>().is_ok());
    for address in &addresses {
        let mut reached = reading.host(address);
        reached.alias = hops::plain_alias(address);
        notes.push(format!(
            "{address}: an alias cannot hold this address; it becomes the alias {}",
            reached.alias
        ));
        hosts.push(Candidate { reached, made: true, ..Candidate::default() });
    }
    for alias in &others {
        notes.push(format!("{alias} is left out: an alias has letters, digits and . _ - only"));
    }
    let (mut hosts, of_hops) = hops::resolved(hosts, |place| reading.host(place));
    if !yes && config.owned().is_err() {
        hosts.iter_mut().for_each(without_program);
    }
    notes.extend(of_hops.into_iter().map(|(host, text)| format!("{host}: {text}")));
    notes.extend(reading.notes());
    Ok(Found { hosts, notes })
}

fn candidate(reached: SshHost) -> Candidate {
    Candidate { reached, ..Candidate::default() }
}

/// What somebody else's file would run here is named, and not taken over.
fn without_program(host: &mut Candidate) {
    if let Some(words) = host.reached.proxy_command.take() {
        let text =
            format!("proxycommand {} (the file is not yours alone; give --yes)", words.join(" "));
        host.reached.left_out.push(text);
    }
}

/// How hosts are looked up: `ssh` is asked, or the file read.
struct Reading<'a> {
    config: &'a SshConfig,
    home: &'a Path,
    asking: Option<Asking>,
    /// Hosts of which `ssh` said nothing, by the reason.
    unsaid: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> Reading<'a> {
    fn begin(
        config: &'a SshConfig,
        file: &Path,
        home: &'a Path,
        yes: bool,
        notes: &mut Vec<String>,
    ) -> Self {
        let asking = match may_ask(config, yes) {
            Ok(()) => Asking::about(file).ok_or_else(|| "there is no ssh to ask".to_owned()),
            Err(why) => Err(why),
        };
        if let Err(why) = &asking {
            let places = config.matches.iter();
            notes.extend(places.map(|at| format!("{at}: this Match block is passed over: {why}")));
        }
        Self { config, home, asking: asking.ok(), unsaid: BTreeMap::new() }
    }

    fn host(&mut self, alias: &str) -> SshHost {
        if let Some(asking) = &mut self.asking {
            match asking.host(alias, self.config, self.home) {
                Ok(host) => return host,
                Err(why) => self.unsaid.entry(why).or_default().push(alias.to_owned()),
            }
        }
        self.config.host(alias, self.home)
    }

    /// Where `ssh` did not say how a host is reached.
    fn notes(&self) -> impl Iterator<Item = String> {
        let without =
            if self.config.matches.is_empty() { "" } else { ", without its Match blocks" };
        self.unsaid.iter().map(move |(why, names)| {
            let names = names::fold(names.iter().map(String::as_str));
            format!("{names}: ssh {why}; the file was read instead{without}")
        })
    }
}

/// What was not taken over, each once with all of whom it holds.
fn left_out(hosts: &[Candidate]) -> Vec<String> {
    let mut left: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Candidate { reached, .. } in hosts {
        let keys = reached.identities.iter().filter(|key| key.ends_with(".pub")).skip(1);
        let keys =
            keys.map(|key| format!("identityfile {key} (an entry names one key of the agent)"));
        for text in reached.left_out.iter().cloned().chain(keys) {
            left.entry(text).or_default().push(&reached.alias);
        }
    }
    let of = |names: &[&str]| match names.len() {
        count if count == hosts.len() && count > 3 => "all hosts".to_owned(),
        _ => names::fold(names.iter().copied()),
    };
    left.iter().map(|(text, names)| format!("{}: not taken over: {text}", of(names))).collect()
}

/// Whether `ssh` may read the file: it runs what `Match exec` lines say, which is the caller's business only in the caller's files.
fn may_ask(config: &SshConfig, yes: bool) -> Result<(), String> {
    let Err(why) = config.owned() else { return Ok(()) };
    let why = plain(&why);
    if yes || (!config.matches.is_empty() && said_yes(&why)) {
        return Ok(());
    }
    Err(format!(
        "{why}, and ssh would run what its Match exec lines say; look at them, then give --yes"
    ))
}

/// A person's answer, where there is one to ask.
fn said_yes(why: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    out::say(&format!("{why}. ssh runs what its Match exec lines say. Let ssh read it? [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && ["y", "yes"].contains(&answer.trim())
}

fn of_ansible(path: &Path) -> Result<Found, Exit> {
    let mut inventory = Ansible::read(path).map_err(|error| unreadable(&error))?;
    let hosts = inventory.taken(&home()?);
    Ok(Found { hosts, notes: inventory.notes })
}

fn shown(global: &Global, found: Found, write: bool) -> Result<Exit, Exit> {
    let Found { mut hosts, mut notes } = found;
    notes.extend(left_out(&hosts));
    let folders = context::folders(global)?;
    let sifted = sift::sift(&mut hosts, &mut notes, &folders);
    for note in &notes {
        // Words of the file stand in it, and must not steer a terminal.
        out::say(&plain(note));
    }
    let texts = sifted.map_err(|problem| {
        out::complain(&plain(&problem));
        Exit::Usage
    })?;
    let Texts { servers, made, credentials } = &texts;
    if write {
        fresh(&folders.config, &texts.files())?;
        let count = hosts.len();
        let hosts = if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") };
        out::say(&format!("{hosts}; look them over, then `sshepherd check --connect`"));
    } else if global.json {
        out::json(&json!({
            "hosts": hosts.len(),
            "servers": servers,
            "imported": made,
            "credentials": credentials,
            "notes": notes,
        }));
    } else {
        let files = texts.files();
        let files: Vec<String> =
            files.iter().map(|(name, text)| format!("# {name}\n{text}")).collect();
        out::line(&files.join("\n"));
    }
    Ok(Exit::Done)
}

/// Writes files that are not there yet; one that is stops all of it, and nothing is left of what was begun.
fn fresh(folder: &Path, files: &[(&str, &str)]) -> Result<(), Exit> {
    let failed = |path: PathBuf, error: &dyn std::fmt::Display| {
        out::complain(&format!("{}: {error}", path.display()));
        Exit::Usage
    };
    for (name, _) in files {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(failed(
                path,
                &"it is there already, and a person's file is not changed; copy what you want from the output without --write",
            ));
        }
    }
    let mut begun: Vec<PathBuf> = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        if let Err(error) = create(&path, text) {
            for path in begun {
                let _ = fs::remove_file(path);
            }
            return Err(failed(path, &error));
        }
        begun.push(path);
    }
    Ok(())
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}
