//! The account that this process runs as, from the account database: a variable such as `USER` is often not set, or set by somebody.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use crate::helper::{self, Bounds};

static NAME: LazyLock<Option<String>> = LazyLock::new(|| listed().or_else(asked));

/// Its name, where the database has one.
#[must_use]
pub fn name() -> Option<String> {
    NAME.clone()
}

/// Its number.
#[must_use]
pub fn id() -> u32 {
    rustix::process::getuid().as_raw()
}

fn listed() -> Option<String> {
    named(&String::from_utf8_lossy(&fs::read("/etc/passwd").ok()?), id())
}

/// The first name of a number in a file of accounts.
fn named(accounts: &str, id: u32) -> Option<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id) && !name.is_empty()).then(|| name.to_owned())
    };
    accounts.lines().find_map(of)
}

/// Accounts of a directory are not in the file; only the system's own libraries know them.
fn asked() -> Option<String> {
    let bounds = Bounds { patience: Duration::from_secs(10), most: 1 << 10, own_group: true };
    let printed = helper::run(&["id", "-un"].map(str::to_owned), bounds).ok()?;
    let name = std::str::from_utf8(&printed).ok()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_first_name_of_the_file() {
        let accounts =
            "root:x:0:0::/root:/bin/sh\n# x\nodd\nweb:x:33:33::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n";
        assert_eq!(named(accounts, 33).as_deref(), Some("web"));
        assert_eq!(named(accounts, 1), None);
    }

    #[test]
    fn the_name_does_not_come_from_a_variable() {
        let said = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
        assert_eq!(name().unwrap(), String::from_utf8(said).unwrap().trim());
    }
}
