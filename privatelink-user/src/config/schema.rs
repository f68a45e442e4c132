//! The JSON schema of a configuration, for editors.

use serde_json::{Value, json};

use super::{decode::Decode as _, raw::Document};

/// The schema of one file of a configuration.
pub fn schema() -> Value {
    let mut schema = Document::schema();
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
        root.insert("title".into(), json!("privatelink configuration"));
    }
    schema
}
