//! The edge over real sockets: raw peers on both sides, so that every byte is seen.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "gateway/access.rs"]
mod access;
#[path = "gateway/accounts.rs"]
mod accounts;
#[path = "gateway/assessed.rs"]
mod assessed;
#[path = "gateway/audited.rs"]
mod audited;
#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "gateway/channel.rs"]
mod channel;
#[path = "store/cluster.rs"]
mod cluster;
#[path = "gateway/connections.rs"]
mod connections;
#[path = "gateway/described.rs"]
mod described;
#[path = "gateway/elements.rs"]
mod elements;
#[path = "gateway/explained.rs"]
mod explained;
#[path = "gateway/forget.rs"]
mod forget;
#[path = "gateway/four_logs.rs"]
mod four_logs;
#[path = "gateway/funded.rs"]
mod funded;
#[path = "gateway/http2.rs"]
mod http2;
#[path = "gateway/http2_lanes.rs"]
mod http2_lanes;
#[path = "gateway/kept.rs"]
mod kept;
#[path = "gateway/killed.rs"]
mod killed;
#[path = "gateway/kinds.rs"]
mod kinds;
#[path = "gateway/lasting.rs"]
mod lasting;
#[path = "gateway/long_statement.rs"]
mod long_statement;
#[path = "gateway/managed.rs"]
mod managed;
#[path = "gateway/notify.rs"]
mod notify;
#[path = "gateway/observed.rs"]
mod observed;
#[path = "gateway/outside.rs"]
mod outside;
#[path = "gateway/peers.rs"]
mod peers;
#[path = "gateway/process.rs"]
mod process;
#[path = "gateway/refusals.rs"]
mod refusals;
#[path = "gateway/reloads.rs"]
mod reloads;
#[path = "gateway/replicas.rs"]
mod replicas;
#[path = "gateway/report.rs"]
#[expect(clippy::panic, reason = "a test may panic")]
mod report;
#[path = "gateway/restart.rs"]
mod restart;
#[path = "gateway/rotation.rs"]
mod rotation;
#[path = "gateway/settle.rs"]
mod settle;
#[path = "gateway/seventh.rs"]
mod seventh;
#[path = "deploy/skipped.rs"]
mod skipped;
#[path = "gateway/statement.rs"]
mod statement;
#[path = "gateway/statistics.rs"]
mod statistics;
#[path = "gateway/streams.rs"]
mod streams;
#[path = "gateway/tls.rs"]
mod tls;
#[path = "deploy/tools.rs"]
#[expect(
    dead_code,
    clippy::panic,
    reason = "the other tools are for deployments; a test may panic"
)]
mod tools;
#[path = "gateway/traces.rs"]
mod traces;
#[path = "gateway/turned.rs"]
mod turned;
#[path = "gateway/upgraded.rs"]
mod upgraded;
#[path = "gateway/verification.rs"]
#[expect(clippy::panic, reason = "a test may panic")]
mod verification;
#[path = "gateway/verification_ends.rs"]
mod verification_ends;
#[path = "gateway/verification_hostile.rs"]
mod verification_hostile;
#[path = "gateway/verification_room.rs"]
mod verification_room;
