//! The text of a report, with the role of its lines: a terminal may colour them.

use std::fmt;

/// The role of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing in particular.
    #[default]
    Plain,
    /// An error, or the summary of one.
    Error,
    /// A warning.
    Warning,
    /// The heading of a stack.
    Heading,
    /// A line of source code.
    Source,
}

/// A text of whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    text: String,
    /// Where lines that are not plain start, in ascending order.
    roles: Vec<(usize, Role)>,
}

impl Page {
    /// An empty page.
    pub const fn new() -> Self {
        Self { text: String::new(), roles: Vec::new() }
    }

    /// The line that is being written, or begins here, has this role.
    pub fn set_role(&mut self, role: Role) {
        let start = self.text.rfind('\n').map_or(0, |end| end + 1);
        self.roles.push((start, role));
    }

    /// Appends a text.
    pub fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends a character.
    pub fn push(&mut self, character: char) {
        self.text.push(character);
    }

    /// Appends another page. This one is at the start of a line.
    pub fn append(&mut self, other: &Self) {
        let base = self.text.len();
        self.roles.extend(other.roles.iter().map(|&(start, role)| (base + start, role)));
        self.text.push_str(&other.text);
    }

    /// Is nothing on it?
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text alone.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text alone.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The lines, each with its role.
    pub fn lines(&self) -> impl Iterator<Item = (Role, &str)> {
        let mut roles = self.roles.iter().copied().peekable();
        let mut at = 0;
        self.text.split_inclusive('\n').map(move |line| {
            let mut role = Role::Plain;
            while let Some((_, known)) = roles.next_if(|&(start, _)| start <= at) {
                role = known;
            }
            at += line.len();
            (role, line.strip_suffix('\n').unwrap_or(line))
        })
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn each_line_has_its_role() {
        let mut page = Page::new();
        page.set_role(Role::Error);
        page.push_str("first\n");
        let _ = write!(page, "sec");
        page.set_role(Role::Heading);
        page.push_str("ond\nthird");
        let mut all = Page::new();
        all.push_str("before\n");
        all.append(&page);
        let lines: Vec<_> = all.lines().collect();
        let expected = [
            (Role::Plain, "before"),
            (Role::Error, "first"),
            (Role::Heading, "second"),
            (Role::Plain, "third"),
        ];
        assert_eq!(lines, expected);
    }
}
