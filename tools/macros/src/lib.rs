//! The attribute `#[mallocop::test]`. It needs no parser: all that it looks at is where a
//! function's name, its result and its body are.
#![forbid(unsafe_code)]

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// A test that must not lose memory: `#[mallocop::test]`, in place of `#[test]`, other attributes
/// as with that. The test fails if a block that it allocated, or a thread that it started, is still
/// there and cannot be reached. `#[mallocop::test(strict)]`: nor may one be there that can be
/// reached, but for what Rust's standard library keeps.
///
/// Tests run side by side as always; what others allocate does not count.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let is_strict = match arguments.to_string().as_str() {
        "" => false,
        "strict" => true,
        _ => return error("#[mallocop::test] takes nothing, or `strict`"),
    };
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    wrap(&tokens, is_strict)
        .unwrap_or_else(|| error("#[mallocop::test] is for functions without arguments"))
}

fn error(text: &str) -> TokenStream {
    format!("compile_error!({text:?});").parse().unwrap_or_default()
}

/// The function, inside of a test of the same name that runs it in a scope.
fn wrap(tokens: &[TokenTree], is_strict: bool) -> Option<TokenStream> {
    let is_fn =
        |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let at = tokens.iter().position(is_fn)?;
    let name = tokens.get(at + 1)?;
    let is_empty = |token: &TokenTree| {
        matches!(token, TokenTree::Group(group)
            if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty())
    };
    let (arguments, body) = (tokens.get(at + 2).filter(|token| is_empty(token))?, tokens.last()?);
    let text = |tokens: &[TokenTree]| tokens.iter().cloned().collect::<TokenStream>();
    let result = text(tokens.get(at + 3..tokens.len() - 1)?);
    let mut out: TokenStream = "#[::core::prelude::v1::test]".parse().ok()?;
    out.extend(text(tokens.get(..=at)?));
    out.extend([name.clone(), arguments.clone()]);
    out.extend(result.clone());
    let mut inner: TokenStream = "fn".parse().ok()?;
    inner.extend([name.clone(), arguments.clone()]);
    inner.extend(result);
    inner.extend([body.clone()]);
    inner.extend(
        format!("::mallocop::testing::run({name}, {is_strict})").parse::<TokenStream>().ok()?,
    );
    out.extend([TokenTree::Group(proc_macro::Group::new(Delimiter::Brace, inner))]);
    Some(out)
}
