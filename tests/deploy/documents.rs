//! The documents: their commands run as they stand, their references are made of the code, and their links lead somewhere.

use crate::perform::{Part, parts, perform};
use crate::tools::{documents, file, text};
use expect_test::expect_file;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

/// Where everything else goes on from.
const QUICK_START: &str = "docs/quickstart.md";
/// How many commands lead from a built binary to the first refused payment.
const COMMANDS_MAX: usize = 8;

#[test]
fn the_quick_start_is_short_and_works_as_written() {
    let commands = parts(QUICK_START).iter().filter(|part| matches!(part, Part::Run(_))).count();
    assert!(commands <= COMMANDS_MAX, "{commands} commands");
    perform(&[QUICK_START]);
}

/// Each goes on from the quick start.
#[test]
fn what_each_role_does_works_as_written() {
    perform(&[QUICK_START, "docs/roles.md"]);
}

#[test]
fn the_migration_works_as_written() {
    perform(&[QUICK_START, "docs/migration.md"]);
}

#[test]
fn the_upgrade_works_as_written() {
    perform(&[QUICK_START, "docs/upgrading.md"]);
}

#[test]
fn the_new_provider_works_as_written() {
    perform(&[QUICK_START, "docs/writing-a-provider.md"]);
}

#[test]
fn the_rule_cookbook_works_as_written() {
    perform(&[QUICK_START, "docs/rule-cookbook.md"]);
}

#[test]
fn what_is_asked_of_the_api_works_as_written() {
    perform(&[QUICK_START, "docs/concordance.md", "docs/settling.md", "docs/webhooks.md"]);
}

#[test]
fn what_clients_ask_works_as_written() {
    perform(&[QUICK_START, "docs/verification.md"]);
}

/// An example that only hits would hold for a rule that hits everything.
#[test]
fn every_recipe_says_what_it_hits_and_what_it_leaves_alone() {
    let mut recipes = 0;
    for part in parts("docs/rule-cookbook.md") {
        let Part::Write(name, text) = part else { continue };
        let file: toml::Table = text.parse().unwrap();
        for rule in file["rule"].as_array().unwrap() {
            let examples = rule["example"].as_array().unwrap().iter();
            let hits: BTreeSet<bool> = examples.map(|it| it["hits"].as_bool().unwrap()).collect();
            assert_eq!(hits.len(), 2, "{name}: {}", rule["id"]);
            recipes += 1;
        }
    }
    assert!(recipes >= 12, "{recipes} recipes");
}

/// A block of commands in any other document would be run by nobody.
#[test]
fn every_document_with_commands_is_performed() {
    let performed = [
        QUICK_START,
        "docs/roles.md",
        "docs/migration.md",
        "docs/upgrading.md",
        "docs/writing-a-provider.md",
        "docs/rule-cookbook.md",
        "docs/concordance.md",
        "docs/settling.md",
        "docs/webhooks.md",
        "docs/verification.md",
        // By `deployed`.
        "deploy/README.md",
        // By `tests/message`.
        "docs/writing-a-channel.md",
    ];
    // As other documents have them: blocks of a shell, or indented, which nobody finds.
    let hidden =
        Regex::new(r"(?m)^```(sh|bash|shell)$|^    (\$|curl|hefu|make|kubectl|docker|systemctl) ")
            .unwrap();
    for document in documents() {
        let text = text(&document);
        let has_commands = text.contains("```console");
        assert!(!has_commands || performed.contains(&document.as_str()), "{document}");
        let found = hidden.find(&text).map(|found| found.as_str());
        assert_eq!(found, None, "{document}: commands stand in ```console, and are performed");
    }
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)").unwrap();
    for document in documents() {
        let folder = file(&document).parent().unwrap().to_owned();
        for found in link.captures_iter(&text(&document)) {
            let target =
                found.get(1).map_or(document.rsplit('/').next().unwrap(), |path| path.as_str());
            if target.starts_with("http") {
                continue;
            }
            let target = folder.join(target);
            assert!(target.exists(), "{document}: {}", &found[0]);
            if let Some(anchor) = found.get(2) {
                let headings = fs::read_to_string(&target).unwrap();
                let is_there = headings
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| slug(line.trim_start_matches('#')) == anchor.as_str());
                assert!(is_there, "{document}: {}", &found[0]);
            }
        }
    }
}

