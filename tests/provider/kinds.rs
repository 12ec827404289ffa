//! What providers say beyond yes and no: scores, by bands.

use crate::common::{Behaviour, ID, ask, at, serve};
use hefu::domain::answer::Answer;
use hefu::domain::element::ElementSet;
use hefu::domain::kind::{Band, Kind};
use hefu::provider::{Billable, Provider as _, Trouble};

pub(crate) const FACE: &str = include_str!("../../config/providers/tencent-face.toml");

#[tokio::test]
async fn a_match_is_one_only_where_the_score_is_enough() {
    let (server, address) = serve(Behaviour::Hang).await;
    let provider = at(FACE, address);
    assert_eq!(provider.capability().kind, Kind::Face);
    let check = async |score: &str, expected: (Answer, Option<Band>)| {
        let body = format!("{{\"Response\":{{\"Result\":\"Success\"{score}}}}}");
        server.behave(Behaviour::Say(200, body));
        let reply = ask(&provider).await;
        assert_eq!((reply.answer, reply.more.band), expected, "{score}: {reply:?}");
        let readable = expected.1.is_some();
        assert_eq!(reply.billable == Billable::Yes, readable, "{score}");
        assert_eq!(reply.trouble.is_none(), readable, "{score}");
    };
    let no_match = Answer::NoMatch(ElementSet::EMPTY);
    check(",\"Sim\":100", (Answer::Match, Some(Band::High))).await;
    check(",\"Sim\":80", (Answer::Match, Some(Band::High))).await;
    check(",\"Sim\":\"79.99\"", (Answer::Match, Some(Band::Middle))).await;
    check(",\"Sim\":70.0", (Answer::Match, Some(Band::Middle))).await;
    check(",\"Sim\":69.999", (no_match, Some(Band::Low))).await;
    check(",\"Sim\":0", (no_match, Some(Band::Low))).await;
    check(",\"Sim\":-1", (no_match, Some(Band::Low))).await;
    // Nobody said how alike they are.
    for none in ["", ",\"Sim\":null", ",\"Sim\":\"\"", ",\"Sim\":\"NaN\"", ",\"Sim\":\"inf\""] {
        check(none, (Answer::Unavailable, None)).await;
    }
    // A score beside what is no match changes nothing.
    let body =
        "{\"Response\":{\"Error\":{\"Code\":\"FailedOperation.CompareLowSimilarity\"},\"Sim\":99}}";
    server.behave(Behaviour::Say(200, body.to_owned()));
    let reply = ask(&provider).await;
    assert!(matches!(reply.answer, Answer::NoMatch(_)), "{reply:?}");
    assert_eq!((reply.more.band, reply.trouble), (Some(Band::Low), None));
    let body = "{\"Response\":{\"Result\":\"Other\",\"Sim\":99}}";
    server.behave(Behaviour::Say(200, body.to_owned()));
    let reply = ask(&provider).await;
    assert_eq!((reply.answer, reply.more.band), (Answer::Unavailable, None));
    assert_eq!(reply.trouble, Some(Trouble::Unmapped));
}

const CARD: &str = include_str!("../../config/providers/idcard-ocr-market.toml");

#[tokio::test]
async fn what_is_read_is_whole_or_nothing() {
    let (server, address) = serve(Behaviour::Hang).await;
    let provider = at(CARD, address);
    let check = async |result: &str, expected: Answer| {
        let body = format!("{{\"code\":\"0\",\"result\":{result}}}");
        server.behave(Behaviour::Say(200, body));
        let reply = ask(&provider).await;
        assert_eq!((reply.answer, reply.trouble), (expected, None), "{result}: {reply:?}");
        assert_eq!(reply.billable, Billable::Yes);
        assert_eq!(reply.more.read.is_some(), expected == Answer::Match);
        // Who prints it prints no value.
        let shown = format!("{reply:?}");
        assert!(!shown.contains("张三") && !shown.contains(ID), "{shown}");
        reply.more.read
    };
    let whole = format!("{{\"name\":\"张三\",\"idNo\":\"{ID}\"}}");
    let read = check(&whole, Answer::Match).await.unwrap();
    assert_eq!(read.id_number.as_ref().unwrap().expose(), ID);
    assert_eq!(read.name.as_ref().unwrap().expose(), "张三");
    for part in [
        "{}".to_owned(),
        "{\"name\":\"张三\"}".to_owned(),
        format!("{{\"idNo\":\"{ID}\"}}"),
        whole.replace("张三", ""),
        whole.replace("张三", "a\u{200b}b"),
        whole.replace(ID, "110105194912310021"),
    ] {
        check(&part, Answer::NotPossible).await;
    }
    // What is no match reads nothing, whatever stands there.
    let body = format!("{{\"code\":\"1001\",\"result\":{whole}}}");
    server.behave(Behaviour::Say(200, body));
    let reply = ask(&provider).await;
    assert_eq!((reply.answer, reply.more.read), (Answer::NotPossible, None));
    // A code is kept, so that of one of no map so few digits are alone: more may be what was read, in part, and however written.
    for code in [
        ID,
        "110105 19491231 002X",
        "ZhangSan",
        "19491231",
        "Xicheng-District",
        "Li",
        "7777777",
        "7777",
        "-1",
    ] {
        let body = format!("{{\"code\":\"{code}\",\"result\":{whole}}}");
        server.behave(Behaviour::Say(200, body));
        let reply = ask(&provider).await;
        let kept = ["7777", "-1"].contains(&code).then(|| code.into());
        assert_eq!((reply.trouble, reply.code), (Some(Trouble::Unmapped), kept), "{code}");
    }
}
