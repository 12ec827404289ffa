//! Who calls, what they may do, and how often.

use super::body::Problem;
use super::{BODY_MAX, Live};
use crate::api::body::whole;
use crate::domain::role::{Right, Role};
use crate::policy::rules::life::Who;
use crate::service::audit::is_name;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Where whoever holds the shared token says who they are.
const HEADER: &str = "Hefu-Operator";

/// Who, where nobody says.
const SHARED: &str = "admin token";

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_mins(1);

/// A token's SHA-256; the token itself is known by nobody but whoever holds it. Compared in constant time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Of the token, without surrounding white space.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.trim().as_bytes()).into())
    }

    /// Of which only the hash is known.
    pub const fn hashed(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    fn is(&self, other: &Self) -> bool {
        openssl::memcmp::eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Somebody with a token of their own.
#[derive(Clone, Debug)]
pub struct Named {
    /// Their name.
    pub name: String,
    /// What they are there for.
    pub roles: Vec<Role>,
    /// Their token.
    pub token: Token,
}

/// Everybody who may call.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// The token that is shared.
    pub shared: Option<Token>,
    /// Those with a token of their own.
    pub named: Vec<Named>,
    /// How many requests a second each may make.
    pub per_second: u32,
}

/// Who calls.
#[derive(Clone, Debug)]
struct Caller {
    /// Their name; nobody's where the token is shared.
    name: Option<String>,
    roles: Vec<Role>,
}

impl Callers {
    fn find(&self, headers: &HeaderMap) -> Option<Caller> {
        let given = headers.get(header::AUTHORIZATION)?;
        let given = Token(Sha256::digest(given.as_bytes().strip_prefix(b"Bearer ")?).into());
        let mut found = None;
        // All are compared, so that time tells nothing.
        if self.shared.is_some_and(|shared| shared.is(&given)) {
            found = Some(Caller { name: None, roles: vec![Role::Admin] });
        }
        for Named { name, roles, token } in &self.named {
            if token.is(&given) {
                found = Some(Caller { name: Some(name.clone()), roles: roles.clone() });
            }
        }
        found
    }
}

/// Lets through who may do what a route does.
pub(super) async fn guard(
    State((live, right)): State<(Live, Right)>,
    request: Request,
    next: Next,
) -> Response {
    let admin = live.current();
    let (callers, throttle) = (&admin.callers, &live.0.throttle);
    let caller = callers.find(request.headers());
    // Whoever guesses shares one bucket, and the shared token has its own.
    let key = caller.as_ref().map(|caller| caller.name.as_deref().unwrap_or(SHARED));
    if throttle.admits(key, callers.per_second, Instant::now()).is_err() {
        let later = [(header::RETRY_AFTER, "1")];
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests a second");
        return (later, problem).into_response();
    }
    let Some(caller) = caller else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
        return (challenge, problem).into_response();
    };
    if !caller.roles.iter().any(|role| role.may(right)) {
        let detail =
            format!("this needs the right to {}, which your roles do not have", right.as_str());
        return Problem::said(StatusCode::FORBIDDEN, detail).into_response();
    }
    let (mut parts, body) = request.into_parts();
    let body = match whole(body, BODY_MAX, BODY_WITHIN).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    parts.extensions.insert(caller);
    let is_look = right == Right::See || parts.method.is_safe();
    let doing = next.run(Request::from_parts(parts, Body::from(body)));
    if is_look { doing.await } else { live.to_its_end(doing).await }
}

/// Who does it: by their own token; or, as far as is known, whoever holds the shared one and says so.
pub(super) struct Operator {
    name: String,
    is_person: bool,
}

impl Operator {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> String {
        self.name
    }

    /// As rules see them.
    pub(super) fn who(&self) -> Who<'_> {
        if self.is_person { Who::Person(&self.name) } else { Who::Anybody(&self.name) }
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let said = match values.next() {
            None => None,
            Some(value) => {
                let name = value.to_str().ok();
                let name = name.filter(|name| is_name(name) && values.next().is_none());
                Some(name.ok_or(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "`Hefu-Operator` is one name of at most 64 letters, digits and `-_.@+/`, without 11 digits in a row: it is kept",
                ))?)
            }
        };
        let own = parts.extensions.get::<Caller>().and_then(|caller| caller.name.clone());
        match (own, said) {
            (Some(own), Some(said)) if own != said => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "your token says who you are: leave `Hefu-Operator` out, or let it say the same",
            )),
            (Some(name), _) => Ok(Self { name, is_person: true }),
            (None, said) => Ok(Self { name: said.unwrap_or(SHARED).to_owned(), is_person: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let named = |name: &str, token| Named {
            name: name.to_owned(),
            roles: vec![Role::Viewer],
            token: Token::of(token),
        };
        let callers = Callers {
            shared: Some(Token::of("shared\n")),
            named: vec![named("a", "one"), named("b", "two")],
            per_second: 1,
        };
        let check = |header: &str, expected: Option<Option<&str>>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            let found = callers.find(&headers).map(|caller| caller.name);
            assert_eq!(found, expected.map(|name| name.map(str::to_owned)), "{header}");
        };
        check("Bearer shared", Some(None));
        check("Bearer one", Some(Some("a")));
        check("Bearer two", Some(Some("b")));
        for wrong in ["Bearer on", "Bearer onee", "bearer one", "Basic one", "Bearer ", ""] {
            check(wrong, None);
        }
        assert_eq!(Callers::default().find(&HeaderMap::new()).map(|it| it.name), None);
    }
}
