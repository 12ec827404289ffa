//! Other kinds of verification over real sockets, by the shipped maps and simulated providers that check who asks.

use crate::assessed::provider;
use crate::peers::{Channel, Message, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::verification::{
    LENDER, PAN, PHONE, SHOP, ask, four, get, is_told, place, read, request, send, waiting,
};
use hefu::sim::{Said, Script, Settings, Simulation, Twist, picture};
use serde_json::{Value, json};
use std::net::SocketAddr;

const ID: &str = "11010519491231002X";

/// The simulated providers, all of which say that things belong together until they are told otherwise.
pub(crate) async fn simulation(dir: &tempfile::TempDir) -> Simulation {
    let settings = Settings { people: 1, ..Settings::new(7, dir.path().into()) };
    let simulation = Simulation::start(settings).await.unwrap();
    for provider in ["face", "liveness"] {
        says(&simulation, provider, Said::Match);
    }
    simulation
}

pub(crate) fn says(simulation: &Simulation, provider: &str, said: Said) {
    simulation.script(provider, Some(Script { said, twist: Twist::None }));
}

/// Adds a shipped provider at the simulation; `own` is its part of the table.
pub(crate) fn with_shipped(place: &Place, simulation: &Simulation, file: &str, at: (&str, &str)) {
    let shipped = format!("{}/config/providers/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(shipped, place.path().join(format!("providers/{file}.toml"))).unwrap();
    let (endpoint, own) = at;
    let url = &simulation.endpoints()[endpoint];
    place.replace(
        "hefu.toml",
        "[secrets]",
        &format!("[providers.{file}]\nurl = \"{url}\"\n{own}\n[secrets]"),
    );
}

/// A file of the simulation, as TOML has it.
fn file(simulation: &Simulation, name: &str) -> String {
    format!("\"{}\"", simulation.key_files()[name].display())
}

/// A Hefu whose lender may have faces verified.
async fn faces(simulation: &Simulation, more: &str) -> Place {
    let place = place(&provider(&[]).await, more).await;
    with_faces(&place, simulation);
    place
}

/// The same, of a place that there is.
pub(crate) fn with_faces(place: &Place, simulation: &Simulation) {
    let id = &simulation.credentials()["tencent-id"];
    let own = format!(
        "price_fen = 80\nvars = {{ secret_id = \"{id}\" }}\ncredentials = {{ secret_key = {} }}",
        file(simulation, "tencent-secret")
    );
    with_shipped(place, simulation, "tencent-face", ("face", &own));
    let appcode = file(simulation, "liveness-appcode");
    let own = format!("price_fen = 10\ncredentials = {{ appcode = {appcode} }}");
    with_shipped(place, simulation, "liveness-market", ("liveness", &own));
    place.replace(
        "hefu.toml",
        "per_second = 1000\n",
        "per_second = 1000\nkinds = [{ kind = \"face\", elements = [[\"name\", \"id_number\", \"face_image\"]], price_fen = 120 },\n\
         { kind = \"liveness\", elements = [[\"face_image\"]], price_fen = 15 }]\n",
    );
}

pub(crate) fn face(picture: &str) -> Value {
    json!({ "kind": "face", "elements": { "name": "张三", "id_number": ID, "face_image": picture } })
}

pub(crate) fn live(picture: &str) -> Value {
    json!({ "kind": "liveness", "elements": { "face_image": picture } })
}

#[tokio::test]
async fn a_face_is_compared_each_time_told_by_a_band_and_charged_by_its_own_price() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = faces(&simulation, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let theirs = picture(ID, 0);
    let first = ask(to, LENDER, "a", &face(&theirs)).await;
    let told = read(&first);
    assert_eq!(first.status(), 201, "{first:?}");
    let known = json!({ "name": "match", "id_number": "match", "face_image": "match" });
    assert_eq!((&told["kind"], &told["answer"]), (&json!("face"), &json!("match")), "{told}");
    assert_eq!((&told["band"], &told["elements"]), (&json!("high"), &known), "{told}");
    let asked = || simulation.inquiries("face").len();
    assert!(simulation.inquiries("face")[0].authentic);
    // The same request again asks nobody; the same picture in another request is asked about anew.
    let again = ask(to, LENDER, "a", &face(&theirs)).await;
    assert_eq!((again.status(), read(&again), asked()), (200, told, 1));
    assert_eq!(read(&ask(to, LENDER, "b", &face(&theirs)).await)["answer"], "match");
    assert_eq!(asked(), 2);
    // Another picture is another request.
    let other = ask(to, LENDER, "a", &face(&picture(ID, 1000))).await;
    assert_eq!((other.status(), asked()), (409, 2), "{other:?}");
    let check = async |key: &str, of: &str, expected: [&str; 2]| {
        let told = read(&ask(to, LENDER, key, &face(&picture(of, 0))).await);
        assert_eq!([&told["answer"], &told["band"]], [&json!(expected[0]), &json!(expected[1])]);
        told
    };
    check("c", &format!("blurred {ID}"), ["match", "middle"]).await;
    // A likeness that is too low is no match, whatever else the answer says; it is a wrong try on the person.
    let wrong = check("d", "somebody else", ["no_match", "low"]).await;
    assert_eq!(wrong["attempts_left"], 4, "{wrong}");
    assert_eq!(wrong["elements"]["face_image"], "unknown");
    says(&simulation, "face", Said::NoRecord);
    let none = read(&ask(to, LENDER, "e", &face(&theirs)).await);
    assert_eq!((&none["answer"], none.get("band")), (&json!("no_record"), None), "{none}");
    // Liveness is another kind, at another price, and about nobody by name.
    let shown = async |key: &str, of: &str| {
        let told = read(&ask(to, LENDER, key, &live(&picture(of, 0))).await);
        assert_eq!(told["kind"], "liveness");
        (told["answer"].clone(), told["band"].clone(), told["attempts_left"].clone())
    };
    assert_eq!(shown("f", ID).await, (json!("match"), json!("high"), Value::Null));
    assert_eq!(shown("g", "a screen").await, (json!("no_match"), json!("low"), Value::Null));
    // Elements alone are what they were.
    assert_eq!(read(&ask(to, LENDER, "h", &four(PHONE)).await)["kind"], "elements");
    let statement = read(&get(to, LENDER, &this_month()).await);
    let line = |kind: &str| {
        let lines = statement["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["kind"] == kind).unwrap();
        ["charged", "free", "fen"].map(|field| line[field].as_u64().unwrap())
    };
    assert_eq!(line("face"), [4, 1, 480], "{statement}");
    assert_eq!(line("liveness"), [2, 0, 30], "{statement}");
    assert_eq!(line("elements"), [1, 0, 45], "{statement}");
}

#[tokio::test]
async fn a_picture_that_is_none_or_too_long_or_nobodys_to_send_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let limits = "[verification]\nbody = \"2KiB\"\npicture = \"4KiB\"";
    let place = faces(&simulation, limits).await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let check = async |key: &str, body: &Value, expected: (u16, Option<&str>, &str)| {
        let told = ask(to, key, "k", body).await;
        let (status, field, says) = expected;
        assert_eq!(told.status(), status, "{told:?}");
        assert_eq!(read(&told).get("field").and_then(Value::as_str), field, "{told:?}");
        assert!(told.text().contains(says), "{told:?}");
        assert!(!told.text().contains("/9j/"), "{told:?}");
    };
    let none = "not the base64 of a JPEG or a PNG";
    for wrong in ["", "/9j/4", "data:image/jpeg;base64,/9j/4AAQ", "R0lGODlhAQABAAAAADs="] {
        check(LENDER, &face(wrong), (422, Some("face_image"), none)).await;
    }
    // As long as may be, and longer; and a body that is longer than one with such a picture.
    let (most, long) = (picture(ID, 3072), picture(ID, 3075));
    assert_eq!((most.len(), long.len()), (4096, 4100));
    let says = "a picture has at most 4096 characters of base64";
    check(LENDER, &face(&long), (422, Some("face_image"), says)).await;
    let says = "the body has more than 6144 bytes";
    check(LENDER, &face(&picture(ID, 6000)), (413, None, says)).await;
    // Who may send none has the limit of other bodies, and who may not ask is told so.
    check(SHOP, &face(&most), (413, None, "the body has more than 2048 bytes")).await;
    let not_yours = "you may not ask about these elements together";
    check(SHOP, &face(&picture(ID, 0)), (422, None, not_yours)).await;
    let mut body = face(&picture(ID, 0));
    body["kind"] = json!("liveness");
    check(LENDER, &body, (422, None, not_yours)).await;
    body["kind"] = json!("elements");
    check(LENDER, &body, (422, None, not_yours)).await;
    body["kind"] = json!("faces");
    check(LENDER, &body, (422, Some("kind"), "not a kind of verification")).await;
    // A batch has none.
    let lines = json!({ "lines": [face(&picture(ID, 0))["elements"]] }).to_string();
    let fields = "Content-Type: application/json\r\nIdempotency-Key: b\r\n";
    let told = send(to, &request("POST /v1/batches", LENDER, fields, &lines)).await;
    assert_eq!(told.status(), 422, "{told:?}");
    assert!(simulation.inquiries("face").is_empty());
    assert_eq!(ask(to, LENDER, "k", &face(&most)).await.status(), 201);
}

#[tokio::test]
async fn a_picture_is_kept_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = faces(&simulation, "[log]\naccess = \"access.log\"").await;
    let mut command = place.command();
    command.env("HEFU_LOG", "hefu=trace");
    let mut hefu = Hefu::start(command).await;
    let to = hefu.verification.unwrap();
    let marked = picture("the mark of this picture", 120_000);
    let mut all = vec![ask(to, LENDER, "a", &face(&marked)).await];
    all.push(ask(to, LENDER, "a", &face(&marked)).await);
    all.push(ask(to, LENDER, "b", &live(&marked)).await);
    says(&simulation, "face", Said::Busy);
    all.push(ask(to, LENDER, "c", &face(&marked)).await);
    let mut later = face(&marked);
    later["mode"] = json!("async");
    all.push(ask(to, LENDER, "d", &later).await);
    all.push(ask(to, LENDER, "d", &face(&picture(ID, 0))).await);
    let statuses: Vec<u16> = all.iter().map(Message::status).collect();
    assert_eq!(statuses, [201, 200, 201, 201, 202, 409]);
    all.push(get(to, LENDER, "/v1/verifications").await);
    all.push(hefu.admin("GET /metrics", "").await);
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    // As it is and as it was sent, from its beginning and from its middle.
    let sent = marked.as_bytes();
    let parts = [b"the mark of this".as_slice(), &sent[24..56], &sent[1000..1032]];
    let found = |bytes: &[u8], where_: &str| {
        for part in parts {
            let is_there = bytes.windows(part.len()).any(|window| window == part);
            assert!(!is_there, "`{}` is in {where_}", String::from_utf8_lossy(part));
        }
    };
    for message in &all {
        found(message.text().as_bytes(), "an answer");
    }
    found(hefu.log.text().as_bytes(), "the log");
    let mut seen = 0;
    for entry in walk(place.path()) {
        found(&std::fs::read(&entry).unwrap(), &entry.display().to_string());
        seen += u32::from(entry.to_string_lossy().contains("hefu.db"));
    }
    assert!(seen > 0, "the store was looked at");
}

/// Every file below `dir`.
fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

/// Another provider at the same place, which is asked about faces and liveness.
pub(crate) fn holds(place: &Place, trial: &Channel) {
    place.write("providers/held.toml", HELD);
    let table = format!(
        "[providers.held]\nurl = \"http://{}\"\ncredentials = {{ own = \"trial.key\" }}\n[secrets]",
        trial.address
    );
    place.replace("hefu.toml", "[secrets]", &table);
}

/// Only so many pictures are in memory: whoever comes with one more is told so before it is read.
#[tokio::test]
async fn pictures_have_places_of_their_own() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "[verification]\nbody = \"1KiB\"\npictures = 1").await;
    holds(&place, &trial);
    let kinds = "per_second = 1000\nkinds = [{ kind = \"face\", elements = [[\"face_image\"]] }]\n";
    place.replace("hefu.toml", "per_second = 1000\n", kinds);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let face =
        |of: &str| json!({ "kind": "face", "elements": { "face_image": picture(of, 3000) } });
    let mut first = begin(to, "a", &face("one")).await;
    soon(trial.arrived.notified()).await;
    let refused = ask(to, LENDER, "b", &face("another")).await;
    assert_eq!((refused.status(), refused.field("retry-after")), (503, Some("1")), "{refused:?}");
    assert_eq!(trial.messages().len(), 1);
    told.notify_one();
    assert_eq!(soon(first.answer()).await.status(), 201);
    // Its place is free again, and nothing stands under the key of who was refused.
    told.notify_one();
    assert_eq!(ask(to, LENDER, "b", &face("another")).await.status(), 201);
}

