//! Ways past a deny rule that were tried against it, by kind: what runs is not written out, or is written elsewhere.

use sshepherd_policy::{Action, Dialect, LimitTable, Policy, Rule};

use crate::denials::{anything_but, is_denied, typed};
use crate::site::{policy, rule};

fn denying(patterns: &[&str]) -> Policy {
    anything_but(vec![rule(Action::Deny, patterns)])
}

fn all_are_denied(policy: &Policy, commands: &[&str]) {
    let missed: Vec<_> = commands.iter().filter(|command| !is_denied(policy, command)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

fn none_is_denied(policy: &Policy, commands: &[&str]) {
    let hit: Vec<_> = commands.iter().filter(|command| is_denied(policy, command)).collect();
    assert!(hit.is_empty(), "{hit:#?}");
}

fn open_with(denies: &[Rule]) -> Policy {
    let open = Rule { shell_unrestricted: true, ..rule(Action::Allow, &["*"]) };
    policy([&[open], denies].concat(), LimitTable::default(), Dialect::default())
}

#[test]
fn a_program_of_a_raw_line_that_is_not_written_out_may_be_any() {
    let open = open_with(&[rule(Action::Deny, &["rm *"])]);
    all_are_denied(
        &open,
        &[
            "2>&1 rm x",
            ">f rm x",
            "<f rm x",
            "rm<x",
            "rm>x y",
            "2>/x >>/y rm x",
            "&>f rm x",
            ">| f rm x",
            "3<> f rm x",
            "{rm,-rf,x}",
            "rm$IFS-rf x",
            "rm${IFS}x",
            "$'rm' x",
            "/bin/[r]m x",
            "r?n x",
            "\"r\"m x",
            "R=rm; $R x",
            "r\\\nm x",
            "echo rm x | sh",
            "echo rm x | sudo bash",
            "echo x | xargs env",
            "bash <<<\"rm x\"",
        ],
    );
    // What the line says is known; without deny rules nothing is in doubt.
    let lines = ["echo a > rm", "echo \"$HOME\" [a] 2>&1", "x=$(id); ls *.log | wc -l"];
    none_is_denied(&open, &lines);
    none_is_denied(&open_with(&[]), &["$X y", "echo id | sh", "{id,-u}", "2>&1 id"]);
    let elsewhere = Rule { aliases: crate::site::globs(&["db*"]), ..rule(Action::Deny, &["rm *"]) };
    none_is_denied(&open_with(&[elsewhere]), &["$X y", "echo id | sh"]);
}

#[test]
fn what_flows_into_a_shell_may_be_anything() {
    let policy = denying(&["rm *"]);
    all_are_denied(&policy, &["echo rm x | sh", "cat /x | bash -s", "cat /x | sudo -n env A=b sh"]);
    none_is_denied(&policy, &["echo id | wc -l", "echo id | sh -c 'cat'", "sh /x | cat"]);
}

#[test]
fn a_path_that_climbs_or_goes_through_a_process_is_in_doubt() {
    let policy = denying(&["cat /etc/shadow*", "tail * /var/log/auth.log*"]);
    all_are_denied(
        &policy,
        &[
            "cat ../etc/shadow",
            "cat ../../etc/shadow",
            "cat ./../../etc/x/../shadow",
            "cat /var/run/../etc/shadow",
            "tail -n 5 ../../var/log/auth.log",
            "cat /proc/self/root/etc/shadow",
            "cat /proc/1/root/etc/shadow",
            "cat /proc/self/task/1/root/etc/shadow",
            "cat /proc/self/cwd/../../etc/shadow",
            "timeout 5 cat ../../etc/shadow",
        ],
    );
    none_is_denied(&policy, &["cat ../x", "cat /proc/1/status", "cat ../../var/log/auth.log"]);
}

#[test]
fn a_path_counts_from_the_folder_that_a_wrapper_sets() {
    let policy = denying(&["cat /etc/shadow*"]);
    all_are_denied(
        &policy,
        &[
            "env -C /etc cat shadow",
            "env -C / cat etc/shadow",
            "env --chdir=/etc cat shadow",
            "env --chdir /etc cat shadow",
            "env -C/etc cat shadow",
            "sudo -D /etc cat shadow",
            "nice -n 1 env -C /etc cat shadow",
            "systemd-run -p WorkingDirectory=/etc cat shadow",
            "systemd-run --working-directory=/etc cat shadow",
            "unshare -w /etc cat shadow",
            "find /etc -maxdepth 1 -execdir cat shadow ';'",
            "find /etc -name shadow -exec cat '{}' ';'",
            "chroot /etc cat shadow",
            "echo /etc/shadow | xargs cat",
            "bash -c 'cd /etc; cat shadow'",
            "sh -c 'cd /etc && sudo cat shadow'",
            "su -c 'cd /; cat etc/shadow'",
        ],
    );
    let fine = [
        "bash -c 'cd /srv; cat shadow'",
        "env -C /srv cat shadow",
        "chroot /srv cat x",
        "find /etc -exec ls '{}' ';'",
    ];
    none_is_denied(&policy, &fine);
}

#[test]
fn a_text_that_is_taken_apart_once_more_is_read_without_its_quotes() {
    let policy = denying(&["rm *", "cat /etc/shadow*"]);
    all_are_denied(
        &policy,
        &[
            r"env '-Srm\_-rf\_/x'",
            r"env -S 'cat\_/etc/shadow'",
            "env -S 'r\"\"m x'",
            "env -S 'c\"\"at /etc/shadow'",
            "env -vS 'cat /etc/shadow'",
            "env '-S${X} y'",
            "sh -c 'r\"\"m x'",
            r"sh -c 'r\m x'",
            "sh -c '$(echo rm) x'",
            "timeout 5 bash -lc '$X y'",
            "su - root -c '$X y'",
        ],
    );
    none_is_denied(&policy, &["sh -c 'echo \"$HOME\"'", "env -S 'ls /x'", "bash /x.sh '*.log'"]);
}

#[test]
fn an_operand_that_is_a_pattern_may_be_what_it_fits() {
    let by_pattern = denying(&["systemctl restart db*", "cat /etc/shadow"]);
    let by_type = anything_but(vec![typed("systemctl", &["restart"], None)]);
    for policy in [&by_pattern, &by_type] {
        let units = ["'d*'", "'*'", "'[d]b'", "'d?'", "a '*b'"];
        for unit in units {
            let command = format!("systemctl restart {unit}");
            assert!(is_denied(policy, &command), "{command}");
        }
    }
    all_are_denied(&by_pattern, &["cat '/etc/sha*'", "echo restart db | xargs systemctl"]);
    let fine = ["systemctl restart 'web*'", "systemctl status 'd*'", "cat '*'", "cat '/srv/*'"];
    none_is_denied(&by_pattern, &fine);
}

#[test]
fn more_programs_run_others() {
    let policy = denying(&["reboot*", "docker exec *", "docker rm *"]);
    for wrapper in [
        "run0",
        "run0 --user=root",
        "lxc-attach -n c --",
        "schroot -c x --",
        "apptainer exec i",
        "singularity exec i",
        "srun",
        "s6-setuidgid u",
        "s6-softlimit -m 1",
        "dzdo",
        "please",
        "pfexec",
        "mpirun -n 1",
        "mpiexec",
        "gdbserver :1",
        "trickle",
        "nq",
        "tsp",
        "dtach -n x",
        "chamber exec x --",
        "mise exec --",
        "asdf exec",
        "pyenv exec",
        "rustup run stable",
        "docker exec c",
        "podman exec c",
        "kubectl exec p --",
        "docker compose exec c",
        "machinectl shell c",
        "with-contenv",
        "uv run",
        "uvx",
        "op run --",
        "retry -t 3",
        "abduco -n x",
        "calife root",
        "sux -",
        "gksudo",
        "caffeinate -i",
        "conda run -n x",
        "sops exec-env x",
    ] {
        let command = format!("{wrapper} reboot");
        assert!(is_denied(&policy, &command), "{command}");
    }
    all_are_denied(
        &policy,
        &["docker container exec x id", "docker container rm x", "docker compose exec x id"],
    );
    none_is_denied(&policy, &["docker container ls", "docker ps", "mise ls", "rustup show"]);
}

#[test]
fn a_command_in_an_option_of_a_program_is_looked_at() {
    let policy = denying(&["rm *"]);
    all_are_denied(
        &policy,
        &[
            "tar cf /dev/null x --checkpoint=1 --checkpoint-action=exec='rm y'",
            "tar xf x '--to-command=rm y'",
            "tar xf x --to-command 'rm y'",
            "git -c alias.x='!rm y' x",
            "rsync -e 'rm y' a b:c",
            "rsync --rsync-path='rm y' a b:c",
            "make -f /dev/null --eval 'x: ; rm y'",
            "zip a b -T -TT 'rm y'",
            "sed '1e rm y' /etc/hosts",
            "sed -n -e 'p;e rm y' /x",
            "sed 's/x/rm y/e' /x",
            "sed -E '1s|.*|rm y|ge;p' /x",
            "sed e /x",
            "sudo tar xf x '--to-command=rm y'",
        ],
    );
    let fine = ["git rm x", "tar czf /x rm y", "sed 's/rm x/a/' /x", "rsync -a rm y", "make rm x"];
    none_is_denied(&policy, &fine);
}
