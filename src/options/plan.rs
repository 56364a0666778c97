//! The option `fail`: which requests for memory are refused, to see what the program makes of that.

use super::numeral::parse_number;

/// Which requests are refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan<'a> {
    /// None; the first request of each stack is told of, and in the end how many there were.
    Survey,
    /// The one with that number, from 1.
    Nth(u64),
    /// Each whose number is a multiple of this.
    Every(u64),
    /// Each with that probability in 2^32 parts, by chance that the seed decides.
    Chance(u64, u64),
    /// All of at least so many bytes.
    AtLeast(usize),
    /// All whose stack has a frame that fits, as in a suppression.
    Site(&'a str),
}

/// How a plan is written.
pub(super) const FORMS: &str = "nth:N, every:N, prob:P[,seed=S], size>=N or site:PATTERN";

/// In front of a separator these belong to what is behind it.
const OPEN: [&str; 4] = ["nth", "every", "prob", "site"];

/// Is a separator behind this part of a plan a part of it, too?
pub(super) fn goes_on(plan: &str, separator: char, rest: &str) -> bool {
    match separator {
        // `::` is part of many a name.
        ':' => {
            let is_inside = plan.ends_with(':') || rest.starts_with(':');
            OPEN.contains(&plan) || plan.starts_with("site:") && is_inside
        }
        ',' => plan.starts_with("prob:") && rest.starts_with("seed="),
        _ => false,
    }
}

impl<'a> Plan<'a> {
    /// The plan that a text stands for.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text == "survey" {
            return Some(Self::Survey);
        }
        if let Some(size) = text.strip_prefix("size>=") {
            return parse_number(size).map(Self::AtLeast);
        }
        let (form, value) = text.split_once(':')?;
        let number = || parse_number(value).filter(|&number| number > 0).map(|n| n as u64);
        match form {
            "nth" => number().map(Self::Nth),
            "every" => number().map(Self::Every),
            "prob" => parse_chance(value),
            "site" => (!value.is_empty()).then_some(Self::Site(value)),
            _ => None,
        }
    }
}

fn parse_chance<'a>(text: &str) -> Option<Plan<'a>> {
    let (chance, seed) = match text.split_once(",seed=") {
        Some((chance, seed)) => (chance, parse_number(seed)? as u64),
        None => (text, 1),
    };
    let chance: f64 = chance.parse().ok().filter(|chance| (0.0..=1.0).contains(chance))?;
    Some(Plan::Chance((chance * (1u64 << 32) as f64) as u64, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        assert_eq!(Plan::parse("nth:17"), Some(Plan::Nth(17)));
        assert_eq!(Plan::parse("every:100"), Some(Plan::Every(100)));
        assert_eq!(Plan::parse("prob:0.5"), Some(Plan::Chance(1 << 31, 1)));
        assert_eq!(Plan::parse("prob:1,seed=7"), Some(Plan::Chance(1 << 32, 7)));
        assert_eq!(Plan::parse("size>=4096"), Some(Plan::AtLeast(4096)));
        assert_eq!(Plan::parse("site:parse_*"), Some(Plan::Site("parse_*")));
        for bad in [
            "",
            "nth",
            "nth:",
            "nth:0",
            "nth:x",
            "every:0",
            "prob:2",
            "prob:-1",
            "prob:nan",
            "prob:0.1,seed=x",
            "size>=",
            "size>4",
            "site:",
            "first:1",
        ] {
            assert_eq!(Plan::parse(bad), None, "{bad}");
        }
    }
}
