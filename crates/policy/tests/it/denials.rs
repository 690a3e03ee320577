//! A deny rule hits whatever may be meant by it: detours in paths, wrappers in any spelling, options between its words.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sshepherd_model::Request;
use sshepherd_policy::typed::{OperandSpec, Order, Program, ValueType};
use sshepherd_policy::{
    Action, Dialect, Grants, LimitPatch, LimitTable, Policy, Rule, Spec, recognise,
};

use crate::site::{globs, policy, rule, wire};

pub(crate) fn anything_but(denies: Vec<Rule>) -> Policy {
    let mut open = rule(Action::Allow, &["*"]);
    open.grants = Grants { cwd: globs(&["/*"]), env: Vec::new(), stdin: true };
    let base = LimitPatch { deny_substrings: Some(Vec::new()), ..LimitPatch::default() };
    let rules = std::iter::once(open).chain(denies).collect();
    policy(rules, LimitTable { base, ..LimitTable::default() }, Dialect::default())
}

pub(crate) fn typed(program: &str, verbs: &[&str], value: Option<ValueType>) -> Rule {
    let spec = Spec::new(
        Program::new(program, Vec::new()).unwrap(),
        verbs.iter().map(|verb| vec![(*verb).to_owned()]).collect(),
        Vec::new(),
        value.into_iter().map(|value| OperandSpec { value, min: 1, max: 9 }).collect(),
        Order::Any,
    );
    Rule { id: program.to_owned(), spec: Some(spec.unwrap()), ..rule(Action::Deny, &[]) }
}

fn installer() -> ValueType {
    ValueType::PathIn(vec!["/var/log/installer".to_owned()])
}

pub(crate) fn is_denied(policy: &Policy, command: &str) -> bool {
    match wire(policy, &Request::new(command).unwrap()) {
        Ok(_) => false,
        Err(message) => {
            assert!(message.starts_with("rule "), "{command}: {message}");
            true
        }
    }
}

/// What may stand before a command, in every spelling that was thought of.
const WRAPPERS: [&str; 72] = [
    "sudo",
    "sudo -n",
    "sudo -E",
    "sudo -nu root",
    "sudo -uroot",
    "sudo -u root",
    "sudo --user=root",
    "sudo --user root -H",
    "sudo -u root -H",
    "sudo --",
    "sudo -n --",
    "sudo A=b",
    "sudo -E A=b --",
    "sudo -g adm -u root",
    "sudo -C 5",
    "sudo sudo",
    "sudo -n sudo -E",
    "/usr/bin/sudo",
    "/usr/bin/sudo -n -u root --",
    "sudo -i",
    "sudo -s",
    "sudo -k -S",
    "sudo -p x",
    "doas",
    "doas -u root",
    "doas -n",
    "env",
    "env -i",
    "env A=b",
    "env -u X A=b",
    "/usr/bin/env -",
    "nice",
    "nice -n 5",
    "nice -5",
    "ionice -c 3",
    "timeout 5",
    "timeout -k 1 5",
    "timeout --signal=KILL 5s",
    "nohup",
    "setsid",
    "setsid -w",
    "stdbuf -oL",
    "xargs",
    "xargs -n 1",
    "xargs -I '{}'",
    "chroot /srv",
    "unshare -r",
    "chrt -f 1",
    "taskset -c 0",
    "taskset 1",
    "busybox",
    "runuser -u root --",
    "runuser root -c",
    "pkexec",
    "pkexec --user root",
    "systemd-run",
    "systemd-run --pipe --wait",
    "flock /x",
    "watch",
    "watch -n 1",
    "parallel",
    "strace",
    "strace -f -o /x",
    "ssh localhost",
    "ssh -p 22 root@localhost --",
    "sudo nice -n 5 timeout 9 env A=b",
    "/lib64/ld-linux-x86-64.so.2",
    "docker exec web",
    "find /srv -exec",
    "ip netns exec a",
    "nsenter -t 1 -m",
    "sudo -n nice nice nice nice nice nice nice nice nice",
];

