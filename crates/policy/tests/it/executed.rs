//! Typed rules against real shells: what runs is what was judged, word by word.
//!
//! A slice runs each time; `SSHEPHERD_DIFFERENTIAL=5000` runs as many commands as that. The engine's tests do the same with
//! what is launched, and in fish and csh.

use sshepherd_model::Request;
use sshepherd_policy::Verdict;

use crate::commands::{Numbers, policy, wanted};
use crate::shells::Shells;
use crate::site::host;

/// Commands of the slice.
const SLICE: usize = 150;

#[test]
fn what_a_typed_rule_takes_runs_word_by_word_in_every_shell() {
    let (wanted, policy) = (wanted(SLICE), policy());
    let (shells, host, mut numbers) = (Shells::open(), host("web1", &[]), Numbers(2026));
    let (mut taken, mut executed) = (0, 0);
    while taken < wanted {
        let (commands, text) = numbers.list();
        let Ok(request) = Request::new(&text) else { continue };
        let wire = match policy.judge(&host, &request) {
            Verdict::Allow(permit) => permit.into_parts().wire,
            Verdict::Ask(_) | Verdict::Deny(_) => {
                panic!("{text:?}: {:?}", policy.explain(&host, &request).denial)
            }
        };
        taken += commands.len();
        let mut judged = commands;
        judged.sort();
        for (shell, (ran, _)) in shells.run(&wire) {
            assert_eq!(ran, judged, "{shell} ran something else for {text:?}, sent as {wire:?}");
            executed += ran.len();
        }
    }
    println!("{taken} commands, {executed} executions, 0 mismatches");
}
