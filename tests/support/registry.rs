//! The testbed's registry of schemas, at its own interface.

use serde_json::Value;

use super::Cluster;

impl Cluster {
    /// The registry's address, as `[registry]` has it.
    pub fn registry(&self) -> String {
        format!("http://{}/apis/ccompat/v7", self.listener_of(8081))
    }
}

/// Registers a version of a subject in the registry at `url`; the schema's id.
pub fn register(url: &str, subject: &str, body: &Value) -> u32 {
    let answer = ureq::post(format!("{url}/subjects/{subject}/versions"))
        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .send(body.to_string());
    let text = answer.unwrap().body_mut().read_to_string().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["id"].as_u64().unwrap() as u32
}
