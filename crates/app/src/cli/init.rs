//! `init`: writes a commented starter configuration.

use serde_json::json;

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::out;

/// Writes the four files and says the next step.
pub(crate) fn init(global: &Global) -> Exit {
    let folders = match context::folders(global) {
        Ok(folders) => folders,
        Err(exit) => return exit,
    };
    match sshepherd_config::starter::write(&folders) {
        Ok(files) => {
            if global.json {
                out::json(
                    &json!({ "written": files, "keys": folders.keys, "secrets": folders.secrets }),
                );
            } else {
                for file in &files {
                    out::line(&format!("wrote {}", file.display()));
                }
            }
            out::say(&format!(
                "next: put your hosts into {}, keys into {}, then run `sshepherd check --connect`",
                folders.config.join("servers.yml").display(),
                folders.keys.display()
            ));
            Exit::Done
        }
        Err(error) => {
            out::complain(&context::chain(&error));
            Exit::Usage
        }
    }
}