#[test]
fn what_stands_behind_a_wrapper_is_looked_at_by_itself() {
    let policy = anything_but(vec![
        rule(Action::Deny, &["rm *", "systemctl stop *"]),
        rule(Action::Deny, &["reboot"]),
        typed("docker", &["run", "exec"], None),
        typed("tail", &[], Some(installer())),
    ]);
    for wrapper in WRAPPERS {
        for command in [
            "rm x",
            "/bin/rm -r x",
            "/usr/bin/rm x",
            "systemctl stop nginx",
            "systemctl --no-block stop nginx",
            "reboot",
            "docker run x",
            "/usr/bin/docker -H y exec c id",
            "tail -n 5 /var/log/./installer/x",
        ] {
            let text = format!("{wrapper} {command}");
            assert!(is_denied(&policy, &text), "{text}");
        }
        // What no rule speaks of stays allowed; `docker exec` is denied as such.
        if wrapper != "docker exec web" {
            // `tail` may be fed whatever path.
            let fed = wrapper.starts_with("xargs") || wrapper == "parallel";
            let tail = (!fed).then_some("tail -n 5 /var/log/syslog");
            for command in ["uptime", "systemctl status nginx", "docker ps"].into_iter().chain(tail)
            {
                let text = format!("{wrapper} {command}");
                assert!(!is_denied(&policy, &text), "{text}");
            }
        }
    }
}

#[test]
fn a_text_that_a_wrapper_runs_is_looked_into() {
    let policy = anything_but(vec![
        rule(Action::Deny, &["rm *", "reboot"]),
        typed("docker", &["run"], None),
    ]);
    for command in [
        "su -c 'rm x'",
        "su - root -c 'id; rm x; id'",
        "sh -c 'id && /bin/rm x'",
        "bash -c \"docker run x\"",
        "bash -lc 'id|reboot'",
        "ssh -t host 'sudo -n reboot; true'",
        "timeout 5 sh -c '(docker run x)'",
        "env -S 'rm x'",
        "env '-Srm x'",
        "xargs -I '{}' sh -c 'rm {}'",
        "find / -maxdepth 1 -exec sh -c 'docker run x' ';'",
        "watch 'rm x'",
        "python3 -c 'import os; os.system(\"rm x\")'",
        "perl -e 'system(\"docker run x\")'",
        "systemd-run --property=ExecStart='rm x' y",
        "flock /x -c 'rm y'",
        "script -qc 'rm x' /y",
    ] {
        // A dollar or backslash would not be understood at all.
        assert!(recognise(command).is_ok(), "{command}");
        assert!(is_denied(&policy, command), "{command}");
    }
    for command in [
        "echo 'rm x'",
        "grep -F 'docker run' /x",
        "sh -c 'echo alarm'",
        "su -c 'uptime'",
        "find / -name rm x",
    ] {
        assert!(!is_denied(&policy, command), "{command}");
    }
}

/// A pattern's word with a `=` in it, and a value that is a program.
#[test]
fn a_word_with_a_value_is_seen_whole_and_in_parts() {
    let policy = anything_but(vec![rule(Action::Deny, &["dd if=/dev/zero *", "rm *", "passwd *"])]);
    for command in [
        "dd bs=1 if=/dev/zero of=/x",
        "nice -n 5 dd bs=1 if=/dev/zero of=/x",
        "timeout 5 dd bs=1 if=/dev/./zero of=/x",
        "systemd-run --property=ExecStart=/bin/rm x y",
        "sh -c 'dd bs=1 if=/dev/zero of=/x'",
    ] {
        assert!(is_denied(&policy, command), "{command}");
    }
    // Where sudo's words are understood nothing is in doubt.
    for command in
        ["sudo -nE cat /etc/passwd /x", "sudo -u root -H ls /srv/rm x", "dd if=/dev/zero2 of=/x"]
    {
        assert!(!is_denied(&policy, command), "{command}");
    }
}

#[test]
fn a_program_that_feeds_another_hits_what_it_may_feed() {
    let policy = anything_but(vec![rule(Action::Deny, &["rm *", "systemctl stop *"])]);
    for command in [
        "xargs rm",
        "xargs -r rm",
        "find /x | xargs rm",
        "sudo xargs /bin/rm",
        "xargs systemctl stop",
        "parallel rm",
    ] {
        assert!(is_denied(&policy, command), "{command}");
    }
    assert!(!is_denied(&policy, "xargs ls"));
}

