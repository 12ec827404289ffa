//! From `kinds` of a `[[client]]` to what else it may ask.

use super::deployment::prices;
use crate::config::clients::ClientKind;
use crate::config::file::clients::KindFile;
use crate::config::read::{At, Sheet};
use crate::domain::kind::Kind;

/// Checks all of one client; two of one kind are a mistake.
pub(super) fn check(sheet: &mut Sheet, files: &[At<KindFile>]) -> Vec<ClientKind> {
    let mut all = Vec::<ClientKind>::new();
    for At { value: file, span } in files {
        let hint = "a kind needs `kind` and `elements`: `{ kind = \"face\", elements = [[\"name\", \"id_number\", \"face_image\"]] }`";
        let kind = sheet.need(file.kind.as_ref(), span, "kind", hint);
        let elements = sheet.need(file.elements.as_ref(), span, "elements", hint);
        let prices = prices(sheet, file.prices.as_ref(), file.price_fen);
        let (Some(kind), Some(elements)) = (kind, elements) else { continue };
        let (place, kind) = (&kind.span, kind.value.0);
        if kind == Kind::Elements {
            let hint = "say it in the client's own `elements`, `price_fen` and `prices`";
            sheet.problem(place, "no other kind", hint);
        }
        if all.iter().any(|other| other.kind == kind) {
            let hint = "say all of its `elements` at once";
            sheet.problem(place, format!("`{}` stands twice", kind.as_str()), hint);
        }
        let sets = super::clients::read_sets(sheet, elements, kind.takes());
        for (at, set) in elements.value.iter().zip(&sets) {
            if !set.is_empty() && !set.is_superset(kind.needs()) {
                let message = format!("no question of the kind `{}`", kind.as_str());
                sheet.problem(&at.span, message, format!("such a question has: {}", kind.needs()));
            }
        }
        all.push(ClientKind { kind, sets, prices });
    }
    all
}
