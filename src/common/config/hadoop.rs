//! Hadoop's configuration files: XML with one `property` for each value.

/// The properties of one file; none if it is not XML.
#[must_use]
pub fn hadoop_properties(text: &str) -> Vec<(String, String)> {
    // Entities that contain each other would need memory that the file does not have bytes for;
    // the library counts them.
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let Ok(tree) = roxmltree::Document::parse_with_options(text, options) else {
        return Vec::new();
    };
    let all = tree.root_element().children().filter(|n| n.has_tag_name("property"));
    let text = |property: roxmltree::Node<'_, '_>, name: &str| {
        let child = property.children().find(|n| n.has_tag_name(name))?;
        Some(child.text()?.to_string())
    };
    all.filter_map(|p| Some((text(p, "name")?.trim().to_string(), text(p, "value")?))).collect()
}
