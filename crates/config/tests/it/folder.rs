//! A configuration folder of a test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sshepherd_config::{Environment, Folders, Loaded, Report};
use sshepherd_model::Severity;
use tempfile::TempDir;

pub(crate) struct Folder {
    folder: TempDir,
    pub(crate) variables: Variables,
}

#[derive(Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl Environment for Variables {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// One host that logs in with a key.
pub(crate) const SERVERS: &str =
    "hosts:\n  - {alias: web1, host: web1.example, credentials: ops, tags: [web]}\n";
pub(crate) const CREDENTIALS: &str = "entries:\n  - {name: ops, username: ops, key_path: id}\n";

impl Folder {
    /// An empty folder with a key called `id`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder, variables: Variables::default() };
        fs::create_dir(this.path("keys")).unwrap();
        fs::create_dir(this.path("secrets")).unwrap();
        this.write("keys/id", "a key\n");
        this
    }

    /// A folder that loads.
    pub(crate) fn sound() -> Self {
        let this = Self::new();
        this.write("servers.yml", SERVERS);
        this.write("credentials.yml", CREDENTIALS);
        this.write("policy.yml", "rules:\n  - {action: allow, commands: [uptime]}\n");
        this
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o600);
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.0.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn folders(&self) -> Folders {
        Folders {
            config: self.folder.path().to_path_buf(),
            keys: self.path("keys"),
            secrets: self.path("secrets"),
            state: self.path("state"),
        }
    }

    pub(crate) fn load(&self) -> Result<Loaded, Report> {
        sshepherd_config::load(&self.folders(), &self.variables)
    }

    /// The problems of a folder that does not load, or not whole, as `file:line field: message`.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self.load() {
            Ok(loaded) => {
                let whole = loaded.warnings.iter().all(|one| one.severity == Severity::Warning);
                assert!(!whole, "it loads");
                shown(&loaded.warnings)
            }
            Err(report) => shown(&report.problems),
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        match self.load() {
            Ok(loaded) => shown(&loaded.warnings),
            Err(report) => panic!("{report}"),
        }
    }
}

fn shown(problems: &[sshepherd_model::Problem]) -> Vec<String> {
    let line = |problem: &sshepherd_model::Problem| {
        let file = problem.file.file_name().map(Path::new).unwrap_or(Path::new("?")).display();
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{file}{line} {:?} {}: {}", problem.severity, problem.field, problem.message)
    };
    problems.iter().map(line).collect()
}
