//! Symbols -> names as a reader knows them, of a length that a report can bear: a few hundred bytes
//! of substitutions stand for hundreds of megabytes.

use core::fmt;

/// Most bytes of a name; what is longer ends in three dots.
const MOST: usize = 4 << 10;
/// Longest symbol that is looked at.
const MOST_OF_SYMBOL: usize = 16 << 10;

/// A text that takes so many bytes and then fails, which ends whoever writes.
#[derive(Default)]
struct Limited(String);

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or(""));
        Err(fmt::Error)
    }
}

/// The name that a symbol of Rust or C++ stands for; the symbol itself if it is neither.
pub fn demangle(symbol: &str) -> String {
    if symbol.len() > MOST_OF_SYMBOL {
        return shortened(symbol);
    }
    if let Ok(name) = rustc_demangle::try_demangle(symbol) {
        let mut text = Limited::default();
        return finish(fmt::write(&mut text, format_args!("{name:#}")).is_ok(), text);
    }
    if symbol.starts_with("_Z") || symbol.starts_with("___Z") {
        let options = cpp_demangle::DemangleOptions::default();
        if let Ok(name) = cpp_demangle::Symbol::new(symbol) {
            let mut text = Limited::default();
            let is_whole = name.structured_demangle(&mut text, &options).is_ok();
            if is_whole || text.0.len() > MOST / 2 {
                return finish(is_whole, text);
            }
        }
        // Reads forms that the other one does not, without the parameters.
        if let Some(name) = itanium_demangle::demangle_owned(symbol) {
            return shortened(&name);
        }
    }
    symbol.to_owned()
}

fn finish(is_whole: bool, text: Limited) -> String {
    if is_whole { text.0 } else { text.0 + "..." }
}

fn shortened(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MOST)) {
        Some(start) if start.len() < text.len() => format!("{start}..."),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages_are_read() {
        assert_eq!(demangle("_ZN4shop4NodeC1Ev"), "shop::Node::Node()");
        assert_eq!(demangle("_RNvNtCs1234_4shop4node4make"), "shop::node::make");
        let name = "_ZSt11make_sharedIN4shop4NodeEJRA50_KcEESt10shared_ptrINSt9enable_ifIXntsrSt8\
                    is_arrayIT_E5valueES8_E4typeEEDpOT0_";
        assert_eq!(demangle(name), "std::make_shared<shop::Node, char const (&) [50]>");
        assert_eq!(demangle("main"), "main");
    }

    /// Each argument list names the one before it twice.
    #[test]
    fn a_symbol_that_stands_for_megabytes_is_cut() {
        let digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut symbol = "_Z1f1AIiiE".to_owned();
        for last in [None].into_iter().chain(digits.chars().map(Some)).take(30) {
            let last = last.map(String::from).unwrap_or_default();
            symbol += &format!("1AIS{last}_S{last}_E");
        }
        let name = demangle(&symbol);
        assert!(name.len() <= MOST + 3, "{}", name.len());
    }
}
