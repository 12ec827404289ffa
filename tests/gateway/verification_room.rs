//! Places of the verification service: nobody takes them all.

use crate::peers::soon;
use crate::process::Hefu;
use crate::verification::{LENDER, ask, four, get, place, read, waiting};

/// Whoever looks at much takes no place of those who ask, nor waits for one.
#[tokio::test]
async fn a_long_look_takes_no_place_of_those_who_ask() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "[verification]\nat_once = 1").await;
    place.replace("hefu.toml", "\"batch\", ", "");
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let asking = tokio::spawn(async move { ask(to, LENDER, "one", &four("13800000000")).await });
    soon(trial.arrived.notified()).await;
    assert_eq!(ask(to, LENDER, "two", &four("13800000001")).await.status(), 503);
    let month =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8)));
    let month = month.strftime("/v1/statements/%Y-%m").to_string();
    let statement = get(to, LENDER, &month).await;
    assert_eq!(statement.status(), 200, "{statement:?}");
    assert_eq!(read(&statement)["lines"][0]["open"], 1);
    told.notify_one();
    assert_eq!(soon(asking).await.unwrap().status(), 201);
}
