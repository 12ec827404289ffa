//! The deployment that points Hefu at the simulation: the text of a `hefu.toml`.

use std::fmt::Write as _;

use crate::sim::{Audit, Simulation, world::BANKS};

/// The channels whose payloads are sealed, with the key files of both directions.
const SEALED: &[(&str, &str, &str)] = &[("baofoo", "baofoo-core.pem", "baofoo-channel.pem")];

/// The channels that notify, with the key file of what they sign, where it is pinned by itself.
const NOTIFY: &[(&str, Option<&str>)] = &[
    ("unionpay", Some("unionpay-channel.pem")),
    ("lianlian", Some("lianlian-channel.pem")),
    ("baofoo", None),
    ("yeepay", None),
];

/// Statements of channels for which no public layout was found: as a merchant's own books might write them. They name what settled.
const STATEMENTS: &[(&str, &str)] = &[
    (
        "yeepay",
        r#"
[[statement]]
file = "^trade_"
separator = ","
quoted = true
head = 1
ignored = "^总计"
columns = { kind = 1, merchant = 2, order = 3, amount = 4, state = 5 }

[[statement.line]]
scenario = ["debit"]
when = { kind = "PAY" }
order = ["order"]
outcome = "succeeded"

[[statement.line]]
scenario = ["withdraw"]
when = { kind = "WITHDRAW", state = "RETURNED" }
order = ["merchant", "order"]
merchant = "merchant"
amount = { column = "amount", unit = "yuan" }
outcome = "reversed"

[[statement.line]]
scenario = ["withdraw"]
when = { kind = "WITHDRAW" }
order = ["merchant", "order"]
merchant = "merchant"
amount = { column = "amount", unit = "yuan" }
outcome = "succeeded"
"#,
    ),
    (
        "allinpay",
        r#"
[[statement]]
file = "^AIPG_"
charset = "GBK"
separator = "|"
columns = { single = 1, merchant = 2, order = 3, row = 4, type = 5, amount = 6 }

[[statement.line]]
scenario = ["debit", "payout"]
when = { single = "S" }
order = ["merchant", "order"]
merchant = "merchant"
amount = { column = "amount", unit = "fen" }
outcome = "succeeded"

[[statement.line]]
scenario = ["debit", "payout"]
when = { single = "B" }
order = ["merchant", "order", "row"]
merchant = "merchant"
amount = { column = "amount", unit = "fen" }
outcome = "succeeded"
"#,
    ),
];

/// What each product of the providers in use costs, in fen. The last three are for accounts only.
const PRICES: [(&str, u64); 7] = [
    ("tencent", 60),
    ("aliyun", 50),
    ("operator3", 20),
    ("unionpay72", 80),
    ("tencent-identity", 30),
    ("operator-detail", 35),
    ("cpcn", 100),
];

/// What a product costs.
pub(super) fn price(provider: &str) -> u64 {
    PRICES.iter().find(|(name, _)| *name == provider).map_or(0, |(_, price)| *price)
}

impl Audit {
    /// What all providers bill, by their own books, in fen.
    pub fn billed_fen(&self) -> u64 {
        self.billable.iter().map(|(provider, count)| price(provider).saturating_mul(*count)).sum()
    }
}

/// Where the Hefu of a simulation listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// On free ports of loopback.
    Free,
    /// On those of the configuration that ships, with metrics for everybody: for containers, whose network is their own.
    Usual,
}

impl Listeners {
    /// Their lines of `hefu.toml`.
    const fn lines(self) -> &'static str {
        match self {
            Self::Free => {
                "core = \"127.0.0.1:0\"\nnotify = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\""
            }
            Self::Usual => {
                "core = \"127.0.0.1:7000\"\nnotify = \"127.0.0.1:7001\"\nadmin = \"127.0.0.1:7070\"\nmetrics = \"0.0.0.0:7071\""
            }
        }
    }
}

