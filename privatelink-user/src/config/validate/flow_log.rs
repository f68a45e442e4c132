//! The flow log.

use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw::{self, FlowLogFormat},
    },
    model::{FlowLog, LogField, LogFormat},
};

/// Validates the settings of the flow log.
pub(super) fn validate(raw: raw::FlowLog, report: &mut Report) -> Option<FlowLog> {
    let at = raw.fields.as_ref().map(|fields| fields.at);
    let fields = raw.fields.map(|fields| fields.value.0.into_iter().map(|one| one.value).collect());
    let format = match raw.format.value {
        FlowLogFormat::Vpc => LogFormat::Vpc(fields.unwrap_or_else(LogField::default_fields)),
        FlowLogFormat::Json => {
            if let Some(at) = at {
                report.push(Fault::new("`fields` needs the format \"vpc\"").at(at).help(
                    "add `format = \"vpc\"`, or remove `fields`: JSON records have every field",
                ));
                return None;
            }
            LogFormat::Json
        }
    };
    Some(FlowLog {
        to: raw.to?.value,
        format,
        interval: raw.interval.value,
        refusals: raw.refusals.value,
        rotate_size: raw.rotate_size.value,
        rotate_count: raw.rotate_count.value,
    })
}
