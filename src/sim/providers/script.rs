//! What a simulated provider can be told to say, whatever its registers hold; and what it remembers of being asked.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::task::JoinHandle;

use crate::sim::{
    Simulation,
    channel::Hub,
    providers::{
        Provider,
        bill99::Bill99,
        cpcn::Cpcn,
        face::{Face, Liveness},
        id_card::IdCard,
        operator_detail::OperatorDetail,
        registry::Registry,
        reseller::Reseller,
        tencent::Tencent,
    },
    record::lock,
    world::{CardState, Element},
};

/// What a provider says, before it is put into its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Everything belongs together.
    Match,
    /// These do not; whether they are named is the provider's affair.
    NoMatch(Vec<Element>),
    /// Nothing is known of the card, phone or person.
    NoRecord,
    /// The card is not in order.
    State(CardState),
    /// The bank, card or operator cannot be asked.
    Unsupported,
    /// This card, phone or person was asked about too often.
    Limited,
    /// An element is not written as it should be.
    Invalid,
    /// The provider itself fails.
    Busy,
    /// A code that no document has.
    Strange,
}

/// What becomes of an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// Its second half is missing.
    Truncated,
    /// A page in its place, such as a gateway's.
    Page,
    /// It says that it is an image.
    OtherType,
}

impl Twist {
    pub(super) fn apply(self, content_type: &'static str, body: String) -> (&'static str, String) {
        match self {
            Self::None => (content_type, body),
            Self::Truncated => {
                (content_type, body.chars().take(body.chars().count() / 2).collect())
            }
            Self::Page => {
                ("text/html", "<html><body><p>Please come back later.</body></html>".into())
            }
            Self::OtherType => ("image/png", body),
        }
    }
}

/// What a provider is told to do with every authentic request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it says.
    pub said: Said,
    /// What becomes of that.
    pub twist: Twist,
}

/// The scripts in force, by provider.
#[derive(Default)]
pub(in crate::sim) struct Scripts(Mutex<HashMap<String, Script>>);

impl Scripts {
    pub(super) fn of(&self, provider: &str) -> Option<Script> {
        lock(&self.0).get(provider).cloned()
    }
}

/// One inquiry as the provider remembers it.
#[derive(Clone, PartialEq, Eq)]
pub struct Inquired {
    /// Whether the request was its buyer's.
    pub authentic: bool,
    /// The elements that it read; those of a card that are not in any register are left out.
    pub elements: Vec<(Element, String)>,
    /// The code that it answered with.
    pub code: String,
    /// Whether it bills the answer.
    pub billable: bool,
}

impl fmt::Debug for Inquired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authentic, elements, code, billable } = self;
        write!(
            f,
            "{code} (authentic {authentic}, billable {billable}, {} elements)",
            elements.len()
        )
    }
}

impl Simulation {
    /// Tells a provider what to say from now on; nothing lets it look things up again.
    pub fn script(&self, provider: &str, script: Option<Script>) {
        let mut scripts = lock(&self.hub.scripts.0);
        match script {
            Some(script) => scripts.insert(provider.to_owned(), script),
            None => scripts.remove(provider),
        };
    }

    /// What a provider was asked so far, in order.
    pub fn inquiries(&self, provider: &str) -> Vec<Inquired> {
        let book = self.hub.log.providers();
        let of_it = book.iter().filter(|at| at.provider == provider);
        let inquired = of_it.map(|at| Inquired {
            authentic: at.authentic,
            elements: [Element::Name, Element::IdNumber, Element::Pan, Element::Phone]
                .into_iter()
                .filter_map(|element| Some((element, at.tuple.get(element)?.to_owned())))
                .collect(),
            code: at.answer.clone(),
            billable: at.billable,
        });
        inquired.collect()
    }
}

/// A server's address and its task.
type Server = (SocketAddr, JoinHandle<()>);

/// Starts the providers that the demonstration does not use.
pub(in crate::sim) async fn serve_others(
    hub: &Arc<Hub>,
    credentials: &BTreeMap<&'static str, String>,
) -> io::Result<Vec<(&'static str, Server)>> {
    let secret = |name: &str| credentials.get(name).cloned().unwrap_or_default();
    let detail = OperatorDetail { appcode: secret("operator-detail-appcode") };
    let reseller =
        Reseller { account: secret("reseller-account"), secret: secret("reseller-secret") };
    let cpcn = Cpcn { institution: secret("cpcn-institution"), token: secret("cpcn-token") };
    let bill99 = Bill99 { merchant: secret("99bill-merchant"), key: secret("99bill-key") };
    let house = Tencent { secret_id: secret("tencent-id"), secret_key: secret("tencent-secret") };
    let (face, liveness) = (Face { house }, Liveness { appcode: secret("liveness-appcode") });
    let id_card = IdCard { appcode: secret("id-card-appcode") };
    let registry =
        Registry { account: secret("registry-account"), secret: secret("registry-secret") };
    let hub = || Arc::clone(hub);
    Ok(vec![
        ("operator-detail", Provider::serve(detail, hub()).await?),
        ("reseller", Provider::serve(reseller, hub()).await?),
        ("cpcn", Provider::serve(cpcn, hub()).await?),
        ("99bill", Provider::serve(bill99, hub()).await?),
        ("face", Provider::serve(face, hub()).await?),
        ("liveness", Provider::serve(liveness, hub()).await?),
        ("id-card", Provider::serve(id_card, hub()).await?),
        ("registry", Provider::serve(registry, hub()).await?),
    ])
}
