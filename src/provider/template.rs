//! Templates: compiled once, tried on every element set before the first real question, rendered with bounded work.

use crate::domain::element::ElementSet;
use crate::provider::facts::{NAMES, TIME_PARTS};
use crate::provider::file::{At, Charset};
use crate::provider::problem::{Problems, did_you_mean};
use base64::Engine as _;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use std::{collections::BTreeSet, ops::Range};

/// Instructions that one template may execute; real ones need fewer than a hundred.
const FUEL: u64 = 10_000;

/// How the names of templates end whose values are escaped; the five characters and their references are those of XML.
const XML: &str = ".xml";

/// A value cannot be written as the protocol needs it. It says no more, since the value is an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwritable;

/// A text of the definition: constant, or a template to be rendered.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Constant(Box<str>),
    Template(Box<str>),
}

/// All templates of one provider.
#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
    spans: Vec<(Box<str>, Range<usize>)>,
}

impl Templates {
    pub(crate) fn new(charset: Charset) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| {
            let xml = name.ends_with(XML);
            if xml { minijinja::AutoEscape::Html } else { minijinja::AutoEscape::None }
        });
        environment.set_fuel(Some(FUEL));
        environment.add_filter("brace_form", brace_form);
        environment.add_filter("b64encode", move |text: String| {
            let bytes = charset.encode(&text).ok_or_else(|| refuse("not in the charset"))?;
            Ok::<_, Error>(base64::engine::general_purpose::STANDARD.encode(bytes))
        });
        environment.add_filter("md5", move |text: String| {
            let bytes = charset.encode(&text).ok_or_else(|| refuse("not in the charset"))?;
            let digest = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &bytes)
                .map_err(|_| refuse("MD5 is switched off"))?;
            Ok::<_, Error>(hex::encode(digest))
        });
        Self { environment, spans: Vec::new() }
    }

    /// Compiles a text.
    pub(crate) fn add(&mut self, text: &str, span: Range<usize>, problems: &mut Problems) -> Text {
        self.add_as("", text, span, problems)
    }

    /// Compiles a text in which values are escaped as XML needs it.
    pub(crate) fn add_xml(
        &mut self,
        text: &str,
        span: Range<usize>,
        problems: &mut Problems,
    ) -> Text {
        self.add_as(XML, text, span, problems)
    }

    fn add_as(
        &mut self,
        kind: &str,
        text: &str,
        span: Range<usize>,
        problems: &mut Problems,
    ) -> Text {
        if !["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
            return Text::Constant(text.into());
        }
        let name = format!("template {}{kind}", self.spans.len());
        if let Err(error) = self.environment.add_template_owned(name.clone(), text.to_owned()) {
            let detail = error.detail().unwrap_or("not a template");
            problems.file(span, format!("the template does not parse: {detail}"), "");
            return Text::Constant("".into());
        }
        let name: Box<str> = name.into();
        self.spans.push((name.clone(), span));
        Text::Template(name)
    }

    /// Compiles a text that knows its place.
    pub(crate) fn add_at(&mut self, text: &At<String>, problems: &mut Problems) -> Text {
        self.add(text.get(), text.span(), problems)
    }

    /// Renders a text.
    pub(crate) fn render(&self, text: &Text, context: &Value) -> Result<String, Unwritable> {
        match text {
            Text::Constant(text) => Ok(text.to_string()),
            Text::Template(name) => {
                let template = self.environment.get_template(name).map_err(|_| Unwritable)?;
                template.render(context).map_err(|_| Unwritable)
            }
        }
    }

    /// Reports every variable that no question will ever have.
    pub(crate) fn check_names(&self, vars: &BTreeSet<String>, problems: &mut Problems) {
        for (template, span) in self.templates() {
            let top = template.undeclared_variables(false);
            for name in top.iter().filter(|name| !NAMES.contains(&name.as_str())) {
                let hint = did_you_mean(name, NAMES);
                problems.file(span.clone(), format!("`{name}` is no variable"), &hint);
            }
            for name in template.undeclared_variables(true) {
                let part = name.strip_prefix("time.");
                if let Some(part) = part.filter(|part| !TIME_PARTS.contains(part)) {
                    let hint = did_you_mean(part, TIME_PARTS);
                    problems.file(span.clone(), format!("`{name}` is no variable"), &hint);
                }
                let Some(var) = name.strip_prefix("var.") else { continue };
                if !vars.contains(var) {
                    let message =
                        format!("`{name}` is set neither by an element set nor by the deployment");
                    let hint = format!(
                        "add `{var} = \"…\"` to `vars` of the provider in the main configuration"
                    );
                    problems.file(span.clone(), message, &hint);
                }
            }
        }
    }

    /// Renders everything for a made-up question about `set`; what fails would fail for everyone.
    pub(crate) fn try_on(&self, set: ElementSet, context: &Value, problems: &mut Problems) {
        for (template, span) in self.templates() {
            let Err(error) = template.render(context) else { continue };
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            let message = format!("the template fails for {{{set}}}: {}{detail}", error.kind());
            let hint = "an element that is not in every set needs `{% if … is defined %}`";
            problems.file(span.clone(), message, hint);
        }
    }

    fn templates(&self) -> impl Iterator<Item = (minijinja::Template<'_, '_>, &Range<usize>)> {
        self.spans.iter().filter_map(|(name, span)| {
            self.environment.get_template(name).ok().map(|template| (template, span))
        })
    }
}

