//! Patterns for names: `*` stands for any text, in Valgrind's also `?` for any byte.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Byte(u8),
}

/// A pattern for a whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// As in LeakSanitizer's rules: found anywhere in a name, but for `^` at the start, `$` at the
    /// end.
    pub(super) fn sanitizer(text: &str) -> Self {
        let (text, from_start) = text.strip_prefix('^').map_or((text, false), |rest| (rest, true));
        let (text, to_end) = text.strip_suffix('$').map_or((text, false), |rest| (rest, true));
        let mut tokens = Vec::new();
        if !from_start {
            tokens.push(Token::Any);
        }
        tokens.extend(
            text.bytes().map(|byte| if byte == b'*' { Token::Any } else { Token::Byte(byte) }),
        );
        if !to_end {
            tokens.push(Token::Any);
        }
        Self::new(tokens)
    }

    /// As in Valgrind's: the whole name.
    pub(super) fn valgrind(text: &str) -> Self {
        let token = |byte| match byte {
            b'*' => Token::Any,
            b'?' => Token::One,
            byte => Token::Byte(byte),
        };
        Self::new(text.bytes().map(token).collect())
    }

    fn new(mut tokens: Vec<Token>) -> Self {
        tokens.dedup_by(|one, other| *one == Token::Any && *other == Token::Any);
        Self(tokens)
    }

    /// Does it match? In the worst case in time of its length times the name's.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (tokens, name) = (&self.0, name.as_bytes());
        let (mut token, mut at) = (0, 0);
        // Where to go on if what follows the last `*` does not fit here: it takes in one byte more.
        let mut retry = None;
        while at < name.len() {
            match tokens.get(token) {
                Some(Token::Any) => {
                    retry = Some((token, at));
                    token += 1;
                }
                Some(Token::One) => (token, at) = (token + 1, at + 1),
                Some(Token::Byte(byte)) if name.get(at) == Some(byte) => {
                    (token, at) = (token + 1, at + 1);
                }
                _ => {
                    let Some((any, from)) = retry else { return false };
                    retry = Some((any, from + 1));
                    (token, at) = (any + 1, from + 1);
                }
            }
        }
        tokens.get(token..).is_some_and(|rest| rest.iter().all(|&token| token == Token::Any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitizers_patterns_are_found_anywhere() {
        for (pattern, name, expected) in [
            ("foo", "my_foo_bar", true),
            ("^foo", "my_foo_bar", false),
            ("^my_", "my_foo_bar", true),
            ("foo$", "my_foo_bar", false),
            ("bar$", "my_foo_bar", true),
            ("^my*bar$", "my_foo_bar", true),
            ("my*foo*baz", "my_foo_bar", false),
            ("f?o", "foo", false),
            ("a*a*b", "aaaaaaaaaaaaaaaaaac", false),
            ("operator new(unsigned long)", "operator new(unsigned long)", true),
            ("", "anything", true),
            ("^$", "", true),
            ("^$", "x", false),
        ] {
            assert_eq!(Pattern::sanitizer(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn valgrinds_patterns_are_whole() {
        for (pattern, name, expected) in [
            ("foo", "foobar", false),
            ("foo*", "foobar", true),
            ("f?obar", "foobar", true),
            ("?", "", false),
            ("*", "", true),
            ("*/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", true),
        ] {
            assert_eq!(Pattern::valgrind(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
