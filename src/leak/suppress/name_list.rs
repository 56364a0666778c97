//! A list of names, as options have it: `a|b*`, each for a whole name, `*` for any characters.

use super::pattern::Pattern;

/// The names of a list.
pub struct NameList(Vec<Pattern>);

impl NameList {
    /// Those of a text.
    pub fn new(text: &str) -> Self {
        Self(text.split('|').map(Pattern::valgrind).collect())
    }

    /// Is a name one of them?
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_names_is_enough() {
        let list = NameList::new("make_name|ns::*");
        assert!(list.matches("make_name") && list.matches("ns::f"));
        assert!(!list.matches("make_names") && !list.matches("other"));
    }
}
