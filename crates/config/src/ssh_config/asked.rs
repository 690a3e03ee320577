//! What `ssh -G` says of a host: the whole configuration as OpenSSH itself reads it, `Match` blocks too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SshConfig;
use super::settled::{Setting, SshHost, settled};
use crate::helper::{self, Bounds, Failure};

/// Longest answer for one host; a `Match exec` line may look something up in a network.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(10), most: 1 << 20, own_group: true };
/// Questions without an answer in time after which no more are asked.
const MAX_SLOW: usize = 3;

/// An `ssh` that can be asked.
#[derive(Debug)]
pub struct Asking {
    file: PathBuf,
    /// What it says where nothing is configured.
    usual: BTreeSet<(String, String)>,
    slow: usize,
}

impl Asking {
    /// `None` where no `ssh` is found. It runs what `Match exec` lines of the file say: see [`SshConfig::owned`].
    #[must_use]
    pub fn about(file: &Path) -> Option<Self> {
        let file = std::path::absolute(file).ok()?;
        let usual = printed(Path::new("none"), "x").ok()?;
        let usual = usual.into_iter().map(|it| (it.keyword, it.value)).collect();
        Some(Self { file, usual, slow: 0 })
    }

    /// How a host would be reached; or why it is not said.
    pub fn host(
        &mut self,
        alias: &str,
        config: &SshConfig,
        home: &Path,
    ) -> Result<SshHost, &'static str> {
        const UNASKED: &str = "was not asked for it";
        if alias.starts_with('-') || self.slow >= MAX_SLOW {
            return Err(UNASKED);
        }
        let said = match printed(&self.file, alias) {
            Ok(said) => said,
            Err(Failure::Slow(_)) => {
                self.slow += 1;
                return Err("did not answer in time");
            }
            Err(Failure::Ended(_)) => return Err("refuses it"),
            Err(_) => return Err("gave no answer"),
        };
        let keys = |list: &[Setting]| {
            let keys = list.iter().filter(|it| it.keyword == "identityfile");
            keys.map(|it| it.value.clone()).collect::<BTreeSet<String>>()
        };
        let usual_keys = keys(&said)
            .iter()
            .all(|key| self.usual.contains(&("identityfile".to_owned(), key.clone())))
            && config.settings(alias).iter().all(|it| it.keyword != "identityfile");
        let settings: Vec<Setting> = said
            .into_iter()
            .filter(|it| match it.keyword.as_str() {
                "host" => false,
                "identityfile" => !usual_keys,
                _ => !self.usual.contains(&(it.keyword.clone(), it.value.clone())),
            })
            .map(|it| config.as_written(alias, it))
            .collect();
        Ok(settled(alias, &settings.iter().collect::<Vec<_>>(), home))
    }
}

impl SshConfig {
    /// Lists of algorithms are shown as the file has them: OpenSSH prints dozens of names for `+one`.
    fn as_written(&self, alias: &str, said: Setting) -> Setting {
        if !said.keyword.ends_with("algorithms")
            && !["ciphers", "macs"].contains(&said.keyword.as_str())
        {
            return said;
        }
        let written = self.settings(alias).into_iter().find(|it| it.keyword == said.keyword);
        written.cloned().unwrap_or(said)
    }
}

fn printed(file: &Path, alias: &str) -> Result<Vec<Setting>, Failure> {
    let file = file.display().to_string();
    let argv = ["ssh", "-G", "-F", &file, "--", alias].map(str::to_owned);
    // Whether the file may say what runs was asked before: see `SshConfig::owned`.
    let printed = helper::run_on_agreed_files(&argv, BOUNDS)?;
    let text = String::from_utf8_lossy(&printed);
    let pair = |line: &str| {
        let (keyword, value) = line.split_once(' ')?;
        Some(Setting { keyword: keyword.to_ascii_lowercase(), value: value.to_owned() })
    };
    Ok(text.lines().filter_map(pair).collect())
}
