//! What another server needs to run a task whose own server ended: the request, to be judged anew, and who asked.

use serde::{Deserialize, Serialize};
use sshepherd_model::{Request, Tag, Targets};

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
    /// What of a person's yes another server may go on with.
    #[serde(default)]
    granted: Granted,
}

impl Errand {
    /// As it is stored.
    pub(crate) fn text(request: &Request, origin: &Origin, granted: &Granted) -> String {
        Self::stored(request, origin, None, granted)
    }

    /// The same for many hosts.
    pub(crate) fn of_group(
        request: &Request,
        origin: &Origin,
        targets: &Targets,
        granted: &Granted,
    ) -> String {
        Self::stored(request, origin, Some(targets), granted)
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
        targets: Option<&Targets>,
        granted: &Granted,
    ) -> String {
        let (tag, on) = match targets {
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
            granted: granted.clone(),
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
