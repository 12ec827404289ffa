//! The channel's answer on its way to the core.

use super::connection;
use crate::proxy::Edge;
use crate::proxy::exchange::{Answer, Coming};
use crate::proxy::finished::{Ending as Ended, Finished};
use crate::proxy::forward::{self, Ending};
use crate::proxy::gate::{Annotations, Gate};
use crate::proxy::head::Head;
use crate::proxy::streamed::Relaying;
use crate::proxy::wire::Wire;
use http::{Method, header};
use std::time::Duration;

impl<G: Gate> Edge<G> {
    /// Relays a whole answer, in one write.
    pub(super) async fn relay(
        &self,
        finished: &mut Finished,
        wire: Wire,
        head: &Head,
        (answer, annotations): (Answer, Annotations),
    ) -> Option<Wire> {
        finished.ending = if answer.has_excess { Ended::Unread } else { Ended::Answered };
        (finished.said, finished.status) = (annotations, Some(answer.head.status));
        let bodiless = head.method == Method::HEAD || matches!(answer.head.status, 204 | 304);
        let told = answer.head.fields.get_all(header::CONTENT_LENGTH).iter().count() == 1;
        let ending =
            if bodiless || told { Ending::AsTold } else { Ending::Length(answer.body.len()) };
        let keep_alive = self.keeps_alive(head);
        let connection = connection(head, keep_alive);
        let room = answer.body.len();
        let mut out = forward::answer(&answer.head, &finished.said, ending, connection, room);
        out.extend_from_slice(&answer.body);
        drop(answer);
        self.finish(finished, wire, &out, keep_alive).await
    }

    /// Relays an answer that is over the limit, piece by piece, unread.
    pub(super) async fn relay_on(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        head: &Head,
        (answer, patience): (Coming, Duration),
    ) -> Option<Wire> {
        let Coming { head: answer, begun, mut rest, wire: mut upstream } = answer;
        finished.status = Some(answer.status);
        let relaying = Relaying::of(head, &rest, self.keeps_alive(head));
        let answer = (&answer, &*begun, &mut rest);
        let core = &mut wire.stream;
        let relayed = relaying.pass_on(finished, core, &mut upstream, (answer, patience)).await;
        relayed?;
        self.close_unless(wire, relaying.keep_alive).await
    }
}
