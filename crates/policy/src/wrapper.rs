//! Programs that run other programs: where in their words that other program stands.

use crate::typed::base;

/// What a command may run beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing that its words would say.
    Nothing,
    /// The command that begins with this word.
    At(usize),
    /// A command that may begin with any word after this one, or stand within one.
    After(usize),
}

/// A command follows as it stands, after variables.
const DIRECT: &str = "! builtin busybox chronic command coproc doas eatmydata elif else env eval exec fakeroot if ionice linux32 \
    linux64 nice nohup pkexec run-one setsid stdbuf sudo systemd-cat systemd-inhibit systemd-run then do time tini toybox \
    unbuffer until watch while xargs xvfb-run";
/// A command follows somewhere: behind options, an operand, or as a text.
const SOMEWHERE: &str = "ash at awk aws-vault bash batch bpftrace bwrap bundle capsh catatonit cgexec chpst choom chroot chrt cpulimit \
    csh daemon daemonize dash dbus-launch dbus-run-session direnv distrobox doppler dumb-init elvish emacs entr envdir \
    ex expect faketime fakechroot firejail fish flock gawk gdb gosu hyperfine ipython irb jexec ksh logsave ltrace lua \
    machinectl mawk mksh mosh nawk ncat newgrp nix-shell node nodejs nsenter numactl nvim openvt osascript parallel pdsh perf perl \
    php pipenv poetry prlimit proot proxychains psexec pwsh pypy python qemu-nsenter rbash rlwrap rsh ruby runcon runuser screen \
    script sem setarch setlock setpriv setuidgid sg sh slogin socat softlimit ssh ssh-agent sshpass start-stop-daemon strace su \
    su-exec systemd-nspawn taskset tclsh tcsh timelimit timeout tmux torsocks trap tsocks unshare uxterm valgrind vi view \
    vim xonsh xterm yash zsh";
/// A command follows one of these words.
const VERBS: [(&str, &str); 5] = [
    (
        "docker podman nerdctl crictl ctr lxc incus kubectl oc compose docker-compose",
        "exec run debug shell",
    ),
    ("find", "-exec -execdir -ok -okdir"),
    ("ip", "exec"),
    ("npx npm yarn pnpm cargo go", "exec run"),
    ("git", "exec bisect rebase submodule filter-branch"),
];
/// They give what they run more words than are seen.
const FEEDS: &str = "xargs parallel sem";

fn listed(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == name)
}

/// The name by which a program is known: without its folder and the number of its version, in small letters.
fn known_as(word: &str) -> String {
    let name = base(word).to_ascii_lowercase();
    let bare = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    bare.trim_end_matches('-').to_owned()
}

/// `NAME=value`, as a shell, `env` and `sudo` set a variable.
fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Whether one of the words names a program that appends words of its input to what it runs.
pub(crate) fn feeds(words: &[String]) -> bool {
    words.iter().any(|word| listed(FEEDS, &known_as(word)))
}

/// Where a command within `argv` begins.
pub(crate) fn behind(argv: &[String]) -> Behind {
    let Some(program) = argv.first() else { return Behind::Nothing };
    if assigns(program) {
        return direct(argv, 1);
    }
    let name = known_as(program);
    if listed(DIRECT, &name) {
        let after = if matches!(name.as_str(), "sudo" | "doas") { as_another(argv) } else { 1 };
        return direct(argv, after);
    }
    if listed(SOMEWHERE, &name) || name.starts_with("ld-linux") || name.starts_with("ld.so") {
        return Behind::After(0);
    }
    let verbs = VERBS.iter().find(|(programs, _)| listed(programs, &name)).map(|(_, verbs)| verbs);
    let verb = verbs.and_then(|verbs| argv.iter().skip(1).position(|word| listed(verbs, word)));
    verb.map_or(Behind::Nothing, |place| Behind::After(place + 1))
}

