//! `import`: an inventory from an OpenSSH client configuration or from Ansible's, to be looked over by a person.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use sshepherd_config::ansible::Ansible;
use sshepherd_config::ssh_config::{SshConfig, SshHost};
use sshepherd_model::Alias;

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::out;

/// Prints `servers.yml` and `credentials.yml` for the hosts of a file, or writes them where there are none yet.
pub(crate) fn ssh_config(global: &Global, file: Option<&Path>, write: bool) -> Exit {
    of_ssh(file).and_then(|found| shown(global, &found, write)).unwrap_or_else(|exit| exit)
}

/// The same for an inventory of Ansible.
pub(crate) fn ansible(global: &Global, path: &Path, write: bool) -> Exit {
    of_ansible(path).and_then(|found| shown(global, &found, write)).unwrap_or_else(|exit| exit)
}

/// What was found.
struct Found {
    /// Each host and its tags.
    hosts: Vec<(SshHost, Vec<String>)>,
    /// What was not taken over, and why.
    notes: Vec<String>,
}

fn home() -> Result<PathBuf, Exit> {
    std::env::home_dir().ok_or_else(|| {
        out::complain("there is no home folder; set HOME");
        Exit::Usage
    })
}

fn of_ssh(file: Option<&Path>) -> Result<Found, Exit> {
    let home = home()?;
    let file = file.map_or_else(|| home.join(".ssh/config"), Path::to_path_buf);
    let config = SshConfig::read(&file, &home).map_err(|error| {
        out::complain(&context::chain(&error));
        Exit::Usage
    })?;
    let (named, others): (Vec<String>, Vec<String>) =
        config.aliases().into_iter().partition(|alias| alias.parse::<Alias>().is_ok());
    let hosts: Vec<SshHost> = named.iter().map(|alias| config.host(alias, &home)).collect();
    let mut notes = config.notes.clone();
    for alias in config.unreached() {
        notes.push(format!("{alias} is left out: no block that names it speaks of it (negated, or included below another host)"));
    }
    for host in &hosts {
        let left = host.left_out.iter();
        notes.extend(left.map(|left| format!("{}: not taken over: {left}", host.alias)));
    }
    for alias in &others {
        notes.push(format!("{alias} is left out: an alias has letters, digits and . _ - only"));
    }
    Ok(Found { hosts: hosts.into_iter().map(|host| (host, Vec::new())).collect(), notes })
}

fn of_ansible(path: &Path) -> Result<Found, Exit> {
    let mut inventory = Ansible::read(path).map_err(|error| {
        out::complain(&context::chain(&error));
        Exit::Usage
    })?;
    let hosts = inventory.taken(&home()?);
    let hosts = hosts.into_iter().map(|host| (host.reached, host.tags)).collect();
    Ok(Found { hosts, notes: inventory.notes })
}

fn shown(global: &Global, found: &Found, write: bool) -> Result<Exit, Exit> {
    let Found { hosts, notes } = found;
    let (servers, credentials) = (servers(hosts), credentials(hosts));
    for note in notes {
        // Words of the file stand in it, and must not steer a terminal.
        out::say(&comment(note));
    }
    if write {
        let folder = context::folders(global)?.config;
        fresh(&folder, &[("servers.yml", &servers), ("credentials.yml", &credentials)])?;
        out::say(&format!(
            "{} hosts; look them over, then `sshepherd check --connect`",
            hosts.len()
        ));
    } else if global.json {
        out::json(
            &json!({ "hosts": hosts.len(), "servers": servers, "credentials": credentials, "notes": notes }),
        );
    } else {
        out::line(&format!("# servers.yml\n{servers}\n# credentials.yml\n{credentials}"));
    }
    Ok(Exit::Done)
}

/// Writes files that are not there yet; one that is stops all of it.
fn fresh(folder: &Path, files: &[(&str, &String)]) -> Result<(), Exit> {
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
    fs::create_dir_all(folder).map_err(|error| failed(folder.to_owned(), &error))?;
    for (name, text) in files {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let written = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

/// A text in YAML.
fn scalar(text: &str) -> String {
    let mut written = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' | '"' => written.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(written, "\\u{:04x}", u32::from(letter));
            }
            letter => written.push(letter),
        }
    }
    written.push('"');
    written
}

/// A text for a comment, which must not end in the middle of it.
fn comment(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn user(host: &SshHost) -> String {
    host.user.clone().unwrap_or_else(|| std::env::var("USER").unwrap_or_default())
}

/// One name for one user: a letter that a name should not hold becomes its code, so that two users never share an entry.
fn login(host: &SshHost) -> String {
    let mut name = String::new();
    for letter in user(host).chars() {
        if letter.is_ascii_alphanumeric() || "._-".contains(letter) {
            name.push(letter);
        } else {
            let _ = write!(name, "%{:x}.", u32::from(letter));
        }
    }
    if name.is_empty() { "%me".to_owned() } else { name }
}

fn servers(hosts: &[(SshHost, Vec<String>)]) -> String {
    let aliases: BTreeSet<&str> = hosts.iter().map(|(host, _)| host.alias.as_str()).collect();
    let mut text = String::from("hosts:\n");
    for (host, tags) in hosts {
        let _ = write!(
            text,
            "  - alias: {}\n    host: {}\n    credentials: {}\n",
            scalar(&host.alias),
            scalar(&host.host),
            scalar(&login(host))
        );
        if let Some(port) = host.port {
            let _ = writeln!(text, "    port: {port}");
        }
        if !tags.is_empty() {
            let tags: Vec<String> = tags.iter().map(|tag| scalar(tag)).collect();
            let _ = writeln!(text, "    tags: [{}]", tags.join(", "));
        }
        if let Some(jump) = &host.jump {
            // One that jumps through itself is refused by ssh too.
            match aliases.get(jump.as_str()).filter(|alias| **alias != host.alias) {
                Some(alias) => {
                    let _ = writeln!(text, "    jump: {}", scalar(alias));
                }
                None => {
                    let _ = writeln!(
                        text,
                        "    # ProxyJump {}: make that host an entry of its own and name it in jump:",
                        comment(jump)
                    );
                }
            }
        }
        for left in &host.left_out {
            let _ = writeln!(text, "    # not taken over: {}", comment(left));
        }
    }
    text
}

fn credentials(hosts: &[(SshHost, Vec<String>)]) -> String {
    let mut text = String::from("entries:\n");
    let mut keys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (host, _) in hosts {
        let of_login = keys.entry(login(host)).or_default();
        of_login.extend(host.identities.iter().map(String::as_str));
    }
    for (host, _) in hosts {
        let name = login(host);
        // Written where its first host is.
        let Some(keys) = keys.remove(&name) else { continue };
        let _ = writeln!(
            text,
            "  - name: {}\n    username: {}\n    agent: true",
            scalar(&name),
            scalar(&user(host))
        );
        for key in keys {
            let key = comment(key);
            let file = Path::new(&key).file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(
                text,
                "    # key_path: {file}    # after: cp {key} into the keys folder, chmod 600"
            );
        }
    }
    text
}
