//! What another server needs to run a task whose own server ended: the request, to be judged anew, and who asked.

use serde::{Deserialize, Serialize};
use sshepherd_model::{Request, Tag};

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
    #[serde(default)]
    tag: Option<Tag>,
    /// What of a person's yes another server may go on with.
    #[serde(default)]
    granted: Granted,
}

impl Errand {
    /// As it is stored.
    pub(crate) fn text(request: &Request, origin: &Origin, granted: &Granted) -> String {
        Self::stored(request, origin, None, granted)
    }

    /// The same for every host of a tag.
    pub(crate) fn of_group(
        request: &Request,
        origin: &Origin,
        tag: &Tag,
        granted: &Granted,
    ) -> String {
        Self::stored(request, origin, Some(tag.clone()), granted)
    }

    /// What of a person's yes was kept.
    pub(crate) fn granted(text: &str) -> Granted {
        serde_json::from_str::<Self>(text).map(|errand| errand.granted).unwrap_or_default()
    }

    /// The tag, if it is for every host of one.
    pub(crate) fn tag(text: &str) -> Option<Tag> {
        serde_json::from_str::<Self>(text).ok()?.tag
    }

    fn stored(request: &Request, origin: &Origin, tag: Option<Tag>, granted: &Granted) -> String {
        let errand = Self {
            command: request.command().to_owned(),
            cwd: request.cwd.clone(),
            env: request.env.clone(),
            stdin: request.stdin.clone(),
            client: origin.client.clone(),
            tag,
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
