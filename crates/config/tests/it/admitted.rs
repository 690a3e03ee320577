//! Calls that a typed rule admits, made from the rule itself: its options in every order and every way of writing them.

use std::collections::BTreeSet;

use sshepherd_policy::typed::{OperandSpec, OptionSpec, Order, ValueType};
use sshepherd_policy::{Rule, Spec, quote, recognise};

/// Words of which each type of value in the packs takes some; those that real programs know.
const WORDS: &str = "1 2 0 20 pid,args args pid,ppid,user,cmd,stat -rss pid cat init ssh.service cron /etc /var/log /var/log/dpkg.log \
    /usr/bin/env /etc/hosts /usr/share/doc/base-files/copyright /etc/sysctl.d/README.sysctl today -1h now json short err warning..err -1 f \
    *.conf root +1k 644 reboot +%F_%T service running,failed ActiveState,SubState Id name=web table 10m pods pods,svc pod/web wide web \
    app=web status.phase=Running .metadata.name deployment/web cpu bash libc6 -5";

/// Most options beside the required ones in one call, and in one of a slice.
const MOST: usize = 3;
const MOST_IN_A_SLICE: usize = 2;
/// So many calls of a rule and more are no slice.
const MANY: usize = 100;

/// At most `most` calls of a rule, spread over all that there are, and how many there are.
pub(crate) fn calls(rule: &Rule, pid: &str, most: usize) -> (Vec<Vec<String>>, usize) {
    let Some(spec) = &rule.spec else { panic!("{} is not typed", rule.id) };
    let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
    let together = if most < MANY { MOST_IN_A_SLICE } else { MOST };
    let none = vec![Vec::new()];
    let verbs = if spec.subcommands().is_empty() { &none } else { spec.subcommands() };
    for verb in verbs {
        let mut head = vec![spec.program().name().to_owned()];
        head.extend(verb.iter().cloned());
        of_verb(spec, &head, (pid, together), &mut all);
    }
    let all: Vec<Vec<String>> = all.into_iter().filter_map(|argv| admitted(rule, &argv)).collect();
    let there = all.len();
    let step = there.div_ceil(most).max(1);
    (all.into_iter().step_by(step).collect(), there)
}

/// What would be sent for a call; none where the rule does not take it after all.
fn admitted(rule: &Rule, argv: &[String]) -> Option<Vec<String>> {
    let text = argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
    let script = recognise(&text).ok()?;
    let [command] = script.commands() else { return None };
    rule.admits(command).ok()
}

fn of_verb(
    spec: &Spec,
    head: &[String],
    (pid, together): (&str, usize),
    all: &mut BTreeSet<Vec<String>>,
) {
    let (required, free): (Vec<&OptionSpec>, Vec<&OptionSpec>) =
        spec.options().iter().partition(|option| option.required);
    for chosen in sets(&free, together) {
        let options: Vec<&OptionSpec> = required.iter().chain(&chosen).copied().collect();
        // Which value goes with which option is not what is tried: all first ones, then all second ones.
        for turn in 0..2 {
            let written: Vec<Written> =
                options.iter().map(|option| Written::of(option, pid, turn)).collect();
            for order in orders(written.len()) {
                let ordered: Vec<&Written> =
                    order.iter().filter_map(|at| written.get(*at)).collect();
                for how in 0..4 {
                    let options = words(&ordered, how);
                    for operands in operands(spec.operands(), pid, turn) {
                        let mut call = head.to_vec();
                        if spec.order() == Order::Any && how % 2 == 1 {
                            call.extend(operands.iter().chain(&options).cloned());
                        } else {
                            call.extend(options.iter().chain(&operands).cloned());
                        }
                        all.insert(call);
                    }
                }
            }
        }
    }
}

/// All sets of at most so many options, a repeatable one also twice.
fn sets<'a>(options: &[&'a OptionSpec], together: usize) -> Vec<Vec<&'a OptionSpec>> {
    let mut sets: Vec<(usize, Vec<&OptionSpec>)> = vec![(0, Vec::new())];
    let mut done = 0;
    while let Some((from, set)) = sets.get(done).cloned() {
        done += 1;
        if set.len() == together {
            continue;
        }
        for (place, option) in options.iter().enumerate().skip(from) {
            let next = if option.repeatable && set.len() < 2 { place } else { place + 1 };
            let more = set.iter().copied().chain([*option]).collect();
            sets.push((next, more));
        }
    }
    sets.into_iter().map(|(_, set)| set).collect()
}