/// A map without a score: its word alone is the answer.
const HELD: &str = r#"
road = "house"
source = "face"
kind = "face"
[[sets]]
elements = ["face_image"]
[request]
path = "/"
[request.form]
image = "{{ face_image }}"
[auth.static_header]
header = "Authorization"
value = "{secret}"
secret = "own"
[response]
format = "json"
[[response.layers]]
code = ["/code"]
billable = ["0000"]
[response.layers.answers]
match = ["0000"]
"#;

pub(crate) async fn begin(to: SocketAddr, key: &str, body: &Value) -> Peer<tokio::net::TcpStream> {
    let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let mut peer = Peer::connect(to).await;
    soon(peer.send(request("POST /v1/verifications", LENDER, &fields, &body.to_string()))).await;
    peer
}

/// A Hefu whose lender may have cards read.
async fn cards(simulation: &Simulation) -> Place {
    let place = place(&provider(&["0000", "02"]).await, "").await;
    let appcode = file(simulation, "id-card-appcode");
    let own = format!("price_fen = 20\ncredentials = {{ appcode = {appcode} }}");
    with_shipped(&place, simulation, "idcard-ocr-market", ("id-card", &own));
    let kinds = "per_second = 1000\nkinds = [{ kind = \"id_card\", elements = [[\"id_card_image\"]], price_fen = 30 }]\n";
    place.replace("hefu.toml", "per_second = 1000\n", kinds);
    place
}

