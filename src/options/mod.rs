//! The options: one table, the process's values, and the lists that set them.

mod list;
mod numeral;
mod plan;
mod rejected;
mod sizes;
mod spec;
mod style;
mod table;
mod texts;

pub use list::{apply, apply_late, check, parse, quote};
pub use plan::Plan;
pub use rejected::Rejected;
pub use spec::{MAX_TEXT, OptionSpec, Type, Value};
pub use style::style;
pub use table::{GUARD_ALL, GUARD_OFF, Name, TABLE, flag, number, set_number, size_range};
pub use texts::{copy_text, set_text, text};
