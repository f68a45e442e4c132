//! The flow log.

use super::or_default;
use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw::{self, FlowLogFormat},
    },
    model::{FlowLog, LogField, LogFormat, Quantity},
};

pub(super) fn validate(raw: raw::FlowLog, report: &mut Report) -> Option<FlowLog> {
    let at = raw.fields.as_ref().map(|fields| fields.at);
    let fields = raw.fields.map(|fields| fields.value.0.into_iter().map(|one| one.value).collect());
    let format = match raw.format.as_ref().map(|format| format.value) {
        Some(FlowLogFormat::Vpc) => LogFormat::Vpc(fields.unwrap_or_else(LogField::default_fields)),
        Some(FlowLogFormat::Json) | None => {
            if let Some(at) = at {
                report.push(
                    Fault::new("`fields` are of the format \"vpc\" only")
                        .at(at)
                        .help("add `format = \"vpc\"`, or leave them out: JSON has all of them"),
                );
                return None;
            }
            LogFormat::Json
        }
    };
    let size = Quantity::try_from(FlowLog::DEFAULT_ROTATE_SIZE.cast_signed()).ok()?;
    Some(FlowLog {
        to: raw.to?.value,
        format,
        interval: or_default(raw.interval, FlowLog::DEFAULT_INTERVAL),
        refusals: or_default(raw.refusals, true),
        rotate_size: or_default(raw.rotate_size, size),
        rotate_count: or_default(raw.rotate_count, FlowLog::DEFAULT_ROTATE_COUNT),
    })
}
