//! One task's output as anyone reads it, wherever it lies.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

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
    Log(Reader),
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
            Self::Log(reader) => reader.totals(),
        }
    }

    fn gap(&self) -> Option<(u64, u64)> {
        match self {
            Self::Short { output, .. } => output.gap(),
            Self::Log(reader) => reader.gap(),
        }
    }

    fn ended(&self) -> bool {
        match self {
            Self::Short { ended, .. } => *ended,
            Self::Log(reader) => reader.ended(),
        }
    }

    fn spans(&self, from: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        Ok(match self {
            Self::Short { output, .. } => {
                let spans = kept(output.spans(from));
                Box::new(spans.map(|span| Ok(kept(span)))) as Spans<'_>
            }
            Self::Log(reader) => Box::new(reader.spans(from)?),
        })
    }

    fn spans_back(&self, floor: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        Ok(match self {
            Self::Short { output, .. } => {
                let spans = kept(output.spans_back(floor));
                Box::new(spans.map(|span| Ok(kept(span)))) as Spans<'_>
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
            Self::Log(reader) => reader.load(span, into),
        }
    }
}
