//! Traffic that is not inspected: Pingora's own proxy streams it through, unbuffered, and never twice.

use super::head::{self, Framing};
use super::refuse::{Kind, Problem};
use super::upstream::{OnDoubt, Upstream};
use async_trait::async_trait;
use http::HeaderMap;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, Session, http_proxy};
use std::any::Any;
use std::sync::Arc;

/// The most addresses tried for one request.
const ADDRESSES_MAX: usize = 8;

/// Pingora's hooks.
#[derive(Debug)]
pub(super) struct Streamed;

/// One request.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Whom the route leads to. Absent where the request did not come through the edge's own reading.
    upstream: Option<Arc<Upstream>>,
    /// Its addresses, as they were when the request began.
    peers: Arc<Vec<HttpPeer>>,
    /// How many addresses could not be reached.
    unreachable: usize,
    /// Whether a connection was made: from then on a byte may have left.
    may_have_left: bool,
}

/// The proxy, with `idle` kept connections.
pub(super) fn proxy(idle: usize) -> Arc<HttpProxy<Streamed>> {
    let conf = ServerConf {
        max_retries: ADDRESSES_MAX,
        upstream_keepalive_pool_size: idle,
        ..ServerConf::default()
    };
    Arc::new(http_proxy(&Arc::new(conf), Streamed))
}

#[async_trait]
impl ProxyHttp for Streamed {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    /// The edge hands the upstream over as what the connection remembers.
    fn on_connection_reuse(
        &self,
        _: &mut Session,
        ctx: &mut Context,
        upstream: Box<dyn Any + Send + Sync>,
    ) {
        ctx.upstream = upstream.downcast::<Arc<Upstream>>().ok().map(|upstream| *upstream);
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        if ctx.upstream.is_some() {
            return Ok(false);
        }
        session.set_keepalive(None);
        answer(session, Kind::NoRoute).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let upstream = ctx.upstream.as_ref().ok_or_else(|| Error::new(ErrorType::InternalError))?;
        if ctx.unreachable == 0 {
            ctx.peers = upstream.current_peers().await;
        }
        let peer = ctx.peers.get(ctx.unreachable).cloned();
        peer.map(Box::new).ok_or_else(|| Error::new_up(ErrorType::ConnectError))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        _: &mut Context,
    ) -> Result<()> {
        for name in reserved(&request.headers) {
            request.remove_header(&name);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        _: &mut Context,
    ) -> Result<()> {
        for name in reserved(&response.headers) {
            response.remove_header(&name);
        }
        Ok(())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _reused: bool,
        _: &HttpPeer,
        _: std::os::unix::io::RawFd,
        _: Option<&pingora_core::protocols::Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.may_have_left = true;
        Ok(())
    }

    /// No method is idempotent enough to be sent twice: what a channel does with a GET is the channel's affair.
    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        _: &mut Session,
        mut error: Box<Error>,
        _: &mut Context,
        _reused: bool,
    ) -> Box<Error> {
        error.set_retry(false);
        error
    }

    /// The next address, since nothing was sent.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.unreachable += 1;
        error.set_retry(ctx.unreachable < ctx.peers.len());
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let closes = ctx
            .upstream
            .as_ref()
            .is_none_or(|upstream| upstream.settings().on_doubt == OnDoubt::Close);
        let kind = match (error.esource(), ctx.may_have_left) {
            (ErrorSource::Downstream, _) if *error.etype() == ErrorType::InvalidHTTPHeader => {
                Some(Kind::Framing(Framing::Syntax))
            }
            (ErrorSource::Downstream, _) => None,
            (_, false) => Some(Kind::Unavailable),
            (_, true) => (!closes).then_some(Kind::InDoubt),
        };
        let kind = kind.filter(|_| session.response_written().is_none());
        session.set_keepalive(None);
        if let Some(kind) = kind {
            let _ = answer(session, kind).await;
        }
        FailToProxy { error_code: kind.map_or(0, Kind::status), can_reuse_downstream: false }
    }
}

fn reserved(fields: &HeaderMap) -> Vec<http::HeaderName> {
    fields.keys().filter(|name| head::is_reserved(name.as_str())).cloned().collect()
}

async fn answer(session: &mut Session, kind: Kind) -> Result<()> {
    let problem = Problem::new(kind);
    let body = problem.json();
    let mut response = ResponseHeader::build(kind.status(), Some(3))?;
    response.insert_header(http::header::CONTENT_TYPE, "application/problem+json")?;
    response.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    if let Some(seconds) = problem.retry_after {
        response.insert_header(http::header::RETRY_AFTER, seconds)?;
    }
    session.write_response_header(Box::new(response), false).await?;
    session.write_response_body(Some(body.into()), true).await
}
