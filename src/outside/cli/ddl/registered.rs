//! The columns of files that have those of a registered schema.

use std::sync::Arc;

use crate::clients::kafka;
use crate::clients::registry::{RegistryClient, RegistryError, SchemaSource as _};
use crate::clients::store::{self, Deadlines, SMALL};
use crate::common::config::{ArchiveConfig, Config};
use crate::outside::cli::ddl::failure::Failure;
use crate::outside::cli::exit::EX_DATAERR;
use crate::outside::cli::shared::runtime;
use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::format::Rows;
use crate::pure::layout::names;
use crate::pure::layout::registered::{Known, RegisteredRows};
use crate::pure::layout::writer_schema::WriterSchema;

/// How much of a text of the schema's author is repeated, characters.
const SHOWN: usize = 100;

/// Which schema is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedFor<'a> {
    /// [`None`]: the newest one of the subject that serializers use for values of the topic.
    pub(super) id: Option<u32>,
    /// [`None`]: the first message of the schema.
    pub(super) message: Option<&'a str>,
}

/// What a file has whose records have this schema, and a comment that names the schema.
///
/// # Errors
/// The schema can't be had or used.
pub(super) fn rows(
    config: &Config,
    (archive, of): (&ArchiveConfig, &RegisteredRows),
    topic: &str,
    asked: AskedFor<'_>,
) -> Result<(Rows, String), Failure> {
    let kept = asked.id.map(|id| kept(config, archive, id)).transpose()?.flatten();
    let schema = match kept {
        Some(kept) => kept,
        None => fetched(config, topic, asked.id)?,
    };
    let writer = writer(&schema, of, asked.message)?;
    let name = if writer.name.is_empty() { "an object without a title" } else { &writer.name };
    let (kind, name) = (in_comment(&schema.kind), in_comment(name));
    let comment = format!(
        "-- The columns are those of schema {} ({kind}, {name}). A file has the columns of its \
         own\n-- schema: what a file lacks is null, and what this schema lacks is left out.\n",
        schema.id
    );
    Ok((of.target(Some(writer)).rows, comment))
}

/// A text that others have written, for a comment that ends with its line: what may end a line, or
/// steers a terminal, is a question mark.
fn in_comment(text: &str) -> String {
    let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if ends(c) { '?' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn writer(
    schema: &KeptSchema,
    of: &RegisteredRows,
    message: Option<&str>,
) -> Result<Arc<WriterSchema>, String> {
    match (Known::of(schema, of.wanted()), message) {
        (Known::Unusable(why), _) => Err(why.to_string()),
        (Known::Messages(messages), None) => messages.first(),
        (Known::Messages(messages), Some(name)) => messages
            .by_name(name)
            .unwrap_or_else(|| Err(format!("schema {} has no message {name:?}", schema.id))),
        (Known::Schema(writer), None) => Ok(writer),
        (Known::Schema(_), Some(_)) => {
            Err(format!("schema {} is of {}, which has no messages", schema.id, schema.kind))
        }
    }
}

/// The schema that the root keeps; [`None`] if it keeps none with this id.
fn kept(config: &Config, archive: &ArchiveConfig, id: u32) -> Result<Option<KeptSchema>, Failure> {
    kafka::take_identity(&config.kafka);
    let runtime = runtime().map_err(|code| Failure { code, why: None })?;
    let path = names::schema(id);
    let url = archive.root.url();
    let read = runtime.block_on(async {
        store::open(&archive.root, Deadlines::default())?.read_at_most(&path, SMALL).await
    });
    let kept = read.map_err(|e| Failure::unavailable(format!("{url}/{path}: {e}")))?;
    let kept = kept.map(|text| KeptSchema::decode(id, &text)).transpose();
    kept.map_err(|e| Failure { code: EX_DATAERR, why: Some(format!("{url}/{path}: {e}")) })
}

/// The schema that the registry has.
fn fetched(config: &Config, topic: &str, id: Option<u32>) -> Result<KeptSchema, Failure> {
    let none = || "the configuration has no [registry]".to_string();
    let registry = config.registry.as_ref().ok_or_else(none)?;
    let client = RegistryClient::new(Arc::clone(registry));
    let hint = "--schema ID prints the columns of a schema that the root keeps";
    let failed = |e: RegistryError, hint: &str| match e {
        RegistryError::Away(why) => Failure::unavailable(format!("{why}{hint}")),
        RegistryError::TooLarge(why) => Failure::from(why),
    };
    match id {
        Some(id) => {
            let schema = client.schema(id).map_err(|e| failed(e, ""))?;
            let none = || format!("neither the root nor the registry has schema {id}");
            Ok(schema.ok_or_else(none)?)
        }
        None => {
            let subject = format!("{topic}-value");
            let schema = client.latest(&subject);
            let schema = schema.map_err(|e| failed(e, &format!("; {hint}")))?;
            let none = || format!("the registry has no subject {subject:?}; {hint}");
            Ok(schema.ok_or_else(none)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever pastes the statements into an engine runs no statement of the schema's author.
    #[test]
    fn a_foreign_name_does_not_leave_its_comment() {
        let title = "Order\n; DROP TABLE a;\r--\u{2028}\u{85}x\u{1b}[0m";
        assert_eq!(in_comment(title), "Order?; DROP TABLE a;?--??x?[0m");
        assert_eq!(in_comment(&"ä".repeat(100)), "ä".repeat(100));
        assert_eq!(in_comment(&"ä".repeat(101)), "ä".repeat(100) + "…");
    }
}
