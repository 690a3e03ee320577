//! What an adversary tries against whole policies, read by the loader as an owner's and judged as a caller's. A policy that is
//! refused denies.

use std::collections::BTreeMap;
use std::sync::Arc;

use sshepherd_policy::corpus::{Case, Expect, judge_case};

use crate::folder::Folder;

struct Told {
    folder: Folder,
    policy: &'static str,
}

impl Told {
    fn policy(policy: &'static str) -> Self {
        let folder = Folder::sound();
        folder.write("policy.yml", policy);
        Self { folder, policy }
    }

    fn judge(&self, expect: Expect, command: &str, env: &[&str]) {
        let env: BTreeMap<String, String> =
            env.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let case = Case {
            command: command.to_owned(),
            expect,
            why: String::new(),
            cwd: None,
            env,
            stdin: None,
        };
        let wrong = match self.folder.load() {
            Err(report) if expect == Expect::Deny => {
                assert!(!report.problems.is_empty());
                None
            }
            Err(report) => Some(report.to_string()),
            Ok(loaded) => {
                let host = Arc::clone(loaded.inventory.hosts().first().unwrap());
                judge_case(&loaded.policy, &host, &case).map(|mismatch| format!("{mismatch:?}"))
            }
        };
        assert_eq!(wrong, None, "{}\n{command} {:?}", self.policy, case.env);
    }

    fn denies(&self, commands: &[&str]) {
        commands.iter().for_each(|command| self.judge(Expect::Deny, command, &[]));
    }

    fn allows(&self, commands: &[&str]) {
        commands.iter().for_each(|command| self.judge(Expect::Allow, command, &[]));
    }
}

#[test]
fn ps_prints_no_environments_by_any_spelling() {
    let policy = Told::policy("include: [read-only]\n");
    policy.denies(&[
        "ps -ef -o args -p 1",
        "ps -f -p 1 -o args -e",
        "ps -weo args -f",
        "ps -fe --format pid,args",
        "ps -F -e -o pid",
        "ps -le -opid",
        "ps -eLH",
        "ps -eLo pid",
        "ps -L --forest -e",
        "ps -eL --forest -f",
        "ps e",
        "ps axe",
        "ps -E",
        "ps -o environ",
        "ps -eo pid -o args",
        "ps -e --sort=nothing",
        "ps -ef --sort=pid --sort=rss",
        "ps -p x -fe",
    ]);
    policy.allows(&[
        "ps -ef",
        "ps -ef --forest",
        "ps -eo pid,args",
        "ps -eo pid,args --forest",
        "ps -eLf",
        "ps aux",
        "ps -p 1 -o args",
    ]);
}

#[test]
fn readers_of_files_leave_secrets_alone() {
    let policy = Told::policy("include: [files-read]\n");
    for reader in ["cat", "cat -n", "head -n 5", "tail -n 5"] {
        for path in [
            "/etc/systemd/system/app.service",
            "/etc/systemd/system/app.service.d/10-env.conf",
            "/etc/systemd/user/x.timer",
            "/etc/systemd/system.conf",
            "/usr/lib/systemd/system/x.service",
            "/lib/systemd/system/x.service",
            "/run/systemd/transient/x.service",
            "/usr/share/wordpress/wp-config.php",
            "/usr/share/webapps/x/config/settings.php",
            "/usr/share/roundcube/config.inc.php",
            "/usr/share/x/.env",
            "/usr/share/doc/../wordpress/wp-config.php",
            "/etc/nginx/x.key",
            "/etc/shadow",
            "-",
        ] {
            policy.denies(&[&format!("{reader} {path}")]);
        }
        if !reader.contains("-n") {
            policy.allows(&["cat /etc/os-release"]);
        }
        policy.allows(&[
            &format!("{reader} /etc/nginx/nginx.conf"),
            &format!("{reader} /usr/share/doc/bash/copyright"),
        ]);
    }
}

#[test]
fn a_deny_of_a_pack_holds_against_rules_of_the_owners_own() {
    let policy = Told::policy(
        "include: [logs]\nrules: [{id: mine, action: allow, commands: ['tail * /var/log/*', 'sudo *', 'head *']}]\n",
    );
    policy.denies(&[
        "tail -n 5 /var/log/./installer/x",
        "tail -n 5 /var/log/a/../installer/x",
        "tail -n 5 /var/log//installer",
        "tail -f /var/log/installer/x",
        "head //var/log/installer/x",
        "sudo -E tail -n 5 /var/log/installer/x",
        "sudo head -n 5 /var/log/installer/x",
    ]);
    policy.allows(&["tail -f /var/log/syslog", "sudo -E tail -f /var/log/syslog"]);
}

#[test]
fn a_deny_beside_a_pack_is_not_walked_past() {
    let policy = Told::policy(
        "include: [systemd, kubernetes-read]\nrules:\n  - {id: d, action: deny, commands: ['systemctl status vault*', 'kubectl logs * vault*']}\n",
    );
    policy.denies(&[
        "systemctl status vault",
        "systemctl status -l vault",
        "systemctl status nginx vault",
        "systemctl status --no-pager --lines=5 nginx vault.service",
        "kubectl logs --tail=5 vault-0",
        "kubectl logs -n x --tail 5 vault-0",
    ]);
    policy.allows(&[
        "systemctl status nginx",
        "systemctl is-active vault",
        "kubectl logs --tail=5 web-0",
    ]);
}

#[test]
fn no_pattern_of_names_reaches_a_variable_that_steers() {
    let all = Told::policy(
        "rules: [{id: m, action: allow, commands: ['make all'], env: ['*', '*FLAGS', '?*', '[A-Z]*'], why: x}]\n",
    );
    for name in [
        "BUILD_ID",
        "PATH",
        "GOFLAGS",
        "MAKEFLAGS",
        "RUSTC_WRAPPER",
        "http_proxy",
        "NEW_THING_HOOKS",
        "A",
    ] {
        all.judge(Expect::Deny, "make all", &[name]);
    }
    let mine = Told::policy(
        "rules: [{id: m, action: allow, commands: ['make all'], env: ['BUILD_*', 'G*', 'R*', RUSTFLAGS], why: x}]\n",
    );
    for name in [
        "GNUMAKEFLAGS",
        "GIT_SSH",
        "GIO_EXTRA_MODULES",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTFLAG",
        "BUILD_OPTS",
        "XBUILD_ID",
    ] {
        mine.judge(Expect::Deny, "make all", &[name]);
    }
    for name in ["BUILD_ID", "BUILD_SRC", "REGION", "RUSTFLAGS"] {
        mine.judge(Expect::Allow, "make all", &[name]);
    }
    mine.judge(Expect::Deny, "make all", &["BUILD_ID", "PATH"]);
}

#[test]
fn a_pattern_of_names_that_reaches_nothing_is_warned_of() {
    let told = Told::policy(
        "rules:\n  - action: allow\n    commands: ['make all']\n    env:\n      - '*_OPTS'\n      - BUILD_*\n      - GIT_*\n",
    );
    let warnings = told.folder.warnings();
    let about = |line: usize| -> Vec<&String> {
        warnings
            .iter()
            .filter(|text| text.starts_with(&format!("policy.yml:{line} Warning rules[0].env")))
            .collect()
    };
    assert!(about(5).len() == 1 && about(5)[0].contains("such as BUILD_*"), "{warnings:?}");
    assert!(about(6).is_empty(), "{warnings:?}");
    assert!(about(7).len() == 1 && about(7)[0].contains("in full"), "{warnings:?}");
}
