//! Commands with the verdict that a policy should give, one JSON object a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sshepherd_model::{Host, InvalidField, Request};

use crate::explain::Answer;
use crate::policy::Policy;

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The command.
    pub command: String,
    /// The right verdict.
    pub expect: Expect,
    /// Why it is right.
    #[serde(default)]
    pub why: String,
    /// The working folder asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The variables asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The standard input given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

impl Case {
    fn request(&self) -> Result<Request, InvalidField> {
        let mut request = Request::new(&self.command)?;
        request.cwd.clone_from(&self.cwd);
        request.env = self.env.clone().into_iter().collect();
        request.stdin.clone_from(&self.stdin);
        Ok(request)
    }
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// It may run.
    Allow,
    /// A person is asked first.
    Ask,
    /// It may not.
    Deny,
}

/// A case that came out wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The verdict that the policy gives.
    pub got: Expect,
    /// What decided: a denial's message, or the deciding rules.
    pub because: String,
}

/// Judges one case for `host`. A command whose shape is refused before any policy counts as denied.
#[must_use]
pub fn judge_case(policy: &Policy, host: &Arc<Host>, case: &Case) -> Option<Mismatch> {
    let (got, because) = match case.request() {
        Err(invalid) => (Expect::Deny, invalid.to_string()),
        Ok(request) => {
            let explanation = policy.explain(host, &request);
            match explanation.denial {
                Some(denial) => (Expect::Deny, denial.message),
                None => {
                    let verdict = match explanation.answer {
                        Answer::Ask => Expect::Ask,
                        Answer::Allow | Answer::Deny => Expect::Allow,
                    };
                    let by: Vec<String> =
                        explanation.commands.into_iter().filter_map(|part| part.by).collect();
                    (verdict, format!("decided by {}", by.join(", ")))
                }
            }
        }
    };
    (got != case.expect).then_some(Mismatch { got, because })
}
