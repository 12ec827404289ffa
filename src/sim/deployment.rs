//! The deployment that points Hefu at the simulation: the text of a `hefu.toml`.

use std::fmt::Write as _;

use crate::sim::Simulation;

/// The channels whose payloads are sealed, with the key files of both directions.
const SEALED: &[(&str, &str, &str)] = &[("baofoo", "baofoo-core.pem", "baofoo-channel.pem")];

impl Simulation {
    /// `hefu.toml` for this simulation: every channel, four of its providers, all else passed through; listeners on free ports.
    /// The files `admin-token` and `fingerprint-key` are the caller's to write beside it.
    pub fn deployment(&self) -> String {
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
core = "127.0.0.1:0"
admin = "127.0.0.1:0"
admin_token_file = "admin-token"

[store]
file = "hefu.db"

[secrets]
fingerprint_key_file = "fingerprint-key"
fingerprint_key_id = 1

[providers.tencent-bankcard4e]
url = "{tencent}"
priority = 10
price_fen = 60
vars = {{ secret_id = "{tencent_id}" }}
credentials = {{ secret_key = "{tencent_secret}" }}

[providers.aliyun-bankcard4]
url = "{aliyun}"
priority = 20
price_fen = 50
vars = {{ access_key_id = "{aliyun_id}" }}
credentials = {{ access_key_secret = "{aliyun_secret}" }}

[providers.operator3-market]
url = "{operator3}"
priority = 30
price_fen = 20
credentials = {{ appcode = "{appcode}" }}

[providers.unionpay-auth72]
url = "{unionpay72}"
priority = 40
price_fen = 80
vars = {{ mer_id = "777290058110048", cert_id = "68759585097" }}
credentials = {{ sign_key = "{sign_key}", verify_key = "{verify_key}" }}

[[passthrough]]
path = "/"
upstream = "{plain}"
"#,
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
        for channel in self.channels() {
            let _ = write!(text, "\n[channels.{channel}]\nupstreams = [\"{}\"]\n", url(channel));
            for (_, request, answer) in SEALED.iter().filter(|(name, _, _)| *name == channel) {
                let (request, answer) = (file(request), file(answer));
                let _ =
                    writeln!(text, "keys = {{ request = \"{request}\", answer = \"{answer}\" }}");
            }
        }
        text
    }
}
