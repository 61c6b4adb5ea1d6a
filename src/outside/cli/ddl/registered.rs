//! The columns of files that have those of a registered schema.

use std::sync::Arc;

use crate::clients::kafka;
use crate::clients::registry::{RegistryClient, SchemaSource as _};
use crate::clients::store::{self, Deadlines, SMALL};
use crate::common::config::{ArchiveConfig, Config};
use crate::outside::cli::shared::runtime;
use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::format::Rows;
use crate::pure::layout::names;
use crate::pure::layout::registered::{Known, RegisteredRows};
use crate::pure::layout::writer_schema::WriterSchema;

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
/// The schema can't be had or used; the text says why.
pub(super) fn rows(
    config: &Config,
    (archive, of): (&ArchiveConfig, &RegisteredRows),
    topic: &str,
    asked: AskedFor<'_>,
) -> Result<(Rows, String), String> {
    let kept = asked.id.map(|id| kept(config, archive, id)).transpose()?.flatten();
    let schema = match kept {
        Some(kept) => kept,
        None => fetched(config, topic, asked.id)?,
    };
    let writer = writer(&schema, of, asked.message)?;
    let name = if writer.name.is_empty() { "an object without a title" } else { &writer.name };
    let comment = format!(
        "-- The columns are those of schema {} ({}, {name}). A file has the columns of its own\n\
         -- schema: what a file lacks is null, and what this schema lacks is left out.\n",
        schema.id, schema.kind
    );
    Ok((of.target(Some(writer)).rows, comment))
}

fn writer(
    schema: &KeptSchema,
    of: &RegisteredRows,
    message: Option<&str>,
) -> Result<Arc<WriterSchema>, String> {
    match (Known::of(schema, &of.reserved), message) {
        (Known::Unusable(why), _) => Err(why.to_string()),
        (Known::Messages(messages), None) => messages.first(),
        (Known::Messages(messages), Some(name)) => messages
            .by_name(name)
            .ok_or_else(|| format!("schema {} has no message {name:?}", schema.id)),
        (Known::Schema(writer), None) => Ok(writer),
        (Known::Schema(_), Some(_)) => {
            Err(format!("schema {} is of {}, which has no messages", schema.id, schema.kind))
        }
    }
}

/// The schema that the root keeps; [`None`] if it keeps none with this id.
fn kept(config: &Config, archive: &ArchiveConfig, id: u32) -> Result<Option<KeptSchema>, String> {
    kafka::take_identity(&config.kafka);
    let runtime = runtime().map_err(|code| format!("it ends with {code}"))?;
    let path = names::schema(id);
    let url = archive.root.url();
    let read = runtime.block_on(async {
        store::open(&archive.root, Deadlines::default())?.read_at_most(&path, SMALL).await
    });
    let kept = read.map_err(|e| format!("{url}/{path}: {e}"))?;
    let kept = kept.map(|text| KeptSchema::decode(id, &text)).transpose();
    kept.map_err(|e| format!("{url}/{path}: {e}"))
}

/// The schema that the registry has.
fn fetched(config: &Config, topic: &str, id: Option<u32>) -> Result<KeptSchema, String> {
    let registry = config.registry.as_ref().ok_or("the configuration has no [registry]")?;
    let client = RegistryClient::new(Arc::clone(registry));
    let hint = "--schema ID prints the columns of a schema that the root keeps";
    match id {
        Some(id) => {
            let schema = client.schema(id)?;
            schema.ok_or_else(|| format!("neither the root nor the registry has schema {id}"))
        }
        None => {
            let subject = format!("{topic}-value");
            let schema = client.latest(&subject).map_err(|e| format!("{e}; {hint}"))?;
            schema.ok_or_else(|| format!("the registry has no subject {subject:?}; {hint}"))
        }
    }
}
