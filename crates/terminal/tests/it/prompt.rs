//! What looks like a prompt, and what only ends like one.

use sshepherd_terminal::looks_like_prompt;

#[test]
fn prompts_and_questions_are_seen() {
    for line in [
        "$ ",
        "# ",
        "> ",
        "% ",
        ">>> ",
        "... ",
        "user@web1:~$ ",
        "root@web1:/etc# ",
        "[root@web1 ~]# ",
        "[user@web1 ~]$ ",
        "bash-5.2$ ",
        "sh-5.1# ",
        "web1% ",
        "user@web1 ~ % ",
        "~/src ❯ ",
        "➜  src git:(main) ✗ ",
        "mysql> ",
        "    -> ",
        "postgres=# ",
        "postgres=> ",
        "postgres(# ",
        "127.0.0.1:6379> ",
        "sqlite> ",
        "(gdb) ",
        "(Pdb) ",
        "In [1]: ",
        "irb(main):001:0> ",
        "PS /home/user> ",
        "(venv) user@web1:~$ ",
        "Password: ",
        "Password:",
        "[sudo] password for user: ",
        "user@web1's password: ",
        "Enter passphrase for key '/home/user/.ssh/id_ed25519': ",
        "web1 login: ",
        "Verification code: ",
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
        "Do you want to continue? [Y/n] ",
        "Is this ok [y/N]: ",
        "Proceed (y/n)?",
        "rm: remove regular file 'a'? ",
        "Your name: ",
        "Press any key to continue...",
        "Press ENTER to continue",
        "--More--(23%)",
        "(END)",
        ":",
        "100%\r$ ",
    ] {
        assert!(looks_like_prompt(line), "{line:?}");
    }
}

#[test]
fn output_is_not() {
    for line in [
        "",
        " ",
        "total 12",
        "100% ",
        " 45% ",
        "Downloading 45.2% ",
        "[ 45% ",
        "50%|█████     | 5/10 ",
        "Downloading... ",
        "Downloading: ",
        "Reading package lists... ",
        "Progress: ",
        "ETA: ",
        "12:30: ",
        "It costs 5 $ ",
        "########## ",
        "## ",
        "<p> <b> ",
        "a -> ",
        "cp a b => ",
        "drwxr-xr-x 2 root root 4096 Jan  1 00:00 etc",
        "Done.",
        "error: no such file",
        "What? said he",
        "? ",
        ": ",
        "user@web1:~$ ls",
        "$  ",
        "Setting up libc6 (2.36-9) ",
    ] {
        assert!(!looks_like_prompt(line), "{line:?}");
    }
    assert!(!looks_like_prompt(&format!("{}$ ", "x".repeat(1000))));
}