fn refuse(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// `{k=v&k=v}` of a map, leaving out what is undefined or empty; refuses values that would break out of it.
fn brace_form(map: Value) -> Result<String, Error> {
    let mut pairs = Vec::new();
    for key in map.try_iter()? {
        let value = map.get_item(&key)?;
        if value.is_undefined() || value.as_str() == Some("") {
            continue;
        }
        let value = value.to_string();
        if value.contains(['&', '=', '{', '}']) {
            return Err(refuse("a value has a character of the form's own"));
        }
        pairs.push(format!("{key}={value}"));
    }
    Ok(format!("{{{}}}", pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn check(template: &str, context: Value, expected: Result<&str, Unwritable>) {
        let mut templates = Templates::new(Charset::Gbk);
        let mut problems = Problems::default();
        let text = templates.add(template, 0..1, &mut problems);
        assert_eq!(problems.0, []);
        assert_eq!(templates.render(&text, &context).as_deref(), expected.as_deref(), "{template}");
    }

    #[test]
    fn what_is_not_there_is_never_written_as_nothing() {
        check("{{ name }}", context!(name => "张三"), Ok("张三"));
        check("{{ name }}", context!(), Err(Unwritable));
        check("{% if name is defined %}{{ name }}{% endif %}", context!(), Ok(""));
        check("no template } {", context!(), Ok("no template } {"));
    }

    #[test]
    fn brace_forms_leave_out_what_is_not_there_and_let_nothing_out() {
        let form = "{{ {'a': name, 'b': phone, 'c': '01' if phone is defined} | brace_form }}";
        check(form, context!(name => "x", phone => "1"), Ok("{a=x&b=1&c=01}"));
        check(form, context!(name => "x"), Ok("{a=x}"));
        check(form, context!(name => "x&b=2"), Err(Unwritable));
        check("{{ name | b64encode }}", context!(name => "张"), Ok("1cU="));
        check("{{ name | b64encode }}", context!(name => "𠮷"), Err(Unwritable));
    }

    #[test]
    fn work_is_bounded() {
        check("{% for i in range(9999) %}{{ i }}{% endfor %}", context!(), Err(Unwritable));
    }

    #[test]
    fn a_part_may_be_hashed() {
        // `printf 000005 | md5sum`, and 张 in GBK.
        let pan = "{{ pan[:-6] }}{{ pan[-6:] | md5 }}";
        check(
            pan,
            context!(pan => "6200000000000005"),
            Ok("6200000000b69b712f7bd6757ddcda59959c89a2b1"),
        );
        check(
            "{{ name[:1] | md5 }}{{ name[1:] }}",
            context!(name => "张三"),
            Ok("3ae0b2f5ac71b5f442db4d5f2c3b4120三"),
        );
        check("{{ name | md5 }}", context!(name => "𠮷"), Err(Unwritable));
    }

    #[test]
    fn values_are_never_templates_and_escaped_in_xml_alone() {
        check("{{ name }}", context!(name => "{{ pan }}"), Ok("{{ pan }}"));
        check("{{ name }}", context!(name => "<'&\">"), Ok("<'&\">"));
        let mut templates = Templates::new(Charset::Utf8);
        let text = templates.add_xml("<a>{{ name }}</a>", 0..1, &mut Problems::default());
        let xml = templates.render(&text, &context!(name => "<'&\">/]]>·")).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        assert_eq!(document.root_element().text(), Some("<'&\">/]]>·"), "{xml}");
    }
}
