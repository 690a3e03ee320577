//! Something that may be done once a person has said yes: its permit, held back, and the owner's terms.

use crate::approval::Terms;
use crate::permit::{Judged, Permit, PermitParts};

/// Holds a permit until whoever asks the person gives the answer.
#[derive(Debug)]
#[must_use]
pub struct Question<P = Permit> {
    permit: P,
    terms: Terms,
}

impl<P: Judged> Question<P> {
    pub(crate) fn new(permit: P, terms: Terms) -> Self {
        Self { permit, terms }
    }

    /// What would be done.
    #[must_use]
    pub fn parts(&self) -> &PermitParts {
        self.permit.parts()
    }

    /// Whose yes is wanted, and for how long it holds.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The answer was yes, to exactly these parts.
    pub fn approved(self) -> P {
        self.permit
    }
}
