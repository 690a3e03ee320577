//! One task's output as anyone reads it, wherever it lies.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use crate::block::Region;
use crate::output::Totals;
use crate::retained::Retained;
use crate::row::{Row, Span};

use super::reader::Reader;

/// An output at one moment.
#[derive(Debug)]
pub(super) enum Source {
    /// The whole of it, from the spool or a row.
    Short {
        output: Arc<Retained>,
        /// Nothing more will come.
        ended: bool,
    },
    /// The last bytes of a log without a gap, as its owner has them in memory.
    Last {
        output: Region,
        totals: Totals,
        /// Nothing more will come.
        ended: bool,
    },
    Log(Reader),
}

/// What a read looks at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    All,
    /// From this offset on.
    From(u64),
    /// So many bytes at the end.
    Last(u64),
}

impl Part {
    /// The first offset that is looked at of an output of so many bytes.
    pub(super) fn start(self, total: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::From(from) => from,
            // One byte more tells whether it begins with a line.
            Self::Last(bytes) => total.saturating_sub(bytes.saturating_add(1)),
        }
    }
}

type Spans<'a> = Box<dyn Iterator<Item = io::Result<Span>> + 'a>;

/// Memory does not fail.
fn kept<T>(from_memory: Result<T, Infallible>) -> T {
    match from_memory {
        Ok(value) => value,
    }
}

impl Row for Source {
    type Error = io::Error;

    fn totals(&self) -> Totals {
        match self {
            Self::Short { output, .. } => output.totals(),
            Self::Last { totals, .. } => *totals,
            Self::Log(reader) => reader.totals(),
        }
    }

    fn gap(&self) -> Option<(u64, u64)> {
        match self {
            Self::Short { output, .. } => output.gap(),
            Self::Last { .. } => None,
            Self::Log(reader) => reader.gap(),
        }
    }

    fn ended(&self) -> bool {
        match self {
            Self::Short { ended, .. } | Self::Last { ended, .. } => *ended,
            Self::Log(reader) => reader.ended(),
        }
    }

    fn spans(&self, from: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        Ok(match self {
            Self::Short { output, .. } => {
                let spans = kept(output.spans(from));
                Box::new(spans.map(|span| Ok(kept(span)))) as Spans<'_>
            }
            Self::Last { output, .. } => Box::new(output.runs(from).map(|run| Ok(run.span()))),
            Self::Log(reader) => Box::new(reader.spans(from)?),
        })
    }

    fn spans_back(&self, floor: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        Ok(match self {
            Self::Short { output, .. } => {
                let spans = kept(output.spans_back(floor));
                Box::new(spans.map(|span| Ok(kept(span)))) as Spans<'_>
            }
            Self::Last { output, .. } => {
                Box::new(output.runs_back(floor).map(|run| Ok(run.span())))
            }
            Self::Log(reader) => Box::new(reader.spans_back(floor)?),
        })
    }

    fn load(&self, span: Span, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Short { output, .. } => {
                kept(output.load(span, into));
                Ok(())
            }
            Self::Last { output, .. } => {
                output.load(span, into);
                Ok(())
            }
            Self::Log(reader) => reader.load(span, into),
        }
    }
}
