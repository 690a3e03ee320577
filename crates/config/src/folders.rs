//! Where configuration, keys, secrets and state are. Never the working folder.

use std::path::PathBuf;

use etcetera::BaseStrategy;

/// Where variables are read; the process' own in production, a table in tests.
pub trait Environment {
    /// The value of a variable, if it is set to valid text.
    fn var(&self, name: &str) -> Option<String>;
}

/// The variables of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Folders given on the command line.
#[derive(Debug, Clone, Default)]
pub struct FolderFlags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--keys`
    pub keys: Option<PathBuf>,
    /// `--secrets`
    pub secrets: Option<PathBuf>,
    /// `--state`
    pub state: Option<PathBuf>,
}

/// The folders in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The four files.
    pub config: PathBuf,
    /// Private keys.
    pub keys: PathBuf,
    /// `.env` and one file a secret.
    pub secrets: PathBuf,
    /// What the server keeps.
    pub state: PathBuf,
}

/// No folder can be found.
#[derive(Debug, thiserror::Error)]
#[error("the home folder cannot be found; give --config and --state, or set HOME")]
pub struct NoHome;

impl Folders {
    /// For each folder: the flag; else `SSHEPHERD_*_DIR`; else the seed's `MCP_SSH_*_DIR`; else XDG.
    ///
    /// With `--config`, keys and secrets that are not named by a flag are its subfolders: a flag for one configuration must
    /// not mix with another one's keys from the environment.
    pub fn resolve(flags: &FolderFlags, environment: &impl Environment) -> Result<Self, NoHome> {
        let from = |name: &str| {
            [format!("SSHEPHERD_{name}_DIR"), format!("MCP_SSH_{name}_DIR")]
                .iter()
                .find_map(|name| environment.var(name).filter(|value| !value.is_empty()))
                .map(PathBuf::from)
        };
        let base = |pick: fn(&etcetera::base_strategy::Xdg) -> Option<PathBuf>| {
            let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| NoHome)?;
            pick(&xdg).map(|folder| folder.join("sshepherd")).ok_or(NoHome)
        };
        let flagged = flags.config.is_some();
        let config = match flags.config.clone().or_else(|| from("CONFIG")) {
            Some(folder) => folder,
            None => base(|xdg| Some(xdg.config_dir()))?,
        };
        let inside = |flag: &Option<PathBuf>, name: &str, folder: &str| {
            flag.clone()
                .or_else(|| if flagged { None } else { from(name) })
                .unwrap_or_else(|| config.join(folder))
        };
        let keys = inside(&flags.keys, "KEYS", "keys");
        let secrets = inside(&flags.secrets, "SECRETS", "secrets");
        let state = match flags.state.clone().or_else(|| from("STATE")) {
            Some(folder) => folder,
            None => base(BaseStrategy::state_dir)?,
        };
        // What is read from them may be used after the working folder has changed.
        let whole = |folder: PathBuf| std::path::absolute(&folder).unwrap_or(folder);
        Ok(Self {
            config: whole(config),
            keys: whole(keys),
            secrets: whole(secrets),
            state: whole(state),
        })
    }
}
