//! How reports are rendered.

use std::path::PathBuf;

use super::symbolizer::Symbolizer;

/// The options of rendering. The options table says what each does.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Are the frames' addresses shown?
    pub addresses: bool,
    /// Are frames of a library that all programs use shown one by one?
    pub full_stacks: bool,
    /// Are stacks stored at all?
    pub has_stacks: bool,
    /// Sites that a list shows.
    pub max_sites: usize,
    /// Functions in the line by which libFuzzer tells errors apart; 0: no such line.
    pub dedup_token_length: usize,
    /// Is what can still be reached listed?
    pub show_reachable: bool,
    /// The byte that freed memory is filled with, if the user has asked for one.
    pub free_fill: Option<u8>,
    /// The byte that fresh memory is filled with, if the user has asked for one.
    pub malloc_fill: Option<u8>,
    /// What is left out at the front of file names; empty: nothing.
    pub working_directory: PathBuf,
}

/// The symbolizer and the style of a report.
pub struct Renderer<'a, S> {
    /// Gives stacks their names.
    pub symbolizer: &'a mut dyn Symbolizer<S>,
    /// The options of rendering.
    pub style: &'a Style,
}
