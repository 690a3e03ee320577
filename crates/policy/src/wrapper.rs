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
const SOMEWHERE: &str = "abduco apptainer ash at autossh awk aws-vault bash batch bpftrace bun bundle bunx bwrap caffeinate \
    calife capsh catatonit cgexec chamber choom chpst chroot chrt conda cpulimit cronic cset csh daemon daemonize dash \
    dbus-launch dbus-run-session deno direnv distrobox doppler dotenv dtach dumb-init dzdo ed elixir elvish emacs entr \
    envconsul envdir erl escript ex execlineb expect fakechroot faketime firejail fish flock foreman forever gawk gdb \
    gdbserver ghci gksu gksudo gosu groovy guile hatch honcho hyperfine iex ifne ipython irb jexec jshell julia kdesu kdesudo \
    ksh lckdo less lftp logsave ltrace lua lxc-attach machinectl mamba mariadb mawk micromamba mksh mosh mpiexec mpirun mysql \
    nawk ncat newgrp nix-shell nocache node nodejs nodemon nq nsenter numactl nvim octave op openvt osascript overmind \
    parallel pdm pdsh perf perl pfexec php pipenv please pm2 pnpx poetry prlimit proot proxychains psexec psql pwsh pypy \
    python qemu-nsenter racket rbash retry rlwrap rscript rsh ruby run0 runcon runghc runuser rye s6-envdir s6-setlock \
    s6-setsid s6-setuidgid s6-softlimit s6-sudo sbcl scala schedtool schroot screen script sem setarch setlock setpriv \
    setuidgid sftp sg sh singularity slogin socat softlimit sops sqlite srun ssh ssh-agent sshpass start-stop-daemon strace \
    su su-exec supervisord sux systemd-nspawn taskset tclsh tcsh timelimit timeout tmux torsocks trap trickle ts-node tsocks \
    tsp tsx unshare uv uvx uxterm valgrind vault-env vi view vim watchexec with-contenv withlock xonsh xterm yash zsh";
/// A command follows one of these words.
const VERBS: [(&str, &str); 6] = [
    (
        "docker podman nerdctl crictl ctr lxc incus kubectl oc compose docker-compose",
        "exec run debug shell",
    ),
    ("find", "-exec -execdir -ok -okdir"),
    ("ip", "exec"),
    ("asdf mise nodenv pyenv rbenv rustup rtx", "exec run x"),
    ("npx npm yarn pnpm cargo go", "exec run"),
    ("git", "exec bisect rebase submodule filter-branch"),
];
/// They read commands from their input, or take one as a text behind `-c`.
const SHELLS: &str = "ash bash csh dash fish ksh mksh rbash sh tcsh yash zsh";
/// These take one behind `-c`, too.
const TEXTED: &str = "flock runuser script sg su";
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

/// Whether a list has a program, by its name with or without the digits at its end: `run0` is a name.
fn has(list: &str, word: &str) -> bool {
    listed(list, &known_as(word)) || listed(list, &base(word).to_ascii_lowercase())
}

/// `NAME=value`, as a shell, `env` and `sudo` set a variable.
pub(crate) fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Whether one of the words names a program that appends words of its input to what it runs.
pub(crate) fn feeds(words: &[String]) -> bool {
    words.iter().any(|word| feeds_others(word))
}

pub(crate) fn feeds_others(word: &str) -> bool {
    listed(FEEDS, &known_as(word))
}

/// Whether a program, or a word of the shell, runs the words that follow it as they are.
pub(crate) fn passes_on(word: &str) -> bool {
    has(DIRECT, word)
}

/// Whether a program reads commands.
pub(crate) fn is_shell(word: &str) -> bool {
    listed(SHELLS, &known_as(word))
}

/// Whether what runs stands in the input of `argv`.
pub(crate) fn reads_commands(argv: &[String]) -> bool {
    let mut rest = argv;
    while let Behind::At(place) = behind(rest) {
        rest = rest.get(place..).unwrap_or_default();
    }
    let shell = match behind(rest) {
        Behind::After(_) => rest.iter().position(|word| is_shell(word)),
        Behind::At(_) | Behind::Nothing => None,
    };
    let given = |words: &[String]| words.iter().skip(1).any(|word| takes_text(word));
    shell.and_then(|place| rest.get(place..)).is_some_and(|words| !given(words))
}

/// Whether a word is an option behind which a text for a shell stands: `-c`, `-lc`, `--command`.
fn takes_text(word: &str) -> bool {
    word == "--command" || (word.starts_with('-') && !word.starts_with("--") && word.contains('c'))
}

/// The texts for a shell, or for `env -S`, among the words of a command.
pub(crate) fn texts(argv: &[String]) -> impl Iterator<Item = &str> {
    let names = |list: &str| argv.iter().position(|word| listed(list, &known_as(word)));
    let from = |place: Option<usize>| place.and_then(|place| argv.get(place..)).unwrap_or_default();
    let shell = from(names(SHELLS).or_else(|| names(TEXTED)));
    let behind = shell.windows(2).filter_map(|pair| match pair {
        [option, text] if takes_text(option) => Some(text.as_str()),
        _ => None,
    });
    let env = from(names("env"));
    let glued = env.iter().filter_map(|word| match word.strip_prefix("--split-string=") {
        Some(text) => Some(text),
        None if word.starts_with('-') && !word.starts_with("--") => {
            word.split_once('S').map(|(_, text)| text)
        }
        None => None,
    });
    let apart = env.windows(2).filter_map(|pair| match pair {
        [option, text] if option.starts_with('-') && option.ends_with('S') => Some(text.as_str()),
        _ => None,
    });
    behind.chain(glued).chain(apart)
}