/// All orders of so many; of many, those that begin with each once.
fn orders(length: usize) -> Vec<Vec<usize>> {
    if length > 4 {
        return (0..length).map(|first| (first..length).chain(0..first).collect()).collect();
    }
    let mut orders = vec![Vec::new()];
    for _ in 0..length {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..length)
                    .filter(|at| !order.contains(at))
                    .map(|at| [order.clone(), vec![at]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    orders
}

/// One option with a value, by its short and its long name.
struct Written {
    short: Option<char>,
    long: Option<String>,
    value: Option<String>,
    attached: bool,
}

impl Written {
    fn of(option: &OptionSpec, pid: &str, turn: usize) -> Self {
        let letter = |name: &String| match name
            .strip_prefix('-')
            .map(|rest| rest.chars().collect::<Vec<_>>())
        {
            Some(letters) if letters.len() == 1 => letters.first().copied(),
            _ => None,
        };
        let long = option.names.iter().filter(|name| letter(name).is_none()).cloned();
        let long: Vec<String> = long.collect();
        let value = option
            .value
            .as_ref()
            .map(|value| samples(value, pid))
            .map(|samples| samples.get(turn).or(samples.first()).cloned().unwrap_or_default());
        Self {
            short: option.names.iter().find_map(letter),
            long: long.get(turn).or(long.first()).cloned(),
            value: if option.value_optional && turn == 0 { None } else { value },
            attached: option.value_optional,
        }
    }
}

/// The options as words: 0, 1 letters apart and long names with `=`; 2, 3 letters together and long names apart.
fn words(options: &[&Written], how: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut cluster = String::new();
    let flush = |cluster: &mut String, words: &mut Vec<String>| {
        if !cluster.is_empty() {
            words.push(format!("-{cluster}"));
            cluster.clear();
        }
    };
    for option in options {
        let by_letter = if how == 1 { option.long.is_none() } else { option.short.is_some() };
        match (by_letter, option.short, &option.long, &option.value) {
            (true, Some(letter), _, None) => {
                cluster.push(letter);
                if how < 2 {
                    flush(&mut cluster, &mut words);
                }
            }
            (true, Some(letter), _, Some(value)) => {
                cluster.push(letter);
                if how == 3 {
                    cluster.push_str(value);
                }
                flush(&mut cluster, &mut words);
                if how != 3 {
                    words.push(value.clone());
                }
            }
            (_, _, Some(long), value) => {
                flush(&mut cluster, &mut words);
                match value {
                    None => words.push(long.clone()),
                    Some(value) if (how < 2 || option.attached) && long.starts_with("--") => {
                        words.push(format!("{long}={value}"));
                    }
                    Some(value) => words.extend([long.clone(), value.clone()]),
                }
            }
            _ => {}
        }
    }
    flush(&mut cluster, &mut words);
    words
}

/// None and as few as may be; then one more of each kind.
fn operands(kinds: &[OperandSpec], pid: &str, turn: usize) -> Vec<Vec<String>> {
    let of = |more: usize| {
        kinds
            .iter()
            .flat_map(|kind| {
                let samples = samples(&kind.value, pid);
                let count = (kind.min + more).min(kind.max);
                (0..count)
                    .filter_map(move |at| samples.get((at + turn) % samples.len().max(1)).cloned())
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<String>>()
    };
    let mut both = vec![of(0), of(1)];
    both.dedup();
    both
}

fn samples(value: &ValueType, pid: &str) -> Vec<String> {
    let mut samples: Vec<String> = match value {
        ValueType::OneOf(words) => words.clone(),
        ValueType::Literal(word) => vec![word.clone()],
        ValueType::Integer { min, max } => vec![min.to_string(), max.min(&(min + 2)).to_string()],
        ValueType::Unit
        | ValueType::Path
        | ValueType::PathUnder(_)
        | ValueType::PathIn(_)
        | ValueType::HostName
        | ValueType::Time
        | ValueType::Matching(_) => {
            std::iter::once(pid).chain(WORDS.split_ascii_whitespace()).map(str::to_owned).collect()
        }
    };
    samples.retain(|word| value.takes(word));
    assert!(!samples.is_empty(), "no word for {value:?}: add one to WORDS");
    samples.truncate(3);
    samples
}
