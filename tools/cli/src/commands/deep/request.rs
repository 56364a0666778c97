//! The flags of `run --deep`.

/// The values of these flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deep {
    /// Shell command to run before each pass.
    pub(crate) prepare: Option<String>,
}