/// Chapter by chapter, each language names the same commands, keys and metrics.
#[test]
fn what_is_told_in_two_languages_is_in_step() {
    let span = Regex::new(r"`([^`\n]+)`").unwrap();
    for name in ["risk", "runbooks"] {
        let told = |document: &str| {
            let text = text(document).replace("编号", "ID").replace("原因", "WHY");
            let chapters = text.split("\n#").map(|chapter| {
                let spans = span.captures_iter(chapter).map(|found| found[1].to_owned());
                let rows = chapter.lines().filter(|line| line.starts_with('|')).count();
                (spans.collect::<BTreeSet<_>>(), rows)
            });
            chapters.collect::<Vec<_>>()
        };
        let [english, chinese] = ["", ".zh"].map(|in_| told(&format!("docs/{name}{in_}.md")));
        assert_eq!(english.len(), chinese.len(), "{name}");
        for (english, chinese) in english.iter().zip(&chinese) {
            assert_eq!(english, chinese, "{name}");
        }
    }
}

/// What a heading is linked by.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_metrics_reference_is_what_there_is() {
    let mut page = "# Metrics\n\nMade of the code; `UPDATE_EXPECT=1 cargo nextest run --test deploy documents` rewrites it. Labels come from enums and configured names, \
        never from messages.\n\n| Metric | Kind | Labels | Says |\n|---|---|---|---|\n"
        .to_owned();
    for metric in hefu::metrics::Metrics::new().unwrap().catalogue() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        )
        .unwrap();
    }
    page.push_str("\n`ending` of `hefu_requests_total`, as the access log has it in `flags`: ");
    let endings = hefu::proxy::finished::Ending::ALL
        .map(|ending| format!("`{}` ({})", ending.as_str(), ending.flag().unwrap_or("-")));
    writeln!(page, "{}.", endings.join(", ")).unwrap();
    expect_file![file("docs/metrics.md")].assert_eq(&page);
}

#[test]
fn every_flag_and_field_of_the_access_log_is_explained() {
    let page = text("docs/access-log.md");
    for ending in hefu::proxy::finished::Ending::ALL {
        let flag = ending.flag().unwrap_or("-");
        assert!(page.contains(&format!("\n| `{flag}` | ")), "{flag}");
    }
}

/// Every route, whoever adds one.
#[test]
fn every_request_of_the_api_is_explained() {
    let (described, page) = (hefu::admin::openapi(), text("docs/api.md"));
    let mut seen = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let told = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&told), "{told:?} is not in docs/api.md");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} routes");
}

#[test]
fn the_configuration_reference_is_what_there_is() {
    let schema = hefu::config::schema();
    let mut page = "# Configuration reference\n\nMade of the schema (`hefu schema`); `UPDATE_EXPECT=1 cargo nextest run --test deploy documents` rewrites it. Defaults stand in \
        `config/hefu.toml` and `config/policy.toml`, where a test keeps them. **Bold** keys are needed.\n"
        .to_owned();
    let roots = [
        ("HefuFile", "hefu.toml"),
        ("PolicyFile", "policy.toml"),
        ("CalendarFile", "calendar.toml"),
        ("ClassesFile", "classes.toml"),
        ("ChannelFile", "channels/NAME.toml"),
        ("CodesFile", "codes/NAME.toml"),
        ("Definition", "providers/NAME.toml"),
    ];
    let mut seen = BTreeSet::new();
    for (root, title) in roots {
        write!(page, "\n## {title}\n").unwrap();
        let mut pending = vec![(root.to_owned(), schema["$defs"][root].clone(), title.to_owned())];
        while let Some((name, definition, path)) = pending.pop() {
            if name.is_empty() || seen.insert(name) {
                describe(&schema, (&definition, &path), &mut page, &mut pending);
            }
        }
    }
    expect_file![file("docs/configuration.md")].assert_eq(&page);
}

