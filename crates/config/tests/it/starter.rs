//! What `init` writes loads, and nothing is ever overwritten.

use std::os::unix::fs::PermissionsExt;

use sshepherd_config::{Folders, starter};

use crate::folder::Variables;

#[test]
fn the_starter_loads_and_is_not_written_twice() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("new/sshepherd");
    let folders = Folders {
        keys: config.join("keys"),
        secrets: config.join("secrets"),
        state: root.path().join("state"),
        config,
    };
    let written = starter::write(&folders).unwrap();
    assert_eq!(written.len(), 4);
    for file in &written {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let loaded = sshepherd_config::load(&folders, &Variables::default()).unwrap();
    assert!(loaded.policy.rules().len() >= 2);
    assert!(loaded.warnings.iter().any(|warning| warning.message.contains("no host")));
    let again = starter::write(&folders).unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
}
