//! Sequences of tokens: what stands at their beginning, and what follows it.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};

/// A name without the `r#` of a raw identifier.
pub fn plain(word: &Ident) -> String {
    word.to_string().trim_start_matches("r#").to_owned()
}

pub fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

pub fn after_sign(tokens: &[TokenTree], sign: char) -> Option<&[TokenTree]> {
    tokens.split_first().filter(|(first, _)| is_sign(first, sign)).map(|(_, after)| after)
}

/// What follows `::`.
pub fn path_separator(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [TokenTree::Punct(first), second, after @ ..]
            if first.as_char() == ':'
                && first.spacing() == Spacing::Joint
                && is_sign(second, ':') =>
        {
            Some(after)
        }
        _ => None,
    }
}

/// What follows the `(crate)` of `pub(crate)`.
pub fn restriction(tokens: &[TokenTree]) -> &[TokenTree] {
    match tokens {
        [TokenTree::Group(group), after @ ..] if group.delimiter() == Delimiter::Parenthesis => {
            after
        }
        _ => tokens,
    }
}

/// Whether this, after a name and `!`, is what a macro is given.
pub fn is_invocation(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Group(_), ..])
}

/// `cfg(test)` and `cfg(all(test, ..))`; `cfg(any(test, ..))` is also compiled without tests.
pub fn is_for_tests(attribute: &[TokenTree]) -> bool {
    let [TokenTree::Ident(cfg), TokenTree::Group(condition)] = attribute else { return false };
    cfg == "cfg" && demands_test(condition.stream())
}

fn demands_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    tokens.split(|token| is_sign(token, ',')).any(|part| match part {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(group)] => {
            word == "all" && demands_test(group.stream())
        }
        _ => false,
    })
}

/// What follows an item, a field, an arm or a statement.
pub fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    const WITH_BODY: [&str; 8] =
        ["fn", "impl", "mod", "struct", "enum", "trait", "union", "macro_rules"];
    const WITHOUT: [&str; 5] = ["use", "const", "static", "type", "let"];
    let mut keyword: Option<String> = None;
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        match token {
            // Another attribute of the same item.
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                rest = after.get(1..).unwrap_or_default();
                continue;
            }
            TokenTree::Punct(sign) if sign.as_char() == ';' => return after,
            TokenTree::Punct(sign) if sign.as_char() == ',' && keyword.is_none() => return after,
            TokenTree::Ident(word) => {
                let word = plain(word);
                let is_function = word == "fn";
                let known = WITH_BODY.contains(&word.as_str()) || WITHOUT.contains(&word.as_str());
                // `const fn` is a function.
                if known && (keyword.is_none() || is_function) {
                    keyword = Some(word);
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                if keyword.as_deref().is_none_or(|word| !WITHOUT.contains(&word)) {
                    return after;
                }
            }
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        rest = after;
    }
    rest
}
