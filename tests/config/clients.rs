//! The verification service and its clients: each mistake with its message.

use crate::directory;
use hefu::config;

/// The SHA-256 of some key, and of another one.
const ONE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";
const LISTENER: &str = "listen.verification = '127.0.0.1:7080'\n";
const STORE: &str = "store.file = 'hefu.db'\n";

/// What is found: the line, and what is wrong there. The first lines are of the directory.
fn check(hefu: &str, expected: &[&str]) {
    let dir = directory(hefu, "", "", "");
    let problems = config::load(dir.path()).err();
    let line = |problem: &config::Problem| format!("{} {problem}", problem.place().0);
    let found: Vec<String> = problems.iter().flatten().map(line).collect();
    assert_eq!(found, expected, "{hefu}");
}

fn client(name: &str, keys: &str, more: &str) -> String {
    format!(
        "[[client]]\nname = '{name}'\nkeys = [{keys}]\nmay = ['verify']\nelements = [['name', 'pan']]\n{more}"
    )
}

fn key(hash: &str) -> String {
    format!("{{ id = 'a1', sha256 = '{hash}' }}")
}

#[test]
fn what_is_wrong_with_the_verification_service_is_found() {
    let lender = client("lender", &key(ONE), "");
    check(&format!("{LISTENER}{STORE}{lender}"), &[]);
    check(&format!("{STORE}{lender}"), &["4 `[[client]]` without a `verification` listener"]);
    check("verification.at_once = 1", &["3 `[verification]` without a `verification` listener"]);
    check(&format!("{LISTENER}{STORE}"), &["3 a verification service without a client"]);
    check(&format!("{LISTENER}{lender}"), &["3 a verification service without a store"]);
    let outside = "listen.verification = '0.0.0.0:7080'\n";
    check(
        &format!("{outside}{STORE}{lender}"),
        &["3 the verification service outside loopback without TLS"],
    );
    for (key, value, least, most) in [
        ("connections", "", "1", "65536"),
        ("at_once", "", "1", "10000"),
        ("batches", "", "1", "64"),
        ("pictures", "", "1", "256"),
        ("body_deadline", "s", "1", "300"),
    ] {
        let limit = |limit: &str| {
            let quote = if value.is_empty() { "" } else { "'" };
            format!("{LISTENER}{STORE}verification.{key} = {quote}{limit}{value}{quote}\n{lender}")
        };
        check(&limit(least), &[]);
        check(&limit(most), &[]);
        check(&limit("0"), &["5 out of range"]);
        check(&limit(&format!("{most}1")), &["5 out of range"]);
    }
}

#[test]
fn what_is_wrong_with_clients_is_found() {
    let check = |clients: &str, expected: &[&str]| {
        check(&format!("{LISTENER}{STORE}{clients}"), expected);
    };
    let lender = client("lender", &key(ONE), "");
    check(
        "[[client]]\n",
        &[
            "5 `elements` is missing",
            "5 `keys` is missing",
            "5 `may` is missing",
            "5 `name` is missing",
        ],
    );
    for name in ["", "Lender", "a b", "-", "1a", "a_b", &"a".repeat(33)] {
        check(&client(name, &key(ONE), ""), &["6 not a client's name"]);
    }
    let twice = client("lender", &key(OTHER), "");
    check(&format!("{lender}{twice}"), &["11 client `lender` stands twice"]);
    check(&format!("{lender}{}", client("shop", &key(ONE), "")), &["12 this key stands twice"]);
    check(&client("lender", "", ""), &["7 there is none"]);
    let three = [ONE, OTHER, &ONE.replace('9', "8")].map(key).join(", ");
    check(&client("lender", &three, ""), &["7 more than two keys"]);
    check(&client("lender", &key("the key itself"), ""), &["7 not a hash"]);
    let number = format!("{{ id = 'a 1', sha256 = '{ONE}' }}");
    check(&client("lender", &number, ""), &["7 not the number of a key"]);
    check(&lender.replace("['verify']", "['verfy']"), &["8 `verfy` is not a scope"]);
    check(&lender.replace("['verify']", "[]"), &["8 there is none"]);
    check(&lender.replace("[['name', 'pan']]", "[[]]"), &["9 there is none"]);
    // Secrets of a card are nobody's to send.
    check(&lender.replace("'pan'", "'cvv2'"), &["9 an element that no client can send"]);
    check(&client("lender", &key(ONE), "merchant = ''\n"), &["10 not a merchant"]);
    check(&client("lender", &key(ONE), "per_second = 0\n"), &["10 out of range"]);
    let kinds = |kinds: &str| client("lender", &key(ONE), &format!("kinds = [{kinds}]\n"));
    let face = "{ kind = 'face', elements = [['name', 'id_number', 'face_image']] }";
    check(&kinds(face), &[]);
    check(&kinds("{ }"), &["10 `elements` is missing", "10 `kind` is missing"]);
    check(&kinds(&format!("{face}, {face}")), &["10 `face` stands twice"]);
    check(
        &kinds(&face.replace("'face',", "'faec',")),
        &["10 `faec` is not a kind of verification"],
    );
    check(
        &kinds(&face.replace("'face',", "'elements',")),
        &["10 no other kind", "10 an element that no client can send"],
    );
    check(&kinds(&face.replace(", 'face_image'", "")), &["10 no question of the kind `face`"]);
    check(&kinds(&face.replace("'name'", "'cvv2'")), &["10 an element that no client can send"]);
    // No level of an account is a client's to say, and no picture is among what is asked without a kind.
    check(
        &kinds(&face.replace("'name'", "'account_level'")),
        &["10 an element that no client can send"],
    );
    check(&lender.replace("'pan'", "'face_image'"), &["9 an element that no client can send"]);
    let prices = "price_fen = 1\nprices = [{ fen = '2' }]\n";
    check(&client("lender", &key(ONE), prices), &["11 `prices` beside `price_fen`"]);
}

/// Who asks for one verification has a place beside the lines of as many batches as there may be.
#[test]
fn places_that_batches_alone_would_take_are_found() {
    let lender = client("lender", &key(ONE), "").replace("['verify']", "['verify', 'batch']");
    let found = "`at_once` is too small for so many batches";
    let with = |settings: &str, expected: &[&str]| {
        check(&format!("{LISTENER}{STORE}{settings}{lender}"), expected);
    };
    with("", &[]);
    with("verification.at_once = 17\n", &[]);
    with("verification.at_once = 16\n", &[&format!("5 {found}")]);
    with("verification.batches = 7\n", &[]);
    with("verification.batches = 8\n", &[&format!("5 {found}")]);
    with("verification.batches = 8\nverification.at_once = 65\n", &[]);
    with("verification.batches = 1\nverification.at_once = 8\n", &[&format!("6 {found}")]);
    with("verification.batches = 1\nverification.at_once = 9\n", &[]);
    // Where nobody posts batches, there are none.
    let alone = client("lender", &key(ONE), "");
    check(&format!("{LISTENER}{STORE}verification.at_once = 1\n{alone}"), &[]);
}
