//! An object's `tags`: a table of words, each with a value.

use serde_json::{Value, json};

use super::{
    decode::Decode,
    diagnostic::{Fault, Report},
    source::Located,
    toml_value::TomlValue,
    written::Written,
};
use crate::model::Tags;

impl Decode for Tags {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let example = "a table such as `{ team = \"payments\" }`";
        let Some(members) = value.members() else { return value.mistyped(example, report) };
        let mut tags = Self::default();
        let mut written = 0;
        for Located { value: member, at } in members {
            written += 1;
            let Some(text) = member.value.as_str() else {
                member.mistyped::<Self>("text in quotes", report);
                continue;
            };
            if let Err(invalid) = tags.insert(member.key, text) {
                let fault = Fault::new(format!("`{}`: {invalid}", value.key));
                report.push(fault.at(at).help(invalid.help()));
            }
        }
        if written > Self::MOST {
            report.push(
                Fault::new(format!("`{}` has {written} tags", value.key))
                    .at(value.at)
                    .help(format!("an object can have {}", Self::MOST)),
            );
        }
        (written == tags.all().len() && written <= Self::MOST).then_some(tags)
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "patternProperties": {
                "^[A-Za-z0-9._/:-]{1,63}$": { "type": "string", "maxLength": Self::LONGEST },
            },
            "additionalProperties": false,
            "maxProperties": Self::MOST,
        })
    }

    fn kind() -> String {
        "table of text, at most 50".to_owned()
    }
}

impl Written for Tags {
    fn written(&self) -> String {
        "none".to_owned()
    }
}
