//! Output as it may be read: every face shows what these functions give, never the bytes themselves.
//!
//! What stands before and after a piece is read too, so that an escape sequence or a secret across its border is seen.

use std::sync::OnceLock;

use sshepherd_model::{AuthMethod, Inventory, TaskId};
use sshepherd_sanitise::screen::CONTEXT;
use sshepherd_sanitise::{Screen, View};
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
        self.screen.0.get_or_init(|| Screen::new(secrets(&self.inventory)))
    }
}

/// Every password and passphrase that a host is logged in to with.
fn secrets(inventory: &Inventory) -> Vec<&str> {
    let logins = inventory.hosts().iter().filter_map(|host| inventory.credential(host));
    logins
        .flat_map(|credential| &credential.methods)
        .filter_map(|method| match method {
            AuthMethod::Password(secret) => Some(secret.expose()),
            AuthMethod::Key { passphrase, .. } => {
                passphrase.as_ref().map(sshepherd_model::Secret::expose)
            }
            AuthMethod::Agent { .. } | AuthMethod::Interactive => None,
        })
        .collect()
}

/// The bytes of a page.
fn flat(page: &Page) -> Vec<u8> {
    page.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

impl Engine {
    /// A page as it may be read; its lines are those of its bytes.
    pub async fn view_page(
        &self,
        id: &TaskId,
        page: &Page,
        filter: StreamFilter,
    ) -> Result<View, Error> {
        self.view(id, page.from, &flat(page), page.next, filter).await
    }

    /// The last lines as they may be read.
    pub async fn view_tail(&self, id: &TaskId, tail: &TailLines) -> Result<View, Error> {
        let bytes = tail.lines.join(&b'\n');
        let config = self.config();
        if tail.lines.is_empty() {
            return Ok(View::default());
        }
        let before = self.before(id, tail.from, StreamFilter::Both).await?;
        Ok(config.screen().view(&before, &bytes, &[]))
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
        if ends.missing == 0 && tail.is_empty() {
            return Ok((config.screen().whole(&head), View::default()));
        }
        // Of one stream the places are not known; its pieces are looked at by themselves.
        let (mut after, mut before) = (Vec::new(), Vec::new());
        if filter == StreamFilter::Both {
            after = self.after(id, head.len() as u64, filter).await?;
            before = self.before(id, ends.total - tail.len() as u64, filter).await?;
        }
        let screen = config.screen();
        Ok((screen.view(&[], &head, &after), screen.view(&before, &tail, &[])))
    }

    async fn view(
        &self,
        id: &TaskId,
        from: u64,
        bytes: &[u8],
        next: u64,
        filter: StreamFilter,
    ) -> Result<View, Error> {
        let before = self.before(id, from, filter).await?;
        let after = self.after(id, next, filter).await?;
        Ok(self.config().screen().view(&before, bytes, &after))
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