#[test]
fn a_path_with_detours_is_the_path() {
    let by_type = anything_but(vec![typed("tail", &[], Some(installer()))]);
    let by_pattern =
        anything_but(vec![rule(Action::Deny, &["tail * /var/log/installer/*", "/opt/x/run *"])]);
    for path in [
        "/var/log/installer/x",
        "/var/log/./installer/x",
        "/var/log/installer/../installer/x",
        "//var/log/installer/x",
        "/var//log///installer/x",
        "/var/log/installer/./x",
        "/../var/log/installer/x",
        "/var/log/a/b/../../installer/x",
        "/./var/./log/installer/x/",
    ] {
        for policy in [&by_type, &by_pattern] {
            for command in [
                format!("tail -n 5 {path}"),
                format!("tail -n 5 /var/log/syslog {path} /var/log/b"),
                format!("/usr/bin/tail -n 5 -- {path}"),
                format!("TAIL -n 5 {path}"),
                format!("sudo -E tail -n 5 {path}"),
            ] {
                assert!(is_denied(policy, &command), "{command}");
            }
        }
        assert!(is_denied(&by_type, &format!("tail --file={path}")), "{path}");
        assert!(is_denied(&by_type, &format!("tail -f{path}")), "{path}");
        assert!(is_denied(&by_type, &format!("tail -qf{path}")), "{path}");
    }
    // Where a link may lead is in doubt.
    assert!(is_denied(&by_type, "tail -n 5 /srv/link/../installer/x"));
    assert!(is_denied(&by_pattern, "run -v x") && is_denied(&by_pattern, "/opt/y/run x"));
    for fine in [
        "tail -n 5 /var/log/syslog",
        "tail -n 5 /var/log/installer2/x",
        "tail -n 5 /var/log/.installer/x",
    ] {
        assert!(!is_denied(&by_type, fine) && !is_denied(&by_pattern, fine), "{fine}");
    }
}

#[test]
fn a_path_counts_from_the_working_folder() {
    let policies = [
        anything_but(vec![typed("tail", &[], Some(installer()))]),
        anything_but(vec![rule(Action::Deny, &["tail * /var/log/installer/*"])]),
    ];
    for policy in policies {
        for (cwd, command, denied) in [
            ("/var/log", "tail -n 5 installer/x", true),
            ("/var/log/installer", "tail -n 5 x", true),
            ("/var/log/apt", "sudo tail -n 5 ../installer/x", true),
            ("/var/log", "tail -n 5 apt/x", false),
            ("/srv", "tail -n 5 /var/log/installer/x", true),
        ] {
            let mut request = Request::new(command).unwrap();
            request.cwd = Some(cwd.to_owned());
            assert_eq!(wire(&policy, &request).is_err(), denied, "{cwd}: {command}");
        }
    }
}

#[test]
fn a_program_within_an_option_of_a_wrapper_is_found() {
    let policy = anything_but(vec![typed("systemctl", &["restart"], None)]);
    for command in ["chroot --x=systemctl restart db", "chroot -xsystemctl restart db"] {
        assert!(is_denied(&policy, command), "{command}");
    }
}

#[test]
fn options_and_other_operands_do_not_lead_past_a_pattern() {
    let policy = anything_but(vec![rule(
        Action::Deny,
        &[
            "systemctl status vault*",
            "rm -rf *",
            "/sbin/mkfs *",
            "kubectl get secret*",
            "halt",
            "/sbin/poweroff",
        ],
    )]);
    for command in [
        "systemctl status vault",
        "systemctl status -l vault",
        "systemctl status nginx vault",
        "systemctl status -n 5 vault.service",
        "systemctl --no-pager status -n5 nginx vault.service ssh",
        "systemctl -H h status vault",
        "SYSTEMCTL status vault",
        "rm -fr x",
        "rm -r --force x",
        "mkfs -t ext4 /dev/sda",
        "kubectl -n web get pods,secrets",
        "kubectl get -o yaml secret/db",
        "halt",
        "/sbin/halt",
        "poweroff",
        "/usr/sbin/poweroff",
    ] {
        assert!(is_denied(&policy, command), "{command}");
    }
    for command in [
        "systemctl status nginx",
        "systemctl is-active vault",
        "systemctl restart vault",
        "rm -r x",
        "kubectl get pods",
        "kubectl describe pod secret-0",
        "echo systemctl status vault",
        "halt -x",
    ] {
        assert!(!is_denied(&policy, command), "{command}");
    }
}

