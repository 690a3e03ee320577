//! The official TypeScript SDK drives a task to its end in both eras, in the new one by the tasks extension too.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::python::run;
use crate::site::{ALIAS, OK, Site};

/// The versions that were tried by hand; the newest on 2026-11-21.
const PACKAGES: [&str; 2] =
    ["@modelcontextprotocol/client@2.4.0", "@modelcontextprotocol/ext-tasks@0.2.2"];

/// A folder with the packages and the script, made once and kept beside the build.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("typescript-2.4.0-0.2.2");
    let ready = folder.join("ready");
    if !ready.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("package.json"), r#"{"private": true, "type": "module"}"#)
            .unwrap();
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .args(PACKAGES)
            .current_dir(&folder));
        std::fs::write(ready, "").unwrap();
    }
    folder
}

#[test]
fn the_typescript_sdk_drives_a_task_to_its_end_in_both_eras() {
    let folder = folder();
    let site = Site::new();
    // Node finds packages beside the script.
    let script = folder.join("drive.mjs");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/typescript/drive.mjs");
    std::fs::copy(source, &script).unwrap();
    for mode in ["legacy", "2026-07-28"] {
        let spec = serde_json::json!({
            "server": site.serve(), "mode": mode, "alias": ALIAS, "ok": OK, "slow": "sleep 3",
        });
        let answer = run(Command::new("node").arg(&script).arg(spec.to_string()));
        let answer: serde_json::Value = serde_json::from_str(answer.trim()).unwrap();
        assert_eq!(answer["mode"], mode);
    }
}
