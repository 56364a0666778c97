//! Valgrind's suppressions: blocks in braces, of which those for leaks count here.

use super::limits::Limits;
use super::pattern::Pattern;
use super::rule::{Line, Scope, Suppression};
use crate::model::leak_report::Loss;

/// Reads the rest of a block behind its `{`, with what is wrong and where. `None`: it is sound, but
/// not for leaks.
pub(super) fn read<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    place: (String, usize),
) -> Result<Option<Suppression>, (usize, String)> {
    let mut last = place.1;
    let mut next = || -> Result<(usize, &'a str), (usize, String)> {
        let found = lines.by_ref().find(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (at, line) = found.ok_or((last, "there is no } for this block's {".to_owned()))?;
        last = at;
        Ok((at, line))
    };
    let (_, name) = next()?;
    let (at, tool) = next()?;
    let Some((tools, kind)) = tool.split_once(':') else {
        return Err((at, format!("`{tool}` is not of the form TOOL:KIND")));
    };
    let is_ours = tools.split(',').any(|tool| tool.trim() == "Memcheck") && kind == "Leak";
    let text = name.to_owned();
    let (limits, losses) = (Limits::default(), Vec::new());
    let mut frames = Vec::new();
    let mut rule =
        Suppression { place, text, reason: None, limits, scope: Scope::From(Vec::new()), losses };
    loop {
        let (at, line) = next()?;
        if line == "}" {
            break;
        }
        if is_ours {
            read_entry(line, &mut rule, &mut frames).map_err(|why| (at, why))?;
        }
    }
    rule.scope = Scope::From(frames);
    Ok(is_ours.then_some(rule))
}

fn read_entry(line: &str, rule: &mut Suppression, frames: &mut Vec<Line>) -> Result<(), String> {
    if line == "..." {
        // Two in a row say no more than one.
        if frames.last() != Some(&Line::Ellipsis) {
            frames.push(Line::Ellipsis);
        }
        return Ok(());
    }
    if let Some(reason) = line.strip_prefix("reason=") {
        rule.reason = Some(reason.to_owned());
        return Ok(());
    }
    if rule.limits.read(line)? {
        return Ok(());
    }
    let (key, value) = line.split_once(':').ok_or_else(|| unknown(line))?;
    match key {
        "fun" => frames.push(Line::Function(Pattern::valgrind(value))),
        "obj" => frames.push(Line::Object(Pattern::valgrind(value))),
        "src" => {
            let (file, number) = match value.rsplit_once(':') {
                Some((file, number)) => {
                    let number = number.parse().map_err(|_| format!("`{number}` is no line"))?;
                    (file, Some(number))
                }
                None => (value, None),
            };
            frames.push(Line::Source(Pattern::valgrind(file), number));
        }
        "match-leak-kinds" => read_kinds(value, &mut rule.losses)?,
        _ => return Err(unknown(line)),
    }
    Ok(())
}

fn unknown(line: &str) -> String {
    format!("`{line}` is none of fun:, obj:, src:, ..., match-leak-kinds:")
}

fn read_kinds(value: &str, losses: &mut Vec<Loss>) -> Result<(), String> {
    for kind in value.split(',').map(str::trim) {
        match kind {
            "definite" => losses.push(Loss::Direct),
            "indirect" => losses.push(Loss::Indirect),
            "possible" => losses.push(Loss::Possible),
            // Reachable blocks are never reported.
            "reachable" | "none" => {}
            "all" => losses.extend([Loss::Direct, Loss::Indirect, Loss::Possible]),
            _ => return Err(format!("`{kind}` is no kind of leak")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{FrameNames, StackNames, read};
    use super::*;

    fn frame<'a>(symbol: &'a str, module: &'a str, file: &'a str) -> FrameNames<'a> {
        FrameNames {
            symbol: Some(symbol),
            module: Some(module),
            file: Some(file),
            line: 7,
            function: None,
        }
    }

    fn matches(lines: &str, stack: &StackNames<'_>, loss: Loss) -> bool {
        let rules = read(&format!("{{\nname\nMemcheck:Leak\n{lines}\n}}\n"), "file");
        rules.expect(lines)[0].matches(stack, loss)
    }

    #[test]
    fn blocks_match_from_the_innermost_frame_on() {
        let stack = [
            frame("strdup", "/lib/libc.so.6", "strdup.c"),
            frame("fill", "/bin/shop", "src/shop.c"),
            frame("main", "/bin/shop", "src/main.c"),
        ];
        let matches = |lines: &str| matches(lines, &stack, Loss::Direct);
        for lines in [
            "fun:malloc\nfun:strdup",
            "fun:strdup\nfun:f*",
            "...\nfun:main",
            "fun:malloc\n...\nobj:*/shop\nfun:main",
            "fun:*alloc\nfun:strdup\nsrc:shop.c:7",
            "obj:*vgpreload_memcheck*\nobj:*/libc*",
            "...",
            "...\n...\n# and no more\nfun:fill",
        ] {
            assert!(matches(lines), "{lines}");
        }
        for lines in [
            "fun:fill",
            "fun:malloc\nfun:main",
            "...\nfun:main\nfun:_start",
            "src:shop.c",
            "fun:strdup\nsrc:shop.c:8",
        ] {
            assert!(!matches(lines), "{lines}");
        }
    }

    #[test]
    fn kinds_and_other_tools() {
        let stack = [frame("a", "b", "c")];
        let kinds = "match-leak-kinds: definite, indirect\nfun:a";
        assert!(matches(kinds, &stack, Loss::Indirect) && !matches(kinds, &stack, Loss::Possible));
        let others = "{\nx\nMemcheck:Param\nwrite(buf)\nfun:w\n}\n{\ny\nHelgrind:Race\nfun:r\n}";
        assert_eq!(read(others, "file"), Ok(Vec::new()));
        let odd = read("{\nx\nMemcheck:Leak\nfun:a\nodd\n}", "file").expect_err("odd");
        assert_eq!((odd.line, odd.why.as_str()), (5, unknown("odd").as_str()));
    }
}
