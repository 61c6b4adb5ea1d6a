//! A `mod.rs` is its page.

use syn::spanned::Spanned as _;

use crate::source::{check, sources};

/// What stands in a `mod.rs`, or in the crate's root, beside its page, `mod` and `use`.
fn items_of_a_hub(path: &str, text: &str) -> Vec<String> {
    let is_root = path == "src/lib.rs";
    if !is_root && !path.ends_with("/mod.rs") {
        return Vec::new();
    }
    let hands_on = |module: &syn::ItemMod| {
        let items = module.content.iter().flat_map(|(_, items)| items);
        is_root && items.into_iter().all(|item| matches!(item, syn::Item::Use(_)))
    };
    let file = syn::parse_file(text).expect("the compiler reads it too");
    let item = |item: &syn::Item| match item {
        syn::Item::Use(_) => None,
        syn::Item::Mod(m) if m.content.is_none() || hands_on(m) => None,
        syn::Item::Mod(m) if m.attrs.iter().any(is_cfg_test) => None,
        other => Some(format!("line {}: an item in a hub", other.span().start().line)),
    };
    file.items.iter().filter_map(item).collect()
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let test = |list: &syn::MetaList| list.tokens.to_string() == "test";
    attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(test)
}

#[test]
fn a_hub_is_its_page() {
    check(&sources("src"), items_of_a_hub);
}

#[test]
fn an_item_in_a_hub_is_seen() {
    let hub =
        "//! Page.\n#[cfg(test)]\nmod a;\npub use a::A;\n#[cfg(test)]\nmod tests { fn f() {} }\n";
    assert!(items_of_a_hub("src/x/mod.rs", hub).is_empty());
    for item in ["fn f() {}", "pub struct S;", "const C: u8 = 1;", "mod tests { }", "impl S {}"] {
        assert_eq!(items_of_a_hub("src/x/mod.rs", &format!("{hub}{item}")).len(), 1, "{item}");
        assert!(items_of_a_hub("src/x/y.rs", item).is_empty());
    }
    let root = "mod a; pub mod testing { pub use crate::a::A; }";
    assert!(items_of_a_hub("src/lib.rs", root).is_empty());
    assert_eq!(items_of_a_hub("src/x/mod.rs", root).len(), 1);
    for item in ["fn f() {}", "mod b { pub use crate::a::A; fn f() {} }"] {
        assert_eq!(items_of_a_hub("src/lib.rs", &format!("{root}{item}")).len(), 1, "{item}");
    }
}
