//! What was asked for.

/// What was said to be done besides the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deep {
    /// Shell command that is run before each pass.
    pub(crate) prepare: Option<String>,
}
