//! The manual's drawings, which browsers show only where they are well-formed.

use std::path::Path;

use roxmltree::Document;

/// Why no browser shows this text as a picture.
fn fault(text: &str) -> Option<String> {
    match Document::parse(text) {
        Ok(drawing)
            if drawing.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")) =>
        {
            None
        }
        Ok(_) => Some("its root is not svg".into()),
        Err(e) => Some(e.to_string()),
    }
}

#[test]
fn every_drawing_is_well_formed() {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    let all = std::fs::read_dir(pictures).unwrap().map(|e| e.unwrap().path());
    let drawings: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == "svg")).collect();
    assert!(2 < drawings.len(), "{drawings:?}");
    for path in drawings {
        let fault = fault(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(fault, None, "{}", path.display());
    }
    let svg = |text: &str| format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{text}</svg>");
    assert_eq!(fault(&svg("<text>a word</text>")), None);
    assert!(fault(&svg("<text>a word/text>")).is_some());
    assert!(fault("<html/>").is_some());
}
