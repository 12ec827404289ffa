//! The adapter: a definition and a deployment, compiled to something that can be asked over HTTP.

use crate::domain::answer::Answer;
use crate::domain::business::CreditCode;
use crate::domain::clock::Timestamp;
use crate::domain::element::{CardSecret, ElementSet, Elements, InvalidElement};
use crate::domain::id::{PaymentId, ProviderName, Road};
use crate::domain::identity::{CertificateNumber, IdNumber, IdType};
use crate::domain::image::Image;
use crate::domain::pan::{AccountKind, AccountLevel, Pan};
use crate::domain::person::{Mobile, Name};
use crate::domain::trace::Said;
use crate::provider::auth::{Auth, Scene, Setting};
use crate::provider::deployment::Deployment;
use crate::provider::facts;
use crate::provider::file::{Definition, read_kind, read_set, read_words};
use crate::provider::problem::{Problem, Problems};
use crate::provider::rate::Rate;
use crate::provider::request::{Draft, Request};
use crate::provider::response::{Asked, Response};
use crate::provider::server;
use crate::provider::template::{Templates, Unwritable};
use crate::provider::trace::{Asking, Attributes};
use crate::provider::{Capability, Inquiry, Provider, Reply, Trouble};
use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use reqwest::{RequestBuilder, Url};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What templates see as `var`, by element set.
type Vars = Vec<(ElementSet, BTreeMap<String, String>)>;

/// A provider that is asked over HTTP as its definition says.
pub struct HttpProvider {
    deployment: Deployment,
    capability: Capability,
    vars: Vars,
    /// Where it is.
    place: Url,
    /// With the name in the certificate as its host: the client resolves the deployment's host whatever it says.
    base: Url,
    /// The `Host` that a request carries.
    host: String,
    client: reqwest::Client,
    rate: Option<Rate>,
    templates: Templates,
    request: Request,
    auth: Auth,
    response: Response,
}

impl fmt::Debug for HttpProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvider")
            .field("deployment", &self.deployment)
            .field("capability", &self.capability)
            .finish_non_exhaustive()
    }
}

impl HttpProvider {
    /// Its deployment: priority, price, whether it is enabled.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }
}

impl Definition {
    /// Checks the definition against a deployment and makes a provider of them.
    ///
    /// # Errors
    /// Every [`Problem`] found, in the order of the file.
    pub fn compile(&self, deployment: Deployment) -> Result<HttpProvider, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut templates = Templates::new(self.charset);
        let (capability, vars) = self.capability(&deployment, &mut problems);
        let request = Request::compile(&self.request, self.charset, &mut templates, &mut problems);
        let setting = Setting {
            deployment: &deployment,
            request: &request,
            templates: &mut templates,
            problems: &mut problems,
        };
        let auth = Auth::compile(&self.auth, setting);
        let asked = capability.sets.iter().fold(ElementSet::EMPTY, |all, set| all.union(*set));
        let of = Asked { elements: asked, kind: capability.kind };
        let response = Response::compile(&self.response, self.charset, of, &mut problems);
        try_templates(&templates, &vars, &mut problems);
        if let (Some(xml), [_, ..]) = (&self.request.xml, vars.as_slice()) {
            try_xml((&request, &templates), &vars, xml.span(), &mut problems);
        }
        let place = server::base(&deployment, &mut problems);
        let identity = self.identity(&deployment, place.as_ref(), &mut problems);
        let host = place.as_ref().map(server::host).unwrap_or_default();
        let base = place.clone().and_then(|url| server::named(url, &deployment, &mut problems));
        let client = server::client(&deployment, identity, &mut problems);
        match (auth, place.zip(base), client) {
            (Some(auth), Some((place, base)), Some(client)) if problems.0.is_empty() => {
                Ok(HttpProvider {
                    rate: deployment.rate.map(Rate::new),
                    host,
                    deployment,
                    capability,
                    vars,
                    place,
                    base,
                    client,
                    templates,
                    request,
                    auth,
                    response,
                })
            }
            _ => Err(problems.0),
        }
    }

    /// What is presented on the connection; over loopback there need be nothing.
    fn identity(
        &self,
        deployment: &Deployment,
        base: Option<&Url>,
        problems: &mut Problems,
    ) -> Option<reqwest::Identity> {
        let Some(client) = &deployment.client else {
            if self.client_certificate && base.is_some_and(|url| !server::is_loopback(url)) {
                let message = "it asks for a certificate of ours";
                let hint = "set `tls.client_cert_file` and `tls.client_key_file`";
                problems.deployment("tls", message, hint);
            }
            return None;
        };
        let identity = reqwest::Identity::from_pkcs8_pem(&client.certificate, client.key.expose());
        if identity.is_err() {
            let message = "the client certificate and its key cannot be read";
            problems.deployment("tls", message, "both are PEM, the key PKCS #8");
        }
        identity.ok()
    }

    /// What it can answer, and the variables of each set.
    fn capability(&self, deployment: &Deployment, problems: &mut Problems) -> (Capability, Vars) {
        let mut vars = Vars::new();
        let kind = read_kind(self.kind.as_ref(), problems);
        if self.sets.get().is_empty() {
            problems.file(self.sets.span(), "it answers nothing", "list its element sets");
        }
        for file in self.sets.get() {
            let set = read_set(file.elements.get(), problems);
            let sample = sample().set().intersection(kind.takes());
            if set.is_empty() || !sample.is_superset(set) {
                let message = format!("{{{set}}} cannot be asked");
                let hint = format!("a set has one or more of: {sample}");
                problems.file(file.elements.span(), message, &hint);
            } else if !set.is_superset(kind.needs()) {
                let message = format!("{{{set}}} is no question of the kind `{}`", kind.as_str());
                let hint = format!("such a question has: {}", kind.needs());
                problems.file(file.elements.span(), message, &hint);
            }
            if vars.iter().any(|(seen, _)| *seen == set) {
                problems.file(file.elements.span(), format!("{{{set}}} is there twice"), "");
            }
            let mut all = deployment.vars.clone();
            for (name, value) in &file.vars {
                if all.insert(name.get().clone(), value.clone()).is_some() {
                    let message = format!("the deployment sets `var.{}` too", name.get());
                    problems.file(name.span(), message, "name one of them otherwise");
                }
            }
            vars.push((set, all));
        }
        for (text, what) in [(&self.road, "a road"), (&self.source, "a source")] {
            if text.get().trim().is_empty() {
                problems.file(text.span(), format!("{what} has a name"), "");
            }
        }
        let kinds = AccountKind::ALL.map(AccountKind::as_str);
        let ids = IdType::ALL.map(IdType::as_str);
        let capability = Capability {
            road: Road::new(self.road.get()),
            source: self.source.get().as_str().into(),
            kind,
            sets: vars.iter().map(|(set, _)| *set).collect(),
            account_kinds: read_words(
                &self.account_kinds,
                AccountKind::from_word,
                &kinds,
                problems,
            ),
            id_types: read_words(&self.id_types, IdType::from_word, &ids, problems),
        };
        (capability, vars)
    }
}

