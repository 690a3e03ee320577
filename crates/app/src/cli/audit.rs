//! `audit verify|show`: the record of what was decided and done, afterwards.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sshepherd_engine::audit::{Found, Record, Report, State, Timestamp, series, verify};

use super::args::{Audit, Global, Shown};
use super::context;
use super::exit::Exit;
use super::follow::{self, Follower};
use super::out;
use crate::answer;

/// Checks or prints.
pub(crate) async fn audit(global: &Global, what: &Audit) -> Exit {
    let done = match what {
        Audit::Verify { file, from, checkpoints } => {
            check(global, file.as_deref(), *from, checkpoints.clone())
        }
        Audit::Show(shown) => show(global, shown).await,
    };
    done.unwrap_or_else(|exit| exit)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exit {
    out::complain(&format!("{}: {error}", path.display()));
    Exit::Usage
}

/// The file that was given or is configured, and the configured checkpoints beside the latter.
fn chosen(global: &Global, file: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>), Exit> {
    if let Some(file) = file {
        return Ok((file.to_owned(), None));
    }
    let audit = context::load_to_judge(global)?.settings.audit;
    match audit.path {
        Some(path) => Ok((path, audit.checkpoint_file)),
        None => {
            out::complain("no audit file is configured (audit.path in sshepherd.yml); name one");
            Err(Exit::Usage)
        }
    }
}

fn check(
    global: &Global,
    file: Option<&Path>,
    from: u64,
    checkpoints: Option<PathBuf>,
) -> Result<Exit, Exit> {
    let (path, configured) = chosen(global, file)?;
    let files = series(&path).map_err(|error| unreadable(&path, &error))?;
    let points = checkpoints.or(configured);
    let report =
        verify(&files, from, points.as_deref()).map_err(|error| unreadable(&path, &error))?;
    if global.json {
        out::json(&document(&report));
    } else {
        tell(&report, points.as_deref());
    }
    Ok(match report.state {
        State::Whole | State::Unfinished { .. } => Exit::Done,
        State::Before { .. } | State::Bad { .. } => Exit::Failed,
    })
}

fn document(report: &Report) -> Value {
    let mut document = json!({
        "files": report.files, "records": report.records, "first": report.first, "last": report.last, "hash": report.hash,
        "vouched_bytes": report.vouched, "checkpoints": report.checkpoints, "whole_to": report.last,
        "anchored_to": report.anchored,
    });
    let state = match &report.state {
        State::Whole if report.anchored == report.last => json!({ "state": "whole" }),
        State::Whole => json!({ "state": "unanchored" }),
        State::Unfinished { bytes } => json!({ "state": "unfinished", "bytes": bytes }),
        State::Before { bytes } => json!({ "state": "before", "bytes": bytes }),
        State::Bad { file, line, what } => {
            json!({ "state": "bad", "file": file, "line": line, "what": what })
        }
    };
    if let (Some(document), Value::Object(state)) = (document.as_object_mut(), state) {
        document.extend(state);
    }
    document
}

fn tell(report: &Report, points: Option<&Path>) {
    let (last, anchored) = (report.last, report.anchored);
    out::line(&format!("whole to record {last}, anchored to {anchored}"));
    if report.vouched > 0 {
        out::line(&format!(
            "{} bytes between the records are none of the chain (an older version's, or cut short by a crash); the record \
             after each of them vouches for them",
            report.vouched
        ));
    }
    match &report.state {
        State::Whole => {}
        State::Unfinished { bytes } => out::line(&format!(
            "the last line, {bytes} bytes, is not finished, as after a crash; the next record vouches for it"
        )),
        State::Before { bytes } => out::line(&format!(
            "no chain yet: {bytes} bytes of a version that had none; the next record vouches for them"
        )),
        State::Bad { file, line: 0, what } => {
            out::line(&format!("BAD  {}: {what}", file.display()))
        }
        State::Bad { file, line, what } => {
            out::line(&format!("BAD  {}:{line}: {what}", file.display()));
        }
    }
    if anchored < last {
        out::line(&format!(
            "no checkpoint tells of a record after {anchored}: more than those to {last} may have been there, or others"
        ));
    }
    out::line(&format!(
        "{} records, {} to {}, in {} files; the last is {}",
        report.records,
        report.first,
        report.last,
        report.files.len(),
        report.hash
    ));
    match points {
        Some(path) => {
            out::line(&format!("{} checkpoints of {} agree", report.checkpoints, path.display()));
            out::say(
                "checkpoints are not signed: they are worth as much as the place that they are kept in is out of reach",
            );
        }
        None => out::say("audit.checkpoints in sshepherd.yml tells another place of the chain"),
    }
}

async fn show(global: &Global, shown: &Shown) -> Result<Exit, Exit> {
    let (path, _) = chosen(global, shown.file.as_deref())?;
    let since = shown.since.as_deref().map(time).transpose()?;
    let files = series(&path).map_err(|error| unreadable(&path, &error))?;
    let (mut last, mut seen, mut outside, mut junk) = (VecDeque::new(), 0, 0_u64, 0_u64);
    // Without its beginning nothing tells that the chain is the one that was written.
    let mut first = None;
    let keep = |found: Found| {
        let (record, chained) = match found {
            Found::Chained(record) => {
                let begins = *first.get_or_insert(record.seq) == shown.from;
                (record, begins)
            }
            Found::Outside(record) => (record, false),
            Found::Junk(bytes) => {
                junk += bytes;
                return;
            }
        };
        seen = seen.max(record.seq);
        outside += u64::from(!chained);
        if wanted(shown, since, &record) {
            if last.len() >= shown.limit.max(1) {
                last.pop_front();
            }
            last.push_back((*record, chained));
        }
    };
    sshepherd_engine::audit::verify::read(&files, keep)
        .map_err(|error| unreadable(&path, &error))?;
    let whole = outside == 0
        && verify(&files, shown.from, None)
            .is_ok_and(|report| matches!(report.state, State::Whole | State::Unfinished { .. }));
    if !whole {
        complain(first, shown.from, outside, junk);
    }
    if shown.follow {
        let print = |record: &Record, chained: bool| match global.json {
            true => out::taken(&marked(record, chained).to_string()),
            false => out::taken(&line(record, chained)),
        };
        let mut open = last.iter().all(|(record, chained)| print(record, *chained));
        let mut follower = Follower::new(path.clone(), seen);
        let mut tick = tokio::time::interval(follow::LOOK_EVERY);
        while open {
            tick.tick().await;
            let new = follower.look().map_err(|error| unreadable(&path, &error))?;
            let new = new.iter().filter(|(record, _)| wanted(shown, since, record));
            open = new.fold(true, |open, (record, chained)| open && print(record, *chained));
        }
    } else if global.json {
        let records: Vec<Value> =
            last.iter().map(|(record, chained)| marked(record, *chained)).collect();
        out::json(&json!({ "records": records }));
    } else {
        last.iter().for_each(|(record, chained)| out::line(&line(record, *chained)));
    }
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

/// Says why not everything that is shown is in the chain.
fn complain(first: Option<u64>, from: u64, outside: u64, junk: u64) {
    out::complain(&match first.filter(|first| *first != from) {
        Some(first) => format!(
            "the chain begins with record {first}, not {from}: what came before was taken away; if it was put elsewhere on \
             purpose, say --from {first}"
        ),
        None => format!(
            "the chain of these records is not whole: {outside} records and {junk} bytes of other lines are outside it, marked \
             with {OUTSIDE}; `sshepherd audit verify` says where it breaks"
        ),
    });
}

/// Stands before a record that the chain does not vouch for.
const OUTSIDE: &str = "OUTSIDE";

/// A record as JSON; one outside the chain says so.
fn marked(record: &Record, chained: bool) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let Some(fields) = value.as_object_mut().filter(|_| !chained) {
        fields.insert("outside_chain".to_owned(), Value::Bool(true));
    }
    value
}

fn time(text: &str) -> Result<Timestamp, Exit> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00.000Z") };
    whole.parse().map_err(|error| {
        out::complain(&format!("--since {text}: {error}"));
        Exit::Usage
    })
}

