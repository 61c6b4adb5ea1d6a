//! Questions to a registry. They block.

use std::sync::Arc;

use serde::Deserialize;
use ureq::Agent;

use crate::clients::http::{self, Trust};
use crate::common::config::Registry;
use crate::pure::formats::schema::{KeptReference, KeptSchema};

/// Who knows schemas.
pub trait SchemaSource: Send + Sync {
    /// The schema with this id, with all that it needs; [`None`] if there is no such schema. It
    /// blocks.
    ///
    /// # Errors
    /// There is no answer, or a schema that is too large.
    fn schema(&self, id: u32) -> Result<Option<KeptSchema>, RegistryError>;
}

/// Why the registry gives no schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no answer, or none of a registry: a later one may be.
    #[error("{0}")]
    Away(String),
    /// There is a schema, which is too large, and will be.
    #[error("{0}")]
    TooLarge(String),
}

impl From<String> for RegistryError {
    fn from(why: String) -> RegistryError {
        RegistryError::Away(why)
    }
}

/// A client of one registry. Its certificates and its password are read for each schema, so that
/// new ones count at once; there are few schemas.
#[derive(Debug)]
pub struct RegistryClient(Arc<Registry>);

/// The most that an answer may have, and the texts of a schema and of those that it needs; bytes.
const MOST: usize = 4 << 20;
/// The most schemas that one schema may need.
const MOST_REFERENCES: usize = 100;
/// What the registry says of an id that it does not have.
const NO_SUCH_SCHEMA: u32 = 40_403;
/// And of a subject, and of a version.
const NO_SUCH_SUBJECT: [u32; 2] = [40_401, 40_402];
/// The language of a schema of which the registry tells none.
const AVRO: &str = "AVRO";

/// A schema, as the registry tells it.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    /// Not told of Avro.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    /// Told of the version of a subject alone.
    id: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
struct Reference {
    /// What the schema calls it.
    #[serde(default)]
    name: String,
    subject: String,
    version: i64,
}

/// What the registry says instead.
#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
}

/// What a schema needs, gathered so far.
struct Gathered {
    /// The types of Avro have names of their own: there a schema is needed once, whatever it is
    /// called.
    names_count: bool,
    asked: Vec<Reference>,
    found: Vec<KeptReference>,
    /// How long the texts may still be.
    bytes_left: usize,
}

impl Gathered {
    /// Counts the text of a schema.
    fn take(&mut self, text: &str) -> Result<(), RegistryError> {
        let left = self.bytes_left.checked_sub(text.len());
        let why = "the schema and those that it needs have more than 4 MiB";
        self.bytes_left = left.ok_or_else(|| RegistryError::TooLarge(why.into()))?;
        Ok(())
    }

    fn has(&self, reference: &Reference) -> bool {
        self.asked.iter().any(|other| {
            let is_same = other.subject == reference.subject && other.version == reference.version;
            is_same && (!self.names_count || other.name == reference.name)
        })
    }
}

impl RegistryClient {
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> RegistryClient {
        RegistryClient(registry)
    }

    /// What the registry says when it is asked for its kinds of schemas, if it answers as one.
    ///
    /// # Errors
    /// It does not answer, or not as a registry.
    pub fn kinds(&self) -> Result<Vec<String>, String> {
        let text = self.ask(&self.agent()?, "/schemas/types").map_err(|e| e.to_string())?;
        let text = text.ok_or_else(|| self.said("/schemas/types", "there is no such page"))?;
        serde_json::from_str(&text).map_err(|e| self.said("/schemas/types", &e.to_string()))
    }