/// Renders every template once for every set, with made-up elements.
fn try_templates(templates: &Templates, vars: &Vars, problems: &mut Problems) {
    let known: BTreeSet<String> = vars.iter().flat_map(|(_, vars)| vars.keys().cloned()).collect();
    let before = problems.0.len();
    templates.check_names(&known, problems);
    // A wrong name fails on every set; saying it once is enough.
    if problems.0.len() > before {
        return;
    }
    let now = Timestamp::from_millis(1_767_225_600_000);
    let sample = sample();
    for (set, vars) in vars {
        let context = facts::context(&sample.restricted(*set), PaymentId::new(now, 0), now, vars);
        let failures = problems.0.len();
        templates.try_on(*set, &context, problems);
        if problems.0.len() > failures {
            return;
        }
    }
}

/// Reads the XML of every set as its reader would.
fn try_xml(
    (request, templates): (&Request, &Templates),
    vars: &Vars,
    span: std::ops::Range<usize>,
    problems: &mut Problems,
) {
    let now = Timestamp::from_millis(1_767_225_600_000);
    let sample = sample();
    let mut contexts = vars.iter().map(|(set, vars)| {
        facts::context(&sample.restricted(*set), PaymentId::new(now, 0), now, vars)
    });
    let fault = contexts.find_map(|context| request.try_xml(templates, &context).err());
    if let Some(fault) = fault {
        problems.file(span, format!("the template writes no XML document: {fault}"), "");
    }
}

/// Elements that belong to nobody; the identity number is the example of GB 11643 itself, the credit code that of GB 32100.
fn sample() -> Elements {
    Elements {
        name: Name::parse("测试").ok(),
        id_number: IdNumber::parse("11010519491231002X", IdType::ResidentId).ok(),
        pan: Pan::parse("6200000000000005", AccountKind::Debit).ok(),
        phone: Mobile::parse("13800000000").ok(),
        cvv2: CardSecret::cvv2("000").ok(),
        expiry: CardSecret::expiry("0000").ok(),
        account_level: Some(AccountLevel::One),
        face_image: Image::parse("/9j/4AAQ", InvalidElement::FaceImage).ok(),
        id_card_image: Image::parse("/9j/4AAQ", InvalidElement::IdCardImage).ok(),
        business_name: Name::parse("测试").ok(),
        credit_code: CreditCode::parse("91350100M000100Y43").ok(),
        certificate_number: CertificateNumber::parse("000000000000000000").ok(),
    }
}

