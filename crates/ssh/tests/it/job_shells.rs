//! The job texts under every shell of this machine, without SSH: each shell stands in as `sh`, for the texts, for what
//! they start, and for the command.