impl Simulation {
    /// `hefu.toml` for this simulation: every channel, four of its providers, all else passed through.
    /// The files `admin-token` and `fingerprint-key` are the caller's to write beside it.
    pub fn deployment(&self, listeners: Listeners) -> String {
        let url = |name: &str| self.endpoints().get(name).cloned().unwrap_or_default();
        let file = |name: &str| {
            self.key_files().get(name).map(|file| file.display().to_string()).unwrap_or_default()
        };
        let credential = |name: &str| self.credentials().get(name).cloned().unwrap_or_default();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"
[listen]
{listeners}
admin_token_file = "admin-token"

[store]
file = "hefu.db"

[secrets]
fingerprint_key_file = "fingerprint-key"
fingerprint_key_id = 1

[providers.tencent-bankcard4e]
url = "{tencent}"
priority = 10
price_fen = {tencent_fen}
fen_per_day = 100000000
vars = {{ secret_id = "{tencent_id}" }}
credentials = {{ secret_key = "{tencent_secret}" }}

[providers.aliyun-bankcard4]
url = "{aliyun}"
priority = 20
price_fen = {aliyun_fen}
vars = {{ access_key_id = "{aliyun_id}" }}
credentials = {{ access_key_secret = "{aliyun_secret}" }}

[providers.operator3-market]
url = "{operator3}"
priority = 30
price_fen = {operator3_fen}
credentials = {{ appcode = "{appcode}" }}

[providers.unionpay-auth72]
url = "{unionpay72}"
priority = 40
price_fen = {unionpay72_fen}
vars = {{ mer_id = "777290058110048", cert_id = "68759585097" }}
credentials = {{ sign_key = "{sign_key}", verify_key = "{verify_key}" }}

[[passthrough]]
path = "/"
upstream = "{plain}"
"#,
            listeners = listeners.lines(),
            tencent_fen = price("tencent"),
            aliyun_fen = price("aliyun"),
            operator3_fen = price("operator3"),
            unionpay72_fen = price("unionpay72"),
            tencent = url("tencent"),
            aliyun = url("aliyun"),
            operator3 = url("operator3"),
            unionpay72 = url("unionpay72"),
            plain = url("plain"),
            tencent_id = credential("tencent-id"),
            aliyun_id = credential("aliyun-id"),
            tencent_secret = file("tencent-secret"),
            aliyun_secret = file("aliyun-secret"),
            appcode = file("operator3-appcode"),
            sign_key = file("unionpay72-buyer.key.pem"),
            verify_key = file("unionpay72-provider.pem"),
        );
        self.write_channels(&mut text);
        text
    }

    /// What `hefu.toml` has besides where payment accounts are upgraded: who vouches for people and for the class of a bank account, and an
    /// operator's word by another road.
    pub fn deployment_of_accounts(&self) -> String {
        let url = |name: &str| self.endpoints().get(name).cloned().unwrap_or_default();
        let file = |name: &str| {
            self.key_files().get(name).map(|file| file.display().to_string()).unwrap_or_default()
        };
        let credential = |name: &str| self.credentials().get(name).cloned().unwrap_or_default();
        format!(
            r#"
[providers.tencent-identity]
url = "{tencent}"
priority = 50
price_fen = {identity_fen}
vars = {{ secret_id = "{tencent_id}" }}
credentials = {{ secret_key = "{tencent_secret}" }}

[providers.operator3-detail]
url = "{detail}"
priority = 60
price_fen = {detail_fen}
credentials = {{ appcode = "{appcode}" }}

[providers.cpcn-account-level]
url = "{cpcn}"
priority = 70
price_fen = {cpcn_fen}
vars = {{ institution_id = "{institution}" }}
credentials = {{ token = "{token}" }}
"#,
            identity_fen = price("tencent-identity"),
            detail_fen = price("operator-detail"),
            cpcn_fen = price("cpcn"),
            tencent = url("tencent"),
            detail = url("operator-detail"),
            cpcn = url("cpcn"),
            tencent_id = credential("tencent-id"),
            tencent_secret = file("tencent-secret"),
            appcode = file("operator-detail-appcode"),
            institution = credential("cpcn-institution"),
            token = file("cpcn-token"),
        )
    }

    /// The banks of this world, as `rules/*.toml` names them.
    pub fn banks(&self) -> String {
        let bank = |(name, bins): &(&str, &[&str])| {
            format!("[[bank]]\nname = \"{name}\"\nbins = {bins:?}\n")
        };
        BANKS.iter().map(bank).collect()
    }

    /// What this simulation's deployment adds to the profile of a channel that ships: how it writes its statements.
    pub fn added_to_profile(&self, channel: &str) -> &'static str {
        STATEMENTS.iter().find(|(name, _)| *name == channel).map_or("", |(_, text)| text)
    }

    fn write_channels(&self, text: &mut String) {
        let url = |name: &str| self.endpoints().get(name).cloned().unwrap_or_default();
        let file = |name: &str| {
            self.key_files().get(name).map(|file| file.display().to_string()).unwrap_or_default()
        };
        for channel in self.channels() {
            let _ = write!(text, "\n[channels.{channel}]\nupstreams = [\"{}\"]\n", url(channel));
            for (_, key) in NOTIFY.iter().filter(|(name, _)| *name == channel) {
                let _ = writeln!(text, "notify_core = \"{}\"", url("core"));
                if let Some(key) = key {
                    let _ = writeln!(text, "keys = {{ notify = \"{}\" }}", file(key));
                }
            }
            for (_, request, answer) in SEALED.iter().filter(|(name, _, _)| *name == channel) {
                let (request, answer) = (file(request), file(answer));
                let _ =
                    writeln!(text, "keys = {{ request = \"{request}\", answer = \"{answer}\" }}");
            }
        }
    }
}