#[async_trait]
impl Provider for HttpProvider {
    fn name(&self) -> &ProviderName {
        &self.deployment.name
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn timeout(&self) -> Duration {
        self.deployment.timeout
    }

    async fn ask(&self, inquiry: &Inquiry, now: Timestamp) -> Reply {
        if !self.capability.can_answer(inquiry.set, &inquiry.elements) {
            return Reply::not_sent(Answer::NotPossible, Trouble::NotAsked);
        }
        let Ok(draft) = self.write(inquiry, now) else {
            return Reply::not_sent(Answer::Invalid, Trouble::Unwritable);
        };
        if self.rate.as_ref().is_some_and(|rate| !rate.admits(now)) {
            return Reply::not_sent(Answer::Unavailable, Trouble::Rate);
        }
        let (status, body) = match self.send(draft).await {
            Ok(answer) => answer,
            Err(Trouble::Connect) => {
                return Reply::not_sent(Answer::Unavailable, Trouble::Connect);
            }
            Err(trouble) => return Reply::unavailable(trouble),
        };
        let reading = self.response.read(status, &body, inquiry.set, &self.auth);
        let reply = Reply {
            answer: reading.answer,
            code: None,
            billable: reading.billable,
            source: reading.source,
            trouble: reading.trouble,
            more: reading.more,
        };
        match reading.code {
            Some(code) => reply.with_code(&code, &inquiry.elements),
            None => reply,
        }
    }
}

impl HttpProvider {
    /// One question, signed; nothing outside its set is in reach of the templates.
    fn write(&self, inquiry: &Inquiry, now: Timestamp) -> Result<Draft, Unwritable> {
        let (_, vars) = self.vars.iter().find(|(set, _)| *set == inquiry.set).ok_or(Unwritable)?;
        let elements = inquiry.elements.restricted(inquiry.set);
        let context = facts::context(&elements, inquiry.id, now, vars);
        let mut draft = self.request.write(&self.templates, &context)?;
        let scene = Scene { templates: &self.templates, context: &context, host: &self.host };
        self.auth.sign(&mut draft, &scene)?;
        Ok(draft)
    }

    /// Sends once; errors lose their text, since it has the URL and that may have elements.
    async fn send(&self, draft: Draft) -> Result<(u16, Vec<u8>), Trouble> {
        let mut url = self.base.clone();
        url.set_path(&draft.path);
        url.set_query(Some(draft.query.as_str()).filter(|query| !query.is_empty()));
        let mut headers = draft.headers;
        if let Ok(host) = HeaderValue::from_str(&self.host) {
            headers.entry(header::HOST).or_insert(host);
        }
        let asking = Asking::begin();
        if let Some(trace) = asking.header() {
            headers.insert("traceparent", trace);
        }
        let method = draft.method.clone();
        let request = self.client.request(draft.method, url).headers(headers);
        let answered = self.exchange(request.body(draft.content.bytes())).await;
        let failed = match &answered {
            Ok((status, _)) => *status >= 400,
            Err(_) => true,
        };
        asking.end(method.as_str(), failed, || self.told(&method, &answered));
        answered
    }

    /// What is told of an exchange: where it went, and how it ended. Never its path, which is made by templates.
    fn told(&self, method: &Method, answered: &Result<(u16, Vec<u8>), Trouble>) -> Attributes {
        let name = |text: &str| Said::Name(text.into());
        let mut said = vec![
            ("http.request.method", name(method.as_str())),
            ("url.full", name(&self.place.origin().ascii_serialization())),
            ("server.address", name(self.place.host_str().unwrap_or_default())),
            ("hefu.provider", name(self.deployment.name.as_str())),
        ];
        if let Some(port) = self.place.port_or_known_default() {
            said.push(("server.port", Said::Number(port.into())));
        }
        match answered {
            Ok((status, _)) => {
                said.push(("http.response.status_code", Said::Number((*status).into())));
                if *status >= 400 {
                    said.push(("error.type", Said::Name(status.to_string().into())));
                }
            }
            Err(trouble) => said.push(("error.type", Said::Word(trouble.as_str()))),
        }
        said
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), Trouble> {
        let mut answer = request.send().await.map_err(|error| {
            let never_left = error.is_connect() || error.is_builder();
            if never_left { Trouble::Connect } else { Trouble::Silence }
        })?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| Trouble::Silence)? {
            if body.len() + chunk.len() > self.deployment.body_bytes_max {
                return Err(Trouble::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}