/// Options behind which a program takes a command of its own, or glued to them.
const OWN: [(&str, &str); 5] = [
    (
        "tar",
        "--checkpoint-action --to-command --use-compress-program --rsh-command --info-script --new-volume-script -I -F",
    ),
    ("git", "-c --config-env --exec-path --upload-pack --receive-pack"),
    ("rsync", "-e --rsh --rsync-path"),
    ("make gmake", "--eval -E"),
    ("zip", "-TT --unzip-command"),
];

/// The texts of such options, and of commands in a script of `sed`.
pub(crate) fn own(argv: &[String]) -> Vec<&str> {
    let Some((program, words)) = argv.split_first() else { return Vec::new() };
    let name = known_as(program);
    if name == "sed" {
        return words.iter().filter_map(|word| sed_runs(word)).collect();
    }
    let Some((_, options)) = OWN.iter().find(|(programs, _)| listed(programs, &name)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        for option in options.split_ascii_whitespace() {
            let Some(glued) = word.strip_prefix(option) else { continue };
            found.push(glued);
            found.extend(words.get(place + 1).map(String::as_str));
        }
    }
    found
}

/// What the command `e` of a script runs.
fn sed_runs(script: &str) -> Option<&str> {
    let (place, _) = script.match_indices("e ").find(|(place, _)| {
        let before = script.get(..*place).and_then(|head| head.chars().next_back());
        before.is_none_or(|last| last.is_ascii_digit() || SED_BEFORE.contains(last))
    })?;
    script.get(place + 2..)
}

/// What may stand before a command of `sed`, beside digits.
const SED_BEFORE: &str = "$/;{}! \n";

/// Whether `sed` runs the lines that it reads: an `e` by itself, or as a flag of `s`.
pub(crate) fn runs_its_input(argv: &[String]) -> bool {
    let Some((program, words)) = argv.split_first() else { return false };
    known_as(program) == "sed" && words.iter().any(|word| sed_runs_input(word))
}

fn sed_runs_input(script: &str) -> bool {
    let mut before = None;
    script.char_indices().any(|(place, letter)| {
        let first =
            before.is_none_or(|last: char| last.is_ascii_digit() || SED_BEFORE.contains(last));
        before = Some(letter);
        let rest = script.get(place + letter.len_utf8()..).unwrap_or_default();
        first
            && match letter {
                'e' => rest.trim_start().is_empty() || rest.starts_with(['\n', ';', '}']),
                's' => substitution_flags(rest).is_some_and(|flags| flags.contains('e')),
                _ => false,
            }
    })
}

/// The flags behind the `s` of a script.
fn substitution_flags(rest: &str) -> Option<&str> {
    let mut letters = rest.char_indices();
    let (_, mark) = letters.next()?;
    let (mut seen, mut escaped) = (0, false);
    for (place, letter) in letters {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == mark => seen += 1,
            _ => {}
        }
        if seen == 2 {
            let flags = rest.get(place + letter.len_utf8()..)?;
            let end = flags.find(|flag: char| !flag.is_ascii_alphanumeric()).unwrap_or(flags.len());
            return flags.get(..end);
        }
    }
    None
}

/// Where a command within `argv` begins.
pub(crate) fn behind(argv: &[String]) -> Behind {
    let Some(program) = argv.first() else { return Behind::Nothing };
    if assigns(program) {
        return direct(argv, 1);
    }
    let name = known_as(program);
    if has(DIRECT, program) {
        let after = if matches!(name.as_str(), "sudo" | "doas") { as_another(argv) } else { 1 };
        return direct(argv, after);
    }
    if has(SOMEWHERE, program) || name.starts_with("ld-linux") || name.starts_with("ld.so") {
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
    fn a_script_of_sed_that_runs_what_it_reads_is_known() {
        let runs = |script: &str| runs_its_input(&["sed".to_owned(), script.to_owned()]);
        for script in
            ["s/x/y/e", "1s,a,b\\,c,ge", "/x/s|a|b|2e;p", "e", "1e", "1{e}", "p;e;p", "$!s/a/é/Ie"]
        {
            assert!(runs(script), "{script}");
        }
        for script in ["s/x/y/", "s/e/e/g", "s/x", "s", "-n", "1p", "/e/d", "s/\\//e/"] {
            assert!(!runs(script), "{script}");
        }
        assert!(runs_its_input(&["/bin/SED".to_owned(), "-E".to_owned(), "s/x/y/e".to_owned()]));
        assert!(!runs_its_input(&["ed".to_owned(), "s/x/y/e".to_owned()]) && !runs_its_input(&[]));
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
