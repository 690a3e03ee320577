//! The official Python SDK drives the server in both eras.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::site::{ALIAS, DENIED, OK, Site, TAG};

/// The version that was tried by hand; the newest on 2026-11-20.
const SDK: &str = "mcp==2.3.0";

/// A virtual environment with the SDK, made once and kept beside the build.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{SDK}"));
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            SDK,
        ]));
        std::fs::write(ready, "").unwrap();
    }
    python
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn the_python_sdk_uses_everything_in_both_eras() {
    let python = python();
    let site = Site::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/drive.py");
    for (mode, version) in [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")] {
        let spec = serde_json::json!({
            "server": site.serve(), "mode": mode, "alias": ALIAS, "tag": TAG,
            "ok": OK, "slow": "sleep 30", "denied": DENIED,
        });
        let answer = run(Command::new(&python).arg(&script).arg(spec.to_string()));
        let answer: serde_json::Value = serde_json::from_str(answer.trim()).unwrap();
        assert_eq!(answer["version"], version);
    }
}