#[test]
fn a_raw_line_is_looked_at_in_the_same_way() {
    let open = Rule { shell_unrestricted: true, ..rule(Action::Allow, &["*"]) };
    let denies = vec![rule(Action::Deny, &["rm *", "halt"]), typed("tail", &[], Some(installer()))];
    let policy = policy([vec![open], denies].concat(), LimitTable::default(), Dialect::default());
    for line in [
        "x=$(id); sudo -E rm x",
        "for i in 1 2; do rm $i; done",
        "if true; then timeout 5 rm $x; fi",
        "echo $(sudo -nu root halt)",
        "A=b /bin/rm $x",
        "r'm' $x",
        "\\rm $x",
        "tail /var/log/./installer/$x",
        "! rm $x",
        "id > /tmp/x && exec rm $x",
    ] {
        assert!(is_denied(&policy, line), "{line}");
    }
    for line in ["echo $HOME rm x", "x=$(uptime)", "tail /var/log/$x"] {
        assert!(!is_denied(&policy, line), "{line}");
    }
}

/// Two hundred rules over the longest command there is, made of what is looked at from every word on.
#[test]
fn doubt_costs_no_more_than_the_command_is_long() {
    let patterns: Vec<String> = (0..200).map(|n| format!("p{n}* a* -x a* *b*{n}")).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let denies = (0..50).map(|_| typed("a", &["b", "c"], Some(installer())));
    let policy =
        anything_but(std::iter::once(rule(Action::Deny, &patterns)).chain(denies).collect());
    for words in ["a ", "/a/../a ", "nice ", "sudo -E a=/b ", "p1 -xx "] {
        let command = format!("sudo -E {}", words.repeat(4000 / words.len()));
        // The patterns are made ready once, when they are first asked.
        let _ = wire(&policy, &Request::new("sudo -E a").unwrap());
        let start = Instant::now();
        let _ = wire(&policy, &Request::new(&command).unwrap());
        assert!(start.elapsed() < Duration::from_secs(3), "{words:?} took {:?}", start.elapsed());
    }
}

proptest! {
    /// Whatever is put before it, between its words and after it.
    #[test]
    fn nothing_put_around_a_denied_command_lets_it_through(
        wrappers in prop::collection::vec(0..WRAPPERS.len(), 0..3),
        before in prop::collection::vec("-[a-z]|--[a-z]{2,8}|--[a-z]{2,8}=[a-z0-9]{1,5}", 0..3),
        between in prop::collection::vec("-[a-z][0-9]?|--[a-z]{2,8}|[a-z]{1,8}|[0-9]{1,3}", 0..4),
        after in prop::collection::vec("-[a-z]|[a-z/.]{1,8}", 0..3),
    ) {
        let policy = anything_but(vec![rule(Action::Deny, &["systemctl status vault*"])]);
        let wrappers: Vec<&str> = wrappers.iter().map(|at| WRAPPERS[*at]).collect();
        let words = [
            wrappers.join(" "), "systemctl".to_owned(), before.join(" "), "status".to_owned(), between.join(" "),
            "vault.service".to_owned(), after.join(" "),
        ];
        let text = words.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        // What the language or a builtin refuses does not run either.
        prop_assert!(wire(&policy, &Request::new(&text).unwrap()).is_err(), "{}", text);
    }

    /// A deny rule takes away only.
    #[test]
    fn one_more_deny_allows_nothing(command in "(sudo |nice |rm |a |-x |/b/../c |x=y ){1,6}", pattern in "(rm|a|\\*|-x|/c| ){1,5}") {
        let Ok(more) = sshepherd_policy::Glob::new(pattern.trim()) else { return Ok(()) };
        let allow = rule(Action::Allow, &["sudo *", "rm *", "a -x *"]);
        let without = policy(vec![allow.clone()], LimitTable::default(), Dialect::default());
        let deny = Rule { commands: vec![more], ..rule(Action::Deny, &["none"]) };
        let with = policy(vec![allow, deny], LimitTable::default(), Dialect::default());
        let Ok(request) = Request::new(&command) else { return Ok(()) };
        if let Ok(sent) = wire(&with, &request) {
            prop_assert_eq!(wire(&without, &request), Ok(sent));
        }
    }
}
