//! How long a file, a function and a line may be.

use syn::spanned::Spanned as _;
use syn::visit::Visit;

use crate::source::{check, sources};
use crate::tokens::all_sources;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 100;

fn too_long(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let fault = format!("{lines} lines; {FILE_LINES} at most");
    if FILE_LINES < lines { vec![fault] } else { Vec::new() }
}

fn too_wide(text: &str) -> Vec<String> {
    let wide = text.lines().enumerate().filter(|(_, line)| COLUMNS < line.chars().count());
    wide.map(|(n, line)| format!("line {}: {} columns", n + 1, line.chars().count())).collect()
}

#[derive(Default)]
struct Functions {
    faults: Vec<String>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        if FUNCTION_LINES < lines {
            let name = &signature.ident;
            self.faults.push(format!("{name}: {lines} lines; {FUNCTION_LINES} at most"));
        }
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, f: &'a syn::ItemFn) {
        self.measure(&f.sig, &f.block);
        syn::visit::visit_item_fn(self, f);
    }

    fn visit_impl_item_fn(&mut self, f: &'a syn::ImplItemFn) {
        self.measure(&f.sig, &f.block);
        syn::visit::visit_impl_item_fn(self, f);
    }

    fn visit_trait_item_fn(&mut self, f: &'a syn::TraitItemFn) {
        if let Some(block) = &f.default {
            self.measure(&f.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, f);
    }
}

fn long_functions(text: &str) -> Vec<String> {
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text).expect("the compiler reads it too"));
    functions.faults
}

#[test]
fn files_are_short() {
    check(&all_sources(), |_, text| too_long(text));
}

#[test]
fn functions_are_short() {
    check(&sources("src"), |_, text| long_functions(text));
}

#[test]
fn lines_are_short() {
    check(&all_sources(), |_, text| too_wide(text));
}

#[test]
fn what_is_too_long_is_seen() {
    assert!(too_long(&"x\n".repeat(FILE_LINES)).is_empty());
    assert_eq!(too_long(&"x\n".repeat(FILE_LINES + 1)).len(), 1);
    assert!(too_wide(&"ä".repeat(COLUMNS)).is_empty());
    assert_eq!(too_wide(&format!("a\n{}", "ä".repeat(COLUMNS + 1))), ["line 2: 101 columns"]);
    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
    assert!(long_functions(&function(FUNCTION_LINES)).is_empty());
    let long = function(FUNCTION_LINES + 1);
    for text in [long.clone(), format!("impl T {{ {long} }}"), format!("fn outer() {{ {long} }}")] {
        assert!(!long_functions(&text).is_empty(), "{text}");
    }
}
