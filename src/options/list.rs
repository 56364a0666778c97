//! Lists of options, as `MALLOCOP_OPTIONS` has them: `key=value:key=value`; `:`, `,` and white
//! space separate.

use super::plan;
use super::rejected::Rejected;
use super::spec::Value;
use super::table::{NAMES, TABLE, is_late, set_number};
use super::texts::set_text;

fn is_separator(c: char) -> bool {
    c == ':' || c == ',' || c.is_ascii_whitespace()
}

/// The list's first option and what comes behind it; what stands in quotes is not split.
fn split_first(list: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in list.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if is_separator(c) => {
                let (first, rest) = list.split_at(at);
                let behind = rest.get(1..).unwrap_or("");
                if first.strip_prefix("fail=").is_some_and(|plan| plan::goes_on(plan, c, behind)) {
                    continue;
                }
                return (first, behind);
            }
            _ => {}
        }
    }
    (list, "")
}

/// Splits a list of options into rows of the table with their values; `each` gets every one.
pub fn parse<'a>(
    mut list: &'a str,
    mut each: impl FnMut(Result<(usize, Value<'a>), Rejected<'a>>),
) {
    while !list.is_empty() {
        let (first, rest) = split_first(list);
        if !first.is_empty() {
            each(parse_one(first));
        }
        list = rest;
    }
}

fn parse_one(text: &str) -> Result<(usize, Value<'_>), Rejected<'_>> {
    let (name, value) = text.split_once('=').ok_or(Rejected::NoValue(text))?;
    let row = TABLE.iter().position(|entry| entry.name == name).ok_or(Rejected::Unknown(name))?;
    let entry = TABLE.get(row).ok_or(Rejected::Unknown(name))?;
    let bare = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = bare('\'').or_else(|| bare('"')).unwrap_or(value);
    match entry.parse(value) {
        Some(value) => Ok((row, value)),
        None => Err(Rejected::BadValue(entry.name, value, entry.kind)),
    }
}

/// A path as it stands in a list of options; `None`: it has both kinds of quotes and a separator in
/// it.
pub fn quote(path: &str) -> Option<String> {
    if !path.contains(|c| is_separator(c) || c == '\'' || c == '"') {
        return Some(path.to_owned());
    }
    let quote = ['\'', '"'].into_iter().find(|&quote| !path.contains(quote))?;
    Some(format!("{quote}{path}{quote}"))
}

fn set(row: usize, value: Value<'_>) {
    match (NAMES.get(row), value) {
        (Some(&name), Value::Number(number)) => set_number(name, number),
        (Some(&name), Value::Text(text)) => set_text(name, text),
        (None, _) => {}
    }
}

/// Takes a list over into the process's options; `rejected` gets what could not be taken.
pub fn apply<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| match option {
        Ok((row, value)) => set(row, value),
        Err(why) => rejected(why),
    });
}

/// Says what of a list would be rejected, and takes nothing over.
pub fn check<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| {
        if let Err(why) = option {
            rejected(why);
        }
    });
}

/// As [`apply`] for a list that comes when the program runs already.
pub fn apply_late<'a>(list: &'a str, mut rejected: impl FnMut(Rejected<'a>)) {
    parse(list, |option| match option {
        Ok((row, value)) => match TABLE.get(row) {
            Some(entry) if !is_late(entry) => rejected(Rejected::TooLate(entry.name)),
            _ => set(row, value),
        },
        Err(why) => rejected(why),
    });
}

#[cfg(test)]
mod tests {
    use super::super::spec::{MAX_TEXT, Type};
    use super::super::table::{Name, number};
    use super::*;

    fn all(list: &str) -> Vec<Result<(usize, Value<'_>), Rejected<'_>>> {
        let mut found = Vec::new();
        parse(list, |option| found.push(option));
        found
    }

    #[test]
    fn separators_booleans_and_ranges() {
        let row = |name| TABLE.iter().position(|entry| entry.name == name).expect("in the table");
        assert_eq!(
            all("halt_on_error=no:exitcode=7, checks=none\nfree_fill_byte=0xff"),
            [
                Ok((row("halt_on_error"), Value::Number(0))),
                Ok((row("exitcode"), Value::Number(7))),
                Ok((row("checks"), Value::Number(1))),
                Ok((row("free_fill_byte"), Value::Number(255))),
            ]
        );
        for bad in [
            "halt_on_error=nope",
            "halt_on_error=",
            "exitcode=256",
            "exitcode=-1",
            "exitcode=+1",
            "exitcode=1x",
            "checks=al",
            "quiet",
            "nonsense=1",
            "=1",
        ] {
            assert!(matches!(all(bad)[..], [Err(_)]), "{bad}");
        }
        assert!(all("::, ").is_empty());
    }

    #[test]
    fn plans_hold_separators() {
        let row = Name::Fail as usize;
        for plan in [
            "nth:7",
            "every:100",
            "prob:0.5",
            "prob:0.5,seed=9",
            "size>=64",
            "site:f",
            "site:a::b::c",
        ] {
            let list = format!("quiet=1:fail={plan}:exitcode=3,quiet=0");
            let found = all(&list);
            assert_eq!(found.len(), 4, "{plan}");
            assert_eq!(found[1], Ok((row, Value::Text(plan))));
        }
        assert!(matches!(all("fail=nth:x")[..], [Err(Rejected::BadValue(..))]));
    }

    #[test]
    fn paths_in_quotes_are_not_split() {
        let row = Name::Suppressions as usize;
        for path in ["plain", "with:colon, and blank", "it's", "a \"quoted\" one", ""] {
            let list = format!("quiet=1:suppressions={}:quiet=0", quote(path).expect("quotable"));
            let found = all(&list);
            assert_eq!(found.len(), 3, "{list}");
            assert_eq!(found[1], Ok((row, Value::Text(path))));
        }
        assert_eq!(quote("'\" "), None);
        let long = format!("suppressions={}", "x".repeat(MAX_TEXT + 1));
        assert!(matches!(all(&long)[..], [Err(Rejected::BadValue(..))]));
    }

    #[test]
    fn what_counts_from_the_first_block_on_comes_too_late() {
        let mut why = Vec::new();
        apply_late("checks=none:nonsense=1:exitcode=23", |rejected| why.push(rejected));
        assert_eq!(why, [Rejected::TooLate("checks"), Rejected::Unknown("nonsense")]);
    }

    #[test]
    fn a_list_that_is_only_looked_at_changes_nothing() {
        let before = number(Name::MmapThreshold);
        let mut why = Vec::new();
        check("mmap_threshold=77777:nonsense=1", |rejected| why.push(rejected));
        assert_eq!(why, [Rejected::Unknown("nonsense")]);
        assert_eq!(number(Name::MmapThreshold), before);
    }

    #[test]
    fn every_row_is_sound() {
        for (row, entry) in TABLE.iter().enumerate() {
            let name = entry.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(
                TABLE.iter().position(|other| other.name == name),
                Some(row),
                "{name} twice"
            );
            let expected = match entry.kind {
                Type::Path | Type::Programs | Type::Plan | Type::Patterns => Value::Text(""),
                _ => Value::Number(entry.default),
            };
            assert_eq!(entry.parse(&entry.show(entry.default).to_string()), Some(expected));
            assert!(!entry.help.is_empty() && !entry.help.ends_with('.'), "{name}");
        }
    }
}
