//! What another server needs to run a task whose own server ended: the request, to be judged anew, and who asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sshepherd_model::{Request, Rollout, Share, Tag, Targets};

use crate::approval::Granted;
use crate::pipeline::Origin;

/// Kept with the task until it has ended. It is a request, not a permission: whoever resumes the task judges it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    command: String,
    cwd: Option<String>,
    env: Vec<(String, String)>,
    stdin: Option<String>,
    client: Option<String>,
    /// For every host of this tag, as one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    /// The same for every host that this selector takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    /// How it goes over them.
    #[serde(default, skip_serializing_if = "Way::is_plain")]
    way: Way,
    /// What of a person's yes another server may go on with.
    #[serde(default)]
    granted: Granted,
}

/// A rollout as it is stored.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Way {
    canary: bool,
    batch: Option<String>,
    stop_after: Option<String>,
    deadline_ms: Option<u64>,
    gate: Option<String>,
}

impl Way {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn of(rollout: &Rollout) -> Self {
        let share = |share: &Option<Share>| share.map(|share| share.to_string());
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            canary: rollout.canary,
            batch: share(&rollout.batch),
            stop_after: share(&rollout.stop_after),
            deadline_ms: rollout.deadline.map(millis),
            gate: rollout.gate.as_ref().map(|gate| gate.command().to_owned()),
        }
    }

    fn rollout(self) -> Rollout {
        let share = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Rollout {
            canary: self.canary,
            batch: share(self.batch),
            stop_after: share(self.stop_after),
            deadline: self.deadline_ms.map(Duration::from_millis),
            gate: self.gate.and_then(|text| Request::new(&text).ok()),
        }
    }
}

impl Errand {
    /// As it is stored.
    pub(crate) fn text(request: &Request, origin: &Origin, granted: &Granted) -> String {
        Self::stored(request, origin, None, granted)
    }

    /// The same for many hosts.
    pub(crate) fn of_group(
        (request, rollout): (&Request, &Rollout),
        origin: &Origin,
        targets: &Targets,
        granted: &Granted,
    ) -> String {
        Self::stored(request, origin, Some((targets, rollout)), granted)
    }

    /// How it goes over its hosts.
    pub(crate) fn rollout(text: &str) -> Rollout {
        let errand = serde_json::from_str::<Self>(text);
        errand.map(|errand| errand.way.rollout()).unwrap_or_default()
    }

    /// What of a person's yes was kept.
    pub(crate) fn granted(text: &str) -> Granted {
        serde_json::from_str::<Self>(text).map(|errand| errand.granted).unwrap_or_default()
    }

    /// The hosts, if it is for many.
    pub(crate) fn targets(text: &str) -> Option<Targets> {
        let errand: Self = serde_json::from_str(text).ok()?;
        let on = errand.on.and_then(|text| text.parse().ok()).map(Targets::On);
        errand.tag.map(Targets::Tag).or(on)
    }

    fn stored(
        request: &Request,
        origin: &Origin,
        group: Option<(&Targets, &Rollout)>,
        granted: &Granted,
    ) -> String {
        let (tag, on) = match group.map(|(targets, _)| targets) {
            None => (None, None),
            Some(Targets::Tag(tag)) => (Some(tag.clone()), None),
            Some(Targets::On(selector)) => (None, Some(selector.to_string())),
        };
        let errand = Self {
            command: request.command().to_owned(),
            cwd: request.cwd.clone(),
            env: request.env.clone(),
            stdin: request.stdin.clone(),
            client: origin.client.clone(),
            tag,
            on,
            way: group.map(|(_, rollout)| Way::of(rollout)).unwrap_or_default(),
            granted: granted.kept(),
        };
        // A struct of texts always has a form in JSON.
        serde_json::to_string(&errand).unwrap_or_default()
    }

    /// Reads it back; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<(Request, Origin)> {
        let errand: Self = serde_json::from_str(text).ok()?;
        let mut request = Request::new(&errand.command).ok()?;
        request.cwd = errand.cwd;
        request.env = errand.env;
        request.stdin = errand.stdin;
        Some((request, Origin { face: "resumed", client: errand.client }))
    }
}
