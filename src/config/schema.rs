//! The JSON Schema of the files, for editors and for `hefu schema`.

use super::file::calendar::CalendarFile;
use super::file::channel::ChannelFile;
use super::file::classes::ClassesFile;
use super::file::codes::CodesFile;
use super::file::rules::RulesFile;
use super::file::{HefuFile, PolicyFile};
use crate::provider::Definition;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// One schema for the eight kinds of file: each is one of its alternatives.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = [
        generator.subschema_for::<HefuFile>(),
        generator.subschema_for::<PolicyFile>(),
        generator.subschema_for::<CalendarFile>(),
        generator.subschema_for::<ClassesFile>(),
        generator.subschema_for::<ChannelFile>(),
        generator.subschema_for::<CodesFile>(),
        generator.subschema_for::<Definition>(),
        generator.subschema_for::<RulesFile>(),
    ];
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hefu's configuration: hefu.toml, policy.toml, calendar.toml, classes.toml, channels/*.toml, codes/*.toml, providers/*.toml, rules/*.toml",
        "anyOf": kinds,
        "$defs": definitions,
    })
}