/// A table that is still to be described: its name where it has one, what it is, and where it stands.
type Table = (String, Value, String);

/// One table of the files; the tables within it are added to `pending`.
fn describe(
    schema: &Value,
    (definition, path): (&Value, &str),
    page: &mut String,
    pending: &mut Vec<Table>,
) {
    let said = definition["description"].as_str().unwrap_or_default().replace('\n', " ");
    write!(page, "\n### {path}\n\n").unwrap();
    if !said.is_empty() && !said.starts_with('`') {
        writeln!(page, "{said}\n").unwrap();
    }
    let Some(keys) = definition["properties"].as_object() else {
        writeln!(page, "A {}, by names of your own.", kind(definition)).unwrap();
        let path = format!("{}: NAME", path.trim_end_matches(".toml"));
        let found = tables(schema, definition).into_iter();
        pending.extend(found.map(|(name, it)| (name, it, path.clone())));
        return;
    };
    page.push_str("| Key | Is | Says |\n|---|---|---|\n");
    let needed = definition["required"].as_array().cloned().unwrap_or_default();
    let mut within = Vec::new();
    for (key, value) in keys {
        let is_needed = needed.iter().any(|one| one == key);
        let shown = if is_needed { format!("**`{key}`**") } else { format!("`{key}`") };
        let says = value["description"].as_str().unwrap_or_default();
        let (kind, says) =
            (kind(value).replace('|', "\\|"), says.replace('\n', " ").replace('|', "\\|"));
        writeln!(page, "| {shown} | {kind} | {says} |").unwrap();
        let path = format!("{}: {key}", path.trim_end_matches(".toml"));
        within.extend(tables(schema, value).into_iter().map(|(name, it)| (name, it, path.clone())));
    }
    within.reverse();
    pending.extend(within);
}

/// What has keys of its own and may stand where `value` may, by its name where it has one.
fn tables(schema: &Value, value: &Value) -> Vec<(String, Value)> {
    if value["properties"].is_object() {
        return vec![(String::new(), value.clone())];
    }
    if let Some(name) = value["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let found = tables(schema, &schema["$defs"][name]);
        let named = |(inner, it): (String, Value)| {
            let name = if inner.is_empty() { name.to_owned() } else { inner };
            (name, it)
        };
        return found.into_iter().map(named).collect();
    }
    let of = |key: &str| value[key].as_array().into_iter().flatten();
    let one = |key: &str| value.get(key).filter(|it| it.is_object());
    of("anyOf")
        .chain(of("oneOf"))
        .chain(of("allOf"))
        .chain(one("items"))
        .chain(one("additionalProperties"))
        .flat_map(|it| tables(schema, it))
        .collect()
}

/// What may stand there, in a few words.
fn kind(value: &Value) -> String {
    let any = value["anyOf"].as_array().or(value["oneOf"].as_array());
    if let Some(any) = any {
        let kinds: Vec<String> = any.iter().map(kind).filter(|kind| kind != "null").collect();
        return kinds.join(" or ");
    }
    if let Some(name) = value["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap().trim_end_matches("File");
        return format!("table {name}");
    }
    if let Some(words) = value["enum"].as_array() {
        return words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(word) = value["const"].as_str() {
        return format!("`\"{word}\"`");
    }
    let types: Vec<&str> = match &value["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => {
            many.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect()
        }
        _ => vec![],
    };
    match types.as_slice() {
        ["array"] => format!("list of {}", kind(&value["items"])),
        ["object"] if value["additionalProperties"].is_object() => {
            format!("table of {}", kind(&value["additionalProperties"]))
        }
        ["object"] => "table".to_owned(),
        ["string"] => "text".to_owned(),
        ["integer"] => "number".to_owned(),
        ["boolean"] => "`true` or `false`".to_owned(),
        [] => "anything".to_owned(),
        other => other.join(" or "),
    }
}
