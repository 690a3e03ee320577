//! Any text is a policy or a list of problems with places, and a policy judges any command without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sshepherd_config::read_policy;
use sshepherd_model::{Host, Inventory, LoginShell, Request};

fuzz_target!(|input: (&str, &str)| {
    let (text, command) = input;
    let host = Host {
        alias: "web1".parse().expect("an alias"),
        address: "192.0.2.1".to_owned(),
        port: 22,
        credentials: "ops".parse().expect("a name"),
        tags: vec!["web".parse().expect("a tag")],
        description: String::new(),
        login_shell: LoginShell::Posix,
        jump: None,
    };
    let inventory = Inventory::new(vec![host.clone()], Vec::new());
    let (policy, problems) = read_policy(text, &inventory);
    for problem in &problems {
        assert!(!problem.message.is_empty());
    }
    if let (Some(policy), Ok(request)) = (policy, Request::new(command)) {
        let explained = policy.explain(&host, &request);
        assert_eq!(explained.allowed, explained.denial.is_none() && explained.asks.is_none());
        let _ = sshepherd_policy::lint(&policy, &inventory);
    }
});
