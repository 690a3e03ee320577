//! From a judgement to a process: what a policy let through is launched for each dialect, and its real shells execute
//! exactly the judged argvs. `SSHEPHERD_DIFFERENTIAL=5000` runs as many commands in each.

use std::sync::Arc;

use sshepherd_model::{ConnectionSettings, Host, LoginShell, Request};
use sshepherd_policy::Verdict;
use sshepherd_ssh::launch::launch;

use commands::{Numbers, policy, wanted};
use shells::Shells;

#[path = "../../../policy/tests/it/commands.rs"]
mod commands;
#[path = "../../../policy/tests/it/shells.rs"]
#[expect(dead_code, reason = "the policy's tests use all of it")]
mod shells;

/// Commands of the slice, in each dialect.
const SLICE: usize = 40;

fn host(login_shell: LoginShell) -> Arc<Host> {
    Arc::new(Host {
        alias: "web1".parse().unwrap(),
        address: "192.0.2.1".to_owned(),
        port: 22,
        credentials: "ops".parse().unwrap(),
        tags: Vec::new(),
        description: "".into(),
        login_shell,
        jump: None,
        connection: ConnectionSettings::default(),
    })
}

/// Launches commands for `dialect` until enough were taken, and runs them in each of `shells`.
fn differential(dialect: LoginShell, shells: &Shells) {
    let (wanted, policy, host) = (wanted(SLICE), policy(), host(dialect));
    let (mut numbers, mut taken, mut executed) = (Numbers(2027), 0, 0);
    while taken < wanted {
        let (mut judged, text) = numbers.list();
        let Ok(request) = Request::new(&text) else { continue };
        let wire = match policy.judge(&host, &request) {
            Verdict::Allow(permit) => permit.into_parts().wire,
            Verdict::Ask(_) | Verdict::Deny(_) => {
                panic!("{text:?}: {:?}", policy.explain(&host, &request).denial)
            }
        };
        let sent = launch(dialect, &wire, "cookie", "0123456789abcdef", false).text;
        taken += judged.len();
        judged.sort();
        for (shell, (ran, _)) in shells.run(&sent) {
            assert_eq!(ran, judged, "{shell} ran something else for {text:?}, sent as {sent:?}");
            executed += ran.len();
        }
    }
    println!("{dialect:?}: {taken} commands, {executed} executions, 0 mismatches");
}

#[test]
fn what_is_launched_for_a_posix_shell_runs_word_by_word() {
    differential(LoginShell::Posix, &Shells::open());
}

#[test]
fn what_is_launched_for_fish_runs_word_by_word() {
    differential(LoginShell::Fish, &Shells::of(&[("fish", &["fish"])]));
}

#[test]
fn what_is_launched_for_csh_runs_word_by_word() {
    differential(LoginShell::Csh, &Shells::of(&[("tcsh", &["tcsh"]), ("csh", &["bsd-csh"])]));
}