fn wanted(shown: &Shown, since: Option<Timestamp>, record: &Record) -> bool {
    let entry = &record.entry;
    let decided = entry.decision.as_ref().map(word);
    shown
        .host
        .as_ref()
        .is_none_or(|host| entry.alias.as_ref().is_some_and(|alias| alias.as_str() == host))
        && shown.task.as_ref().is_none_or(|id| {
            entry.task_id.as_ref().is_some_and(|task| task.as_str().starts_with(id.as_str()))
        })
        && shown.event.as_deref().is_none_or(|wanted| word(&entry.event) == wanted)
        && shown.decision.as_deref().is_none_or(|wanted| decided.as_deref() == Some(wanted))
        && since.is_none_or(|since| entry.ts >= since)
}

/// A record for people.
fn line(record: &Record, chained: bool) -> String {
    let entry = &record.entry;
    let mark = if chained { String::new() } else { format!("{OUTSIDE}  ") };
    let mut line = format!("{mark}{:>7}  {}  ", record.seq, entry.ts);
    line.push_str(&word(&entry.event));
    if let Some(decision) = &entry.decision {
        line.push_str(&format!(" {}", word(decision)));
    }
    let fields = [
        ("", entry.alias.as_ref().map(ToString::to_string)),
        ("answer=", entry.answer.clone()),
        ("by=", entry.by.clone()),
        ("approval=", entry.approval_id.as_ref().map(ToString::to_string)),
        ("rules=", (!entry.rules.is_empty()).then(|| entry.rules.join(","))),
        ("outcome=", entry.outcome.clone()),
        ("status=", entry.exit_status.map(|status| status.to_string())),
        ("reason=", entry.reason.clone()),
        ("enforcement=", entry.enforcement.clone()),
        ("task=", entry.task_id.as_ref().map(ToString::to_string)),
        ("hash=", entry.hash.as_ref().map(ToString::to_string)),
        ("client=", entry.source.client.clone()),
        ("", entry.command.clone()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line.push_str(&format!("  {name}{}", answer::visible(&value)));
        }
    }
    line
}

/// A word as it stands in the record.
fn word(value: &impl serde::Serialize) -> String {
    let written = serde_json::to_value(value).ok();
    written.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}