fn card(picture: &str, then: Option<Value>) -> Value {
    let mut body = json!({ "kind": "id_card", "elements": { "id_card_image": picture } });
    if let Some(then) = then {
        body["then"] = then;
    }
    body
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn what_was_read_is_told_once_and_verified_and_kept_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    says(&simulation, "id-card", Said::Match);
    let place = cards(&simulation).await;
    let mut command = place.command();
    command.env("HEFU_LOG", "hefu=trace");
    let mut hefu = Hefu::start(command).await;
    let to = hefu.verification.unwrap();
    let theirs = picture(&format!("card 欧阳测试,{ID}"), 0);
    let first = ask(to, LENDER, "a", &card(&theirs, None)).await;
    let told = read(&first);
    assert_eq!((first.status(), &told["answer"]), (201, &json!("match")), "{told}");
    assert_eq!(told["read"], json!({ "name": "欧阳测试", "id_number": ID }), "{told}");
    assert_eq!((told.get("read_before"), told.get("then")), (None, None), "{told}");
    assert_eq!(first.field("cache-control"), Some("no-store"));
    // The same again tells that they were told, and asks nobody.
    let again = ask(to, LENDER, "a", &card(&theirs, None)).await;
    let told = read(&again);
    assert_eq!((again.status(), told.get("read")), (200, None), "{told}");
    assert_eq!(told["read_before"], json!(["name", "id_number"]), "{told}");
    assert_eq!(simulation.inquiries("id-card").len(), 1);
    // What was read feeds a verification of its own, shown under the same key again.
    let then = json!({ "pan": PAN, "phone": PHONE });
    let both = read(&ask(to, LENDER, "b", &card(&theirs, Some(then.clone()))).await);
    assert_eq!(both["read"]["name"], "欧阳测试", "{both}");
    assert_eq!(
        (&both["then"]["answer"], &both["then"]["kind"]),
        (&json!("match"), &json!("elements"))
    );
    assert_eq!(both["then"]["elements"].as_object().unwrap().len(), 4);
    let again = read(&ask(to, LENDER, "b", &card(&theirs, Some(then))).await);
    assert_eq!((&again["then"], again.get("read")), (&both["then"], None), "{again}");
    let shown = read(
        &get(to, LENDER, &format!("/v1/verifications/{}", both["id"].as_str().unwrap())).await,
    );
    assert_eq!((&shown["then"], shown.get("read")), (&both["then"], None), "{shown}");
    let other = card(&theirs, Some(json!({ "pan": PAN, "phone": "13800000001" })));
    assert_eq!(ask(to, LENDER, "b", &other).await.status(), 409);
    let wrong = read(&ask(to, LENDER, "c", &other).await);
    assert_eq!((&wrong["answer"], &wrong["then"]["answer"]), (&json!("match"), &json!("no_match")));
    // A misread number is none, and nothing follows from it.
    let misread = picture("card 欧阳测试,110105194912310021", 0);
    let none = read(&ask(to, LENDER, "d", &card(&misread, Some(json!({ "pan": PAN })))).await);
    assert_eq!(
        (&none["answer"], none.get("read"), none.get("then")),
        (&json!("not_possible"), None, None)
    );
    let listed = get(to, LENDER, "/v1/verifications").await;
    assert_eq!(read(&listed)["verifications"].as_array().unwrap().len(), 6);
    let refused = async |body: Value, field: Option<&str>| {
        let told = ask(to, LENDER, "e", &body).await;
        assert_eq!(
            (told.status(), read(&told).get("field").and_then(Value::as_str)),
            (422, field),
            "{told:?}"
        );
    };
    let mut later = card(&theirs, None);
    later["mode"] = json!("async");
    refused(later, Some("mode")).await;
    refused(card(&theirs, Some(json!({ "name": "张三" }))), Some("then")).await;
    refused(card(&theirs, Some(json!({ "phone": PHONE }))), None).await;
    let mut elements = four(PHONE);
    elements["then"] = json!({});
    refused(elements, Some("then")).await;
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    for value in ["欧阳", ID, PAN, PHONE] {
        assert!(!listed.text().contains(value) && !hefu.log.has(value), "{value}");
        for file in walk(place.path()) {
            let bytes = std::fs::read(&file).unwrap();
            let is_there = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!is_there, "`{value}` is in {}", file.display());
        }
    }
}