/// Letters of `sudo` and `doas` without a value, and those with one.
const FLAGS: &str = "nEHbPAkSN";
const VALUED: &str = "ug";

/// The place after the options of `sudo` and `doas` that are sure to be understood.
fn as_another(argv: &[String]) -> usize {
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        at += match word.as_str() {
            "--non-interactive" | "--preserve-env" | "--set-home" => 1,
            "--user" | "--group" => 2,
            word if word.starts_with("--user=") || word.starts_with("--group=") => 1,
            word => match word
                .strip_prefix('-')
                .map(|letters| letters.trim_start_matches(|c| FLAGS.contains(c)))
            {
                Some("") if word.len() > 1 => 1,
                Some(rest) if rest.starts_with(|first| VALUED.contains(first)) => {
                    1 + usize::from(rest.len() == 1)
                }
                _ => break,
            },
        };
    }
    at
}

/// The command from `at` on, when nothing stands before it that could be anything else.
fn direct(argv: &[String], at: usize) -> Behind {
    let ended = usize::from(argv.get(at).is_some_and(|word| word == "--"));
    let rest = argv.iter().enumerate().skip(at + ended);
    match rest.into_iter().find(|(_, word)| !assigns(word)) {
        None => Behind::Nothing,
        Some((place, word)) if plain(word) => Behind::At(place),
        Some(_) => Behind::After(0),
    }
}

/// Whether a word is one program and nothing more.
fn plain(word: &str) -> bool {
    !word.starts_with('-')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-/@:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Behind {
        behind(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_wrapper_runs_is_found_or_doubted() {
        for (text, at) in [
            ("sudo rm x", 1),
            ("/usr/bin/sudo rm x", 1),
            ("SUDO rm x", 1),
            ("sudo -n -u ops -- rm x", 5),
            ("sudo --user=ops A=b rm x", 3),
            ("sudo -nu root rm x", 3),
            ("sudo -uroot -E rm x", 3),
            ("sudo -EHgadm -u ops -- A=b rm x", 6),
            (
                "sudo --preserve-env --set-home --non-interactive --group adm --group=x --user y rm x",
                9,
            ),
            ("doas -u ops rm x", 3),
            ("env A=b _C= rm x", 3),
            ("env -- rm x", 2),
            ("nohup /bin/rm x", 1),
            ("A=b rm x", 1),
            ("xargs rm", 1),
            ("busybox rm x", 1),
        ] {
            assert_eq!(of(text), Behind::At(at), "{text}");
        }
        for text in [
            "sudo -i rm x",
            "sudo -nC 5 rm x",
            "sudo - rm x",
            "sudo --chdir /x rm x",
            "sudo -- -x rm",
            "sudo rm;x",
            "env -i rm x",
            "env A-B=c rm x",
            "env 1A=c rm x",
            "/usr/bin/ld.so /bin/rm x",
            "timeout 5 rm x",
            "python3.11 -c x",
            "ksh93 x",
            "/lib64/ld-linux-x86-64.so.2 /bin/rm x",
            "su -c x",
        ] {
            assert_eq!(of(text), Behind::After(0), "{text}");
        }
    }

    #[test]
    fn words_that_a_program_takes_itself_are_no_command() {
        assert_eq!(of("docker -H x exec web rm y"), Behind::After(3));
        assert_eq!(of("find / -maxdepth 1 -ok rm {}"), Behind::After(4));
        assert_eq!(of("ip netns exec a rm x"), Behind::After(2));
        for text in [
            "sudo",
            "sudo -n",
            "env A=b",
            "echo rm x",
            "docker rm x",
            "find / -name rm",
            "ls",
            "5",
            "=x rm",
        ] {
            assert_eq!(of(text), Behind::Nothing, "{text}");
        }
        assert_eq!(behind(&[]), Behind::Nothing);
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(feeds(&words("sudo /usr/bin/xargs rm")) && !feeds(&words("sudo rm")));
    }
}
