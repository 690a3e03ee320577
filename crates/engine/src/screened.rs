//! Output as it may be read: every face shows what these functions give, never the bytes themselves.
//!
//! What stands before and after a piece is read too, so that an escape sequence or a secret across its border is seen.

use std::ffi::OsString;
use std::sync::OnceLock;

use sshepherd_model::{AuthMethod, Inventory, TaskId, TextEncoding};
use sshepherd_sanitise::screen::CONTEXT;
use sshepherd_sanitise::{More, Screen, View};
use sshepherd_store::{Error, HeadTail, Lookup, Page, StreamFilter, TailLines};

use crate::config::Config;
use crate::engine::Engine;

/// The screen of one configuration, made when it is first wanted: it knows the secrets of its log-ins.
#[derive(Debug, Default)]
pub struct OwnScreen(OnceLock<Screen>);

impl Config {
    /// Removes what lies and redacts the secrets of this configuration.
    #[must_use]
    pub fn screen(&self) -> &Screen {
        self.screen.0.get_or_init(|| Screen::new(self.secrets()))
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let typed = self.typed_secrets.values().map(sshepherd_model::Secret::expose);
        secrets(&self.inventory).into_iter().chain(typed)
    }

    /// The variables of our own environment that hold secrets: no program that we start is to have them.
    pub(crate) fn secret_variables(&self) -> Vec<OsString> {
        let holds = |(name, value): &(OsString, OsString)| {
            SECRET_PREFIXES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix))
                || self.secrets().any(|secret| value.as_encoded_bytes() == secret.as_bytes())
        };
        std::env::vars_os().filter(holds).map(|(name, _)| name).collect()
    }
}

/// How the names of variables begin that are there to hold secrets.
const SECRET_PREFIXES: [&[u8]; 2] = [b"SSHEPHERD_SECRET_", b"MCP_SSH_SECRET_"];

/// Every password and passphrase.
fn secrets(inventory: &Inventory) -> Vec<&str> {
    let logins = inventory.credentials();
    logins
        .flat_map(|credential| &credential.methods)
        .filter_map(|method| match method {
            AuthMethod::Password(secret) => Some(secret.expose()),
            AuthMethod::Key { passphrase, .. } => {
                passphrase.as_ref().map(sshepherd_model::Secret::expose)
            }
            AuthMethod::Agent { .. } | AuthMethod::Interactive | AuthMethod::Unusable { .. } => {
                None
            }
        })
        .collect()
}

