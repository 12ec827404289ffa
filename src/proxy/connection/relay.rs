//! The channel's answer on its way to the core.

use super::connection;
use crate::proxy::Edge;
use crate::proxy::exchange::{Answer, TooLarge};
use crate::proxy::finished::Finished;
use crate::proxy::forward::{self, Ending};
use crate::proxy::gate::Gate;
use crate::proxy::head::Head;
use crate::proxy::wire::{Body, Wire};
use bytes::BytesMut;
use http::Method;

impl<G: Gate> Edge<G> {
    /// Relays a whole answer, in one write.
    pub(super) async fn relay(
        &self,
        finished: &mut Finished,
        wire: Wire,
        head: &Head,
        answer: &Answer,
    ) -> Option<Wire> {
        finished.status = Some(answer.head.status);
        let bodiless = head.method == Method::HEAD || matches!(answer.head.status, 204 | 304);
        let told = answer.head.fields.get_all("content-length").iter().count() == 1;
        let ending =
            if bodiless || told { Ending::AsTold } else { Ending::Length(answer.body.len()) };
        let keep_alive = self.keeps_alive(head);
        let mut out =
            forward::answer(&answer.head, &finished.said, ending, connection(head, keep_alive));
        out.extend_from_slice(&answer.body);
        self.finish(finished, wire, &out, keep_alive).await
    }

    /// Relays an answer that is over the limit, piece by piece, unread.
    pub(super) async fn relay_on(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        head: &Head,
        answer: TooLarge,
    ) -> Option<Wire> {
        let TooLarge { head: answer_head, begun, mut rest, wire: mut channel } = answer;
        finished.status = Some(answer_head.status);
        let ending = match rest {
            Body::Fixed(_) => Ending::AsTold,
            Body::Chunked(_) | Body::UntilClose if head.is_http11 => Ending::Chunks,
            Body::Chunked(_) | Body::UntilClose => Ending::Close,
        };
        let keep_alive = self.keeps_alive(head) && ending != Ending::Close;
        let mut out =
            forward::answer(&answer_head, &finished.said, ending, connection(head, keep_alive));
        let mut piece = BytesMut::from(begun);
        let mut done = false;
        loop {
            match ending {
                Ending::Chunks if !piece.is_empty() => forward::chunk(&mut out, &piece),
                _ => out.extend_from_slice(&piece),
            }
            if done && ending == Ending::Chunks {
                out.extend_from_slice(b"0\r\n\r\n");
            }
            if done {
                return self.finish(finished, wire, &out, keep_alive).await;
            }
            wire.write(&out).await.ok()?;
            finished.written(out.len());
            out.clear();
            piece.clear();
            done = rest.read(&mut channel, &mut piece).await.ok()?;
        }
    }
}
