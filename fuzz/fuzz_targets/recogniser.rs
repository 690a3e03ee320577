//! Any text is understood or refused, and what is understood is understood again as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sshepherd_policy::recognise;

fuzz_target!(|text: &str| {
    match recognise(text) {
        Err(refusal) => assert!(text.is_char_boundary(refusal.offset)),
        Ok(script) => {
            let again = recognise(&script.canonical()).expect("the canonical form is understood");
            assert_eq!(again.canonical(), script.canonical());
            let argvs = |script: &sshepherd_policy::Script| -> Vec<Vec<String>> {
                script.commands().iter().map(|command| command.argv().to_vec()).collect()
            };
            assert_eq!(argvs(&again), argvs(&script));
        }
    }
});
