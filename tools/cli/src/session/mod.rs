//! One run of a program: the library on disk, the program to be started, its signals, the tree file
//! that its processes write, and the recording that is built from it.

pub(crate) mod library;
pub(crate) mod orphans;
pub(crate) mod recording_builder;
pub(crate) mod signals;
pub(crate) mod target;
pub(crate) mod tree_file;
pub(crate) mod watch;
