//! From `[trace]` to who is told of the work on messages.

use super::deployment::time;
use super::routing::portion;
use super::webhook::may_be_told;
use crate::config::file::TraceFile;
use crate::config::read::{At, Sheet};
use crate::config::settings::Tracing;
use crate::domain::chance::Share;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks who takes spans.
pub(crate) fn check(sheet: &mut Sheet, at: &At<TraceFile>) -> Option<Tracing> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say where the collector is, such as `otlp = \"http://127.0.0.1:4318/v1/traces\"`";
    let otlp = sheet.need(file.otlp.as_ref(), span, "otlp", hint);
    let share = file.share.as_ref().map_or(Share::NONE, |share| portion(sheet, share, 1.0));
    let second = Duration::from_secs(1);
    let timeout = time(sheet, file.timeout.as_ref(), second..=second * 60, TIMEOUT);
    let otlp = otlp?;
    if !may_be_told(&otlp.value) {
        let hint = "write it as `https://collector.example/v1/traces` or, on this machine, `http://127.0.0.1:4318/v1/traces`";
        sheet.problem(&otlp.span, "not the URL of a collector", hint);
    }
    Some(Tracing { otlp: otlp.value.clone(), share, timeout })
}
