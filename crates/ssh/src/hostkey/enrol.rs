//! Adds a key to a known_hosts file, by a person's decision and never over one that is stored.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use russh::keys::PublicKey;
use sshepherd_model::ConnectFailure;

use super::file::lookup_name;
use super::{KnownHosts, unusable};

impl KnownHosts {
    /// Adds a line for each key to the file, which is made (mode 0600) if it is missing, and so is its folder (mode 0700), as `ssh` does.
    ///
    /// The file is read anew under a lock: keys that it does not already hold go in with one write, or none do. That it
    /// holds no other key for the host is the caller's to see to, before.
    pub fn enrol(
        path: &Path,
        name: &str,
        port: u16,
        keys: &[PublicKey],
    ) -> Result<(), ConnectFailure> {
        let shown = path.display();
        let failed = |error: std::io::Error| {
            unusable(
                format!("{shown} cannot be written: {error}"),
                "check the permissions of the file and its folder; the folder above that must exist",
            )
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
        }
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let before = Self::load_file(path)?;
        let names = lookup_name(name, port);
        let mut lines = String::new();
        for key in keys.iter().filter(|key| !before.holds(&names, key)) {
            let line = key.to_openssh().map_err(|error| {
                unusable(format!("a key cannot be written: {error}"), "store it by hand")
            })?;
            lines.push_str(&format!("{names} {}\n", line.trim()));
        }
        if lines.is_empty() {
            return Ok(());
        }
        if !ends_a_line(path).map_err(failed)? {
            lines.insert(0, '\n');
        }
        // One write at the file's end: other programs that append do not come in between.
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn holds(&self, names: &str, key: &PublicKey) -> bool {
        self.entries.iter().any(|entry| {
            entry.marker == super::file::Mark::Host
                && entry.names.match_host(names)
                && entry.key.key_data() == key.key_data()
        })
    }
}

/// Whether a file is empty or ends with a line end.
fn ends_a_line(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostkey::Verdict;
    use std::os::unix::fs::PermissionsExt;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_key_is_added_once_on_a_line_of_its_own_with_mode_600() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        let path = folder.join("known_hosts");
        let key = PublicKey::from_openssh(KEY).unwrap();
        for _ in 0..2 {
            KnownHosts::enrol(&path, "Web", 22, std::slice::from_ref(&key)).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("web {KEY}\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

        std::fs::write(&path, "# no line end").unwrap();
        KnownHosts::enrol(&path, "10.0.0.1", 2222, std::slice::from_ref(&key)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# no line end\n[10.0.0.1]:2222 {KEY}\n"));
        let known = KnownHosts::load_file(&path).unwrap();
        assert_eq!(known.verdict("10.0.0.1", 2222, &key), Verdict::Known);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(KnownHosts::enrol(&path, "b", 22, &[key]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