/// Registers of one house: businesses, graduates, passengers.
async fn registers(simulation: &Simulation) -> Place {
    says(simulation, "registry", Said::Match);
    let place = place(&provider(&[]).await, "").await;
    let account = &simulation.credentials()["registry-account"];
    for (shipped, price) in
        [("business-registry", 40), ("education-registry", 30), ("railway-registry", 20)]
    {
        let own = format!(
            "price_fen = {price}\nvars = {{ account = \"{account}\" }}\ncredentials = {{ sign_secret = {} }}",
            file(simulation, "registry-secret")
        );
        with_shipped(&place, simulation, shipped, ("registry", &own));
    }
    let kinds = "per_second = 1000\nkinds = [\n\
        { kind = \"business\", elements = [[\"name\", \"business_name\", \"credit_code\"]], price_fen = 60 },\n\
        { kind = \"education\", elements = [[\"name\", \"id_number\"], [\"name\", \"id_number\", \"certificate_number\"]], price_fen = 50 },\n\
        { kind = \"railway\", elements = [[\"name\", \"id_number\"]], price_fen = 40 }]\n";
    place.replace("hefu.toml", "per_second = 1000\n", kinds);
    place
}

/// A batch is of one kind, which has its own columns and price; it takes no picture.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn a_batch_is_of_one_kind() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = registers(&simulation).await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let post = async |key: &str, kind: &str, lines: Value| {
        let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        let body = json!({ "kind": kind, "lines": lines }).to_string();
        send(to, &request("POST /v1/batches", LENDER, &fields, &body)).await
    };
    let result = async |begun: &Message| {
        let path = begun.field("location").unwrap();
        let over = async {
            loop {
                let shown = read(&get(to, LENDER, path).await);
                if shown["status"] == "ended" {
                    return shown;
                }
            }
        };
        let shown = soon(over).await;
        let result = get(to, LENDER, &format!("{path}/result")).await;
        let id = |line: &str| line.split(',').nth(1).unwrap().to_owned();
        let without = |line: &str| line.replace(&id(line), "ID");
        (shown, result.text().lines().map(without).collect::<Vec<_>>())
    };
    let who = json!({ "name": "张三", "id_number": ID });
    let mut graduate = who.clone();
    graduate["certificate_number"] = json!("100011202605000001");
    let begun = post("a", "education", json!([who, graduate])).await;
    assert_eq!((begun.status(), &read(&begun)["kind"]), (202, &json!("education")), "{begun:?}");
    let (shown, lines) = result(&begun).await;
    assert_eq!((&shown["kind"], &shown["counts"]), (&json!("education"), &json!({ "done": 2 })));
    let expected = [
        "line,ID,status,answer,name,id_number,certificate_number,attempts_left",
        "1,ID,done,match,match,match,,",
        "2,ID,done,match,match,match,match,",
    ];
    assert_eq!(lines, expected);
    // The same lines of another kind are another batch.
    assert_eq!(post("a", "railway", json!([who, graduate])).await.status(), 422);
    assert_eq!(post("a", "railway", json!([who, who])).await.status(), 409);
    assert_eq!(post("a", "education", json!([who, graduate])).await.status(), 202);
    let begun = post("b", "railway", json!([who])).await;
    let expected =
        ["line,ID,status,answer,name,id_number,attempts_left", "1,ID,done,match,match,match,"];
    assert_eq!(result(&begun).await.1, expected);
    says(&simulation, "registry", Said::NoMatch(vec![hefu::sim::Element::Name]));
    let begun = post("c", "business", json!([business("李四")["elements"]])).await;
    let expected = [
        "line,ID,status,answer,name,id_number,business_name,credit_code,attempts_left",
        "1,ID,done,no_match,no_match,,unknown,unknown,",
    ];
    assert_eq!(result(&begun).await.1, expected);
    assert_eq!(simulation.inquiries("registry").len(), 4);
    for (kind, lines, field) in [
        ("face", json!([face(&picture(ID, 0))["elements"]]), Some("kind")),
        ("id_card", json!([]), Some("kind")),
        ("businesses", json!([]), Some("kind")),
        ("elements", json!([who]), None),
        ("business", json!([four(PHONE)["elements"]]), None),
    ] {
        let told = post("d", kind, lines).await;
        let said = read(&told);
        assert_eq!(
            (told.status(), said.get("field").and_then(Value::as_str)),
            (422, field),
            "{kind}: {told:?}"
        );
    }
    // All are listed, the newest first, a page at a time; each client has its own.
    let (mut listed, mut path) = (Vec::new(), "/v1/batches?limit=2".to_owned());
    loop {
        let page = read(&get(to, LENDER, &path).await);
        listed.extend(page["batches"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/batches?limit=2&before={next}");
    }
    let kinds: Vec<_> = listed.iter().map(|batch| batch["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["business", "railway", "education"]);
    let mut first = shown;
    first.as_object_mut().unwrap().remove("counts");
    assert_eq!(listed[2], first);
    let others = read(&get(to, SHOP, "/v1/batches").await);
    assert_eq!(others, json!({ "batches": [], "next": null }));
    let statement = read(&get(to, LENDER, &this_month()).await);
    let of = |kind: &str| fen_of(&statement, kind);
    assert_eq!(
        ["business", "education", "railway", "elements"].map(of),
        [60, 100, 40, 0],
        "{statement}"
    );
}

/// The statement of this month.
fn this_month() -> String {
    let china = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8));
    jiff::Timestamp::now().to_zoned(china).strftime("/v1/statements/%Y-%m").to_string()
}

/// What a kind comes to in a statement.
fn fen_of(statement: &Value, kind: &str) -> u64 {
    let lines = statement["lines"].as_array().unwrap().iter();
    lines.filter(|line| line["kind"] == kind).map(|line| line["fen"].as_u64().unwrap()).sum()
}

/// The example of GB 32100-2015.
pub(crate) const CODE: &str = "91350100M000100Y43";

fn business(name: &str) -> Value {
    json!({ "kind": "business", "elements": { "business_name": "测试有限公司", "credit_code": CODE, "name": name } })
}

#[tokio::test]
async fn registers_are_kinds_of_their_own_whatever_elements_they_share() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = registers(&simulation).await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let asked = || simulation.inquiries("registry").len();
    let told = read(&ask(to, LENDER, "a", &business("张三")).await);
    assert_eq!((&told["kind"], &told["answer"]), (&json!("business"), &json!("match")), "{told}");
    let known = json!({ "name": "match", "business_name": "match", "credit_code": "match" });
    assert_eq!(told["elements"], known);
    assert!(simulation.inquiries("registry")[0].authentic);
    // A registration that was told is evidence for a while.
    let again = read(&ask(to, LENDER, "b", &business("张三")).await);
    assert_eq!(
        (&again["answer"], &again["asked_at_ms"], asked()),
        (&json!("match"), &told["asked_at_ms"], 1)
    );
    // One person at two registers is two questions, and neither is about whether name and number belong together.
    let who = |kind: &str| json!({ "kind": kind, "elements": { "name": "张三", "id_number": ID } });
    for (key, kind, times) in [("c", "education", 2), ("d", "railway", 3), ("e", "education", 3)] {
        let told = read(&ask(to, LENDER, key, &who(kind)).await);
        assert_eq!(
            (&told["kind"], &told["answer"], asked()),
            (&json!(kind), &json!("match"), times)
        );
    }
    assert_eq!(ask(to, LENDER, "f", &who("elements")).await.status(), 422);
    let mut graduate = who("education");
    graduate["elements"]["certificate_number"] = json!("100011202605000001");
    assert_eq!(read(&ask(to, LENDER, "g", &graduate).await)["answer"], "match");
    assert_eq!(asked(), 4);
    // Who stands for it by law is another.
    says(&simulation, "registry", Said::NoMatch(vec![hefu::sim::Element::Name]));
    let wrong = read(&ask(to, LENDER, "h", &business("李四")).await);
    assert_eq!(wrong["answer"], "no_match", "{wrong}");
    let known = json!({ "name": "no_match", "business_name": "unknown", "credit_code": "unknown" });
    assert_eq!(wrong["elements"], known);
    // What is no code is refused before anybody is asked, and not repeated.
    let mut body = business("张三");
    body["elements"]["credit_code"] = json!("91350100M000100Y44");
    let refused = ask(to, LENDER, "i", &body).await;
    assert_eq!((refused.status(), &read(&refused)["field"]), (422, &json!("credit_code")));
    assert!(
        !refused.text().contains("9135") && !hefu.log.has(CODE) && !hefu.log.has("测试有限公司")
    );
    let statement = read(&get(to, LENDER, &this_month()).await);
    let of = |kind: &str| fen_of(&statement, kind);
    assert_eq!(["business", "education", "railway"].map(of), [180, 150, 40], "{statement}");
}