    fn agent(&self) -> Result<Agent, String> {
        let Registry { login, timeout, .. } = &*self.0;
        let config = Agent::config_builder()
            .timeout_global(Some(*timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None);
        let authorization = http::authorization("registry", login)?;
        http::agent(config, ("registry", Some(login)), Trust::Signed, authorization)
    }

    fn said(&self, path: &str, what: &str) -> String {
        format!("{}{path}: {what}", self.0.url)
    }

    /// The text of a page; [`None`] if the registry says that it has no such schema.
    fn ask(&self, agent: &Agent, path: &str) -> Result<Option<String>, RegistryError> {
        let answer = agent.get(format!("{}{path}", self.0.url)).call();
        let mut answer = answer.map_err(|e| self.said(path, &e.to_string()))?;
        let status = answer.status();
        // A page of something else is no schema, however large it is.
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.contains("json"));
        let text = answer.body_mut().with_config().limit(MOST as u64).read_to_string();
        let text = text.map_err(|e| match e {
            ureq::Error::BodyExceedsLimit(_) if status.as_u16() == 200 && is_json => {
                RegistryError::TooLarge(self.said(path, "the answer has more than 4 MiB"))
            }
            e => self.said(path, &e.to_string()).into(),
        })?;
        match status.as_u16() {
            200 => Ok(Some(text)),
            404 if says_none(path, &text) => Ok(None),
            401 | 403 => {
                let why = format!("{status}: check user and password under [registry]");
                Err(self.said(path, &why).into())
            }
            404 => {
                let why = "404 Not Found, and not as a registry says it: check registry.url";
                Err(self.said(path, why).into())
            }
            _ => Err(self.said(path, &status.to_string()).into()),
        }
    }

    /// Adds what a schema needs, each behind what it needs itself.
    fn gather(
        &self,
        agent: &Agent,
        needed: Vec<Reference>,
        gathered: &mut Gathered,
    ) -> Result<(), RegistryError> {
        for reference in needed {
            if gathered.has(&reference) {
                continue;
            }
            if MOST_REFERENCES <= gathered.asked.len() {
                let why = format!("a schema needs more than {MOST_REFERENCES} others");
                return Err(RegistryError::TooLarge(why));
            }
            let subject = escaped(&reference.subject);
            let path = format!("/subjects/{subject}/versions/{}", reference.version);
            let name = reference.name.clone();
            gathered.asked.push(reference);
            let text = self.ask(agent, &path)?;
            let text = text.ok_or_else(|| self.said(&path, "there is no such schema"))?;
            let Answer { schema, references, .. } = self.answer(&path, &text)?;
            gathered.take(&schema)?;
            self.gather(agent, references.unwrap_or_default(), gathered)?;
            gathered.found.push(KeptReference { name, schema });
        }
        Ok(())
    }

    fn answer(&self, path: &str, text: &str) -> Result<Answer, String> {
        serde_json::from_str(text).map_err(|e| self.said(path, &e.to_string()))
    }

    /// A schema with all that it needs.
    fn whole(&self, agent: &Agent, id: u32, answer: Answer) -> Result<KeptSchema, RegistryError> {
        let kind = answer.kind.unwrap_or_else(|| AVRO.into());
        let (asked, found) = (Vec::new(), Vec::new());
        let mut gathered = Gathered { names_count: kind != AVRO, asked, found, bytes_left: MOST };
        gathered.take(&answer.schema)?;
        self.gather(agent, answer.references.unwrap_or_default(), &mut gathered)?;
        Ok(KeptSchema::new(id, kind, answer.schema, gathered.found))
    }

    /// The newest schema of a subject; [`None`] if there is no such subject. It blocks.
    ///
    /// # Errors
    /// As those of [`SchemaSource::schema`].
    pub fn latest(&self, subject: &str) -> Result<Option<KeptSchema>, RegistryError> {
        let agent = self.agent()?;
        let path = format!("/subjects/{}/versions/latest", escaped(subject));
        let Some(text) = self.ask(&agent, &path)? else { return Ok(None) };
        let answer = self.answer(&path, &text)?;
        let id = answer.id.ok_or_else(|| self.said(&path, "the answer has no id"))?;
        self.whole(&agent, id, answer).map(Some)
    }
}

impl SchemaSource for RegistryClient {
    fn schema(&self, id: u32) -> Result<Option<KeptSchema>, RegistryError> {
        let agent = self.agent()?;
        let path = format!("/schemas/ids/{id}");
        let Some(text) = self.ask(&agent, &path)? else { return Ok(None) };
        self.whole(&agent, id, self.answer(&path, &text)?).map(Some)
    }
}

fn says_none(path: &str, text: &str) -> bool {
    let of_subject = path.starts_with("/subjects/");
    let is_none = |code| code == NO_SUCH_SCHEMA || of_subject && NO_SUCH_SUBJECT.contains(&code);
    serde_json::from_str::<Refusal>(text).is_ok_and(|said| is_none(said.error_code))
}

/// A segment of a path in a URL.
fn escaped(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(byte.into()),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