/// The bytes of a page.
fn flat(page: &Page) -> Vec<u8> {
    page.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

impl Engine {
    /// A page as it may be read, and where to go on; its lines are those of its bytes. Of a task that runs, the end is held back
    /// that more output could make a secret of: it is read again.
    pub async fn view_page(
        &self,
        id: &TaskId,
        page: &Page,
        filter: StreamFilter,
        more: More,
    ) -> Result<(View, u64), Error> {
        let bytes = flat(page);
        let before = self.before(id, page.from, filter).await?;
        let after = self.after(id, page.next, filter).await?;
        let (config, encoding) = (self.config(), self.encoding_of(id).await);
        let view = config.screen().of(encoding).view_of(&before, &bytes, &after, more);
        let next = match bytes.len() - view.held {
            _ if view.held == 0 => page.next,
            0 => page.from,
            shown => {
                let part = self.page(id, page.from, shown, filter).await?;
                part.found().map_or(page.next, |part| part.next)
            }
        };
        Ok((view, next))
    }

    /// What the bytes of a task's output mean, if they are not UTF-8; nothing is looked up where no host has such an encoding.
    pub async fn encoding_of(&self, id: &TaskId) -> Option<TextEncoding> {
        let config = self.config();
        if config.inventory.hosts().iter().all(|host| host.connection.encoding.is_none()) {
            return None;
        }
        let task = self.task(id).await.ok()?.found()?;
        config.inventory.host(&task.alias)?.connection.encoding
    }

    /// What stands before offset `to` and may be needed to read what follows.
    pub async fn context(
        &self,
        id: &TaskId,
        to: u64,
        filter: StreamFilter,
    ) -> Result<Vec<u8>, Error> {
        self.before(id, to, filter).await
    }

    /// The last lines as they may be read.
    pub async fn view_tail(
        &self,
        id: &TaskId,
        tail: &TailLines,
        more: More,
    ) -> Result<View, Error> {
        let mut bytes = tail.lines.join(&b'\n');
        let config = self.config();
        if tail.lines.is_empty() {
            return Ok(View::default());
        }
        let before = self.before(id, tail.from, StreamFilter::Both).await?;
        if tail.ended {
            bytes.push(b'\n');
        }
        let encoding = self.encoding_of(id).await;
        Ok(config.screen().of(encoding).view_of(&before, &bytes, &[], more))
    }

    /// Beginning and end as they may be read.
    pub async fn view_ends(
        &self,
        id: &TaskId,
        ends: &HeadTail,
        filter: StreamFilter,
    ) -> Result<(View, View), Error> {
        let join = |chunks: &[sshepherd_model::Chunk]| -> Vec<u8> {
            chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
        };
        let (head, tail) = (join(&ends.head), join(&ends.tail));
        let config = self.config();
        let lens = config.screen().of(self.encoding_of(id).await);
        if ends.missing == 0 && tail.is_empty() {
            return Ok((lens.whole(&head), View::default()));
        }
        let (after, before) = match filter {
            StreamFilter::Both => (
                self.after(id, head.len() as u64, filter).await?,
                self.before(id, ends.total - tail.len() as u64, filter).await?,
            ),
            // Of one stream the places are not known: what stands around its pieces is in a wider look at it.
            StreamFilter::Stdout | StreamFilter::Stderr => {
                let budget = 2 * (head.len().max(tail.len()) + CONTEXT);
                let wide = self.store().head_tail(id, budget, filter).await?.found();
                let wide =
                    wide.map(|wide| (join(&wide.head), join(&wide.tail))).unwrap_or_default();
                let after = wide.0.get(head.len()..).unwrap_or_default().to_vec();
                let last = if wide.1.is_empty() { wide.0 } else { wide.1 };
                let before = last.strip_suffix(tail.as_slice()).unwrap_or_default().to_vec();
                (after, before)
            }
        };
        Ok((lens.view(&[], &head, &after), lens.view(&before, &tail, &[])))
    }

    /// What stands before offset `to`, from a whole line on where one begins within reach.
    async fn before(&self, id: &TaskId, to: u64, filter: StreamFilter) -> Result<Vec<u8>, Error> {
        let from = to.saturating_sub(CONTEXT as u64);
        let most = usize::try_from(to - from).unwrap_or(CONTEXT);
        if most == 0 {
            return Ok(Vec::new());
        }
        let Some((page, bytes)) = self.around(id, from, most, filter).await? else {
            return Ok(Vec::new());
        };
        // A hole between, or a page that a hole cut short: nothing that is whole up to there.
        if page.next != to {
            return Ok(Vec::new());
        }
        let begins = page.from > 0 && page.missing_before == 0;
        let line = bytes.iter().position(|byte| *byte == b'\n').filter(|_| begins);
        Ok(bytes.get(line.map_or(0, |newline| newline + 1)..).unwrap_or_default().to_vec())
    }

    async fn after(&self, id: &TaskId, from: u64, filter: StreamFilter) -> Result<Vec<u8>, Error> {
        let found = self.around(id, from, CONTEXT, filter).await?;
        Ok(found
            .filter(|(page, _)| page.missing_before == 0)
            .map_or_else(Vec::new, |(_, bytes)| bytes))
    }

    /// Both streams from `from` on, of which the bytes that pass the filter.
    async fn around(
        &self,
        id: &TaskId,
        from: u64,
        most: usize,
        filter: StreamFilter,
    ) -> Result<Option<(Page, Vec<u8>)>, Error> {
        let page = match self.page(id, from, most, StreamFilter::Both).await {
            Ok(Lookup::Found(page)) => page,
            Ok(Lookup::Expired | Lookup::Unknown) | Err(Error::BeyondEnd { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let passing = page.chunks.iter().filter(|chunk| filter.passes(chunk.stream));
        let bytes = passing.flat_map(|chunk| chunk.bytes.iter().copied()).collect();
        Ok(Some((page, bytes)))
    }
}