pub(crate) fn merchant(name: &str) -> Value {
    json!({ "elements": { "business_name": "测试有限公司", "credit_code": CODE, "name": name, "id_number": ID, "pan": PAN } })
}

/// A Hefu whose lender may take merchants on.
pub(crate) async fn merchants(simulation: &Simulation) -> Place {
    let place = registers(simulation).await;
    let id = &simulation.credentials()["tencent-id"];
    let own = format!(
        "vars = {{ secret_id = \"{id}\" }}\ncredentials = {{ secret_key = {} }}",
        file(simulation, "tencent-secret")
    );
    with_shipped(&place, simulation, "tencent-identity", ("tencent", &own));
    let sets = "\"id_number\", \"pan\"], [\"name\", \"id_number\"]]";
    place.replace("hefu.toml", "\"id_number\", \"pan\"]]", sets);
    place
}

#[tokio::test]
async fn a_merchant_may_be_taken_on_beside_the_client_who_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    says(&simulation, "tencent", Said::Match);
    let place = merchants(&simulation).await;
    let listening = channel(|_| ok("")).await;
    is_told(&place, &listening);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let post = async |key: &str, name: &str, mode: &str| {
        let mut body = merchant(name);
        body["mode"] = json!(mode);
        let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        send(to, &request("POST /v1/onboardings", LENDER, &fields, &body.to_string())).await
    };
    let mut told = Vec::new();
    for (nth, (name, expected)) in
        [("张三", "approved"), ("李四", "refused")].into_iter().enumerate()
    {
        if expected == "refused" {
            says(&simulation, "registry", Said::NoMatch(vec![hefu::sim::Element::Name]));
        }
        let begun = post(expected, name, "async").await;
        assert_eq!((begun.status(), begun.field("retry-after")), (202, Some("1")), "{begun:?}");
        let body = read(&begun);
        assert_eq!(body["status"], "working", "{body}");
        while listening.messages().len() <= nth {
            soon(listening.arrived.notified()).await;
        }
        let hook = read(&listening.messages()[nth]);
        assert_eq!(
            (&hook["event"], &hook["status"]),
            (&json!("onboarding_done"), &json!(expected))
        );
        assert_eq!(hook["onboarding"], body["id"]);
        // The same again is told how it ended, be it waited for or not, and by no second webhook.
        let again = post(expected, name, "sync").await;
        assert_eq!((again.status(), &read(&again)["status"]), (200, &json!(expected)));
        told.insert(0, read(&again));
    }
    // It is known by its tag, and all are listed, the newest first; each client has its own.
    let path = format!("/v1/onboardings/{}", told[0]["id"].as_str().unwrap());
    let shown = get(to, LENDER, &path).await;
    assert_eq!(read(&shown), told[0]);
    let fields = format!("If-None-Match: {}\r\n", shown.field("etag").unwrap());
    let same = send(to, &request(&format!("GET {path}"), LENDER, &fields, "")).await;
    assert_eq!((same.status(), same.body.len()), (304, 0));
    let first = read(&get(to, LENDER, "/v1/onboardings?limit=1").await);
    assert_eq!(first["onboardings"], json!([told[0]]));
    let next = first["next"].as_str().unwrap();
    let second = format!("/v1/onboardings?limit=2&before={next}");
    let second = read(&get(to, LENDER, &second).await);
    assert_eq!(second, json!({ "onboardings": [told[1]], "next": null }));
    let others = read(&get(to, SHOP, "/v1/onboardings").await);
    assert_eq!(others, json!({ "onboardings": [], "next": null }));
    assert_eq!(get(to, LENDER, "/v1/onboardings?limit=101").await.status(), 400);
    // What waited was told to who waited.
    assert_eq!(post("waits", "张三", "sync").await.status(), 200);
    assert_eq!(listening.messages().len(), 2);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn a_merchant_is_asked_about_no_further_than_it_can_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = merchants(&simulation).await;
    let mut hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let post = async |who: &str, key: &str, body: &Value| {
        let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        send(to, &request("POST /v1/onboardings", who, &fields, &body.to_string())).await
    };
    let steps = |told: &Value| {
        let step = |step: &Value| {
            let asked = step["verification"].is_string();
            format!("{} {} {} {asked}", step["step"], step["answer"], step["cost_fen"])
        };
        told["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>()
    };
    let asked = || ["registry", "tencent"].map(|name| simulation.inquiries(name).len());
    // The register says that another stands for it: the person and the card are not asked about.
    says(&simulation, "registry", Said::NoMatch(vec![hefu::sim::Element::Name]));
    let told = read(&post(LENDER, "a", &merchant("李四")).await);
    assert_eq!((&told["status"], &told["cost_fen"]), (&json!("refused"), &json!(60)), "{told}");
    let expected =
        ["\"business\" \"no_match\" 60 true", "\"identity\" null 0 false", "\"card\" null 0 false"];
    assert_eq!(steps(&told), expected);
    assert_eq!(told["missing"], json!(["business", "identity", "card"]));
    assert_eq!(asked(), [1, 0]);
    // Nobody can say whose the number is: it stalls there, and costs what was told.
    says(&simulation, "registry", Said::Match);
    says(&simulation, "tencent", Said::Busy);
    let told = read(&post(LENDER, "b", &merchant("张三")).await);
    assert_eq!((&told["status"], &told["cost_fen"]), (&json!("stalled"), &json!(60)), "{told}");
    assert_eq!(told["missing"], json!(["identity", "card"]));
    assert_eq!(asked(), [2, 1]);
    // By another key it is tried again; the registration is known by evidence.
    says(&simulation, "tencent", Said::Match);
    let first = post(LENDER, "c", &merchant("张三")).await;
    let told = read(&first);
    assert_eq!((&told["status"], &told["cost_fen"]), (&json!("approved"), &json!(150)), "{told}");
    let expected = [
        "\"business\" \"match\" 60 true",
        "\"identity\" \"match\" 45 true",
        "\"card\" \"match\" 45 true",
    ];
    assert_eq!(
        (steps(&told), &told["missing"]),
        (expected.map(str::to_owned).to_vec(), &json!([]))
    );
    assert_eq!(asked(), [2, 2]);
    // The same again is the same; another merchant under its key is refused; and it is nobody else's.
    let again = read(&post(LENDER, "c", &merchant("张三")).await);
    assert_eq!((&again, asked()), (&told, [2, 2]));
    assert_eq!(post(LENDER, "c", &merchant("李四")).await.status(), 409);
    let path = first.field("location").unwrap().to_owned();
    assert_eq!(read(&get(to, LENDER, &path).await), told);
    assert_eq!(get(to, SHOP, &path).await.status(), 404);
    let step = told["steps"][2]["verification"].as_str().unwrap();
    let card = read(&get(to, LENDER, &format!("/v1/verifications/{step}")).await);
    assert_eq!((&card["kind"], &card["answer"]), (&json!("elements"), &json!("match")));
    // What is missing is named, and so is what nobody would be asked about; who has no such contract is told so.
    for (element, value, field) in
        [("pan", Value::Null, "pan"), ("face_image", json!(picture(ID, 0)), "face_image")]
    {
        let mut body = merchant("张三");
        body["elements"][element] = value;
        let refused = post(LENDER, "d", &body).await;
        assert_eq!(
            (refused.status(), &read(&refused)["field"]),
            (422, &json!(field)),
            "{refused:?}"
        );
    }
    assert_eq!(post(SHOP, "d", &merchant("张三")).await.status(), 422);
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    for value in ["测试有限", CODE, ID, PAN] {
        assert!(!first.text().contains(value) && !hefu.log.has(value), "{value}");
        for file in walk(place.path()) {
            let bytes = std::fs::read(&file).unwrap();
            let is_there = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!is_there, "`{value}` is in {}", file.display());
        }
    }
}
