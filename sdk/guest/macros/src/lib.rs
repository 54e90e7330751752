//! The attribute of `wharf-sdk`; see there.

use proc_macro::{Ident, TokenStream, TokenTree};

/// Makes a function the handler of the component's requests.
#[proc_macro_attribute]
pub fn http(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let refused = |why: &str| format!("::core::compile_error!({why:?});").parse::<TokenStream>().unwrap_or_default();
    if !attribute.is_empty() {
        return refused("#[wharf_sdk::http] takes no arguments: the version of WASI is chosen by the crate's features `p2` and `p3`");
    }
    let Some(name) = async_fn(item.clone()) else {
        return refused("#[wharf_sdk::http] belongs on an `async fn`");
    };
    let mut out = item;
    out.extend(format!("::wharf_sdk::__export_http!({name});").parse::<TokenStream>());
    out
}

/// The name of a function that is `async`.
fn async_fn(item: TokenStream) -> Option<Ident> {
    let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(i) if i.to_string() == word);
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let at = tokens.windows(2).position(|pair| is(&pair[0], "async") && is(&pair[1], "fn"))?;
    match tokens.get(at + 2) {
        Some(TokenTree::Ident(name)) => Some(name.clone()),
        _ => None,
    }
}
