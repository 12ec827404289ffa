//! From `classes.toml` to what bears the class of an account on which day.

use super::deployment::time;
use super::within;
use crate::config::file::classes::{
    ClassesFile, DailyFile, EditionFile, FamilyFile, FlaggedFile, TermsFile,
};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::config::settings::Classes;
use crate::config::text::Text;
use crate::domain::account::{Class, Purpose, Strength};
use crate::domain::money::Fen;
use crate::policy::Effect;
use crate::reconcile::due::instant;
use crate::store::account::Flag;
use crate::tier::rules::{AccountNeeded, Book, Counts, Edition, Family, Terms};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
/// The longest that anything is valid or told before: a hundred years.
const LONGEST: Duration = Duration::from_hours(24 * 36_525);
const NOTICE: Duration = Duration::from_hours(24 * 30);
/// The most that a limit may be: a hundred million yuan.
const LIMIT_MAX: u64 = 10_000_000_000;
/// The most that a second may cost, in fen.
const SECOND_MAX: u64 = 10_000;

/// Checks the editions.
pub(crate) fn check(sheet: &mut Sheet, file: &ClassesFile) -> Classes {
    let mut days = BTreeMap::new();
    for at in &file.edition {
        if let Some(from) = &at.value.from
            && days.insert(from.value.0.0, &at.span).is_some()
        {
            let hint = "each edition begins on a day of its own";
            sheet.problem(&from.span, "two editions begin on that day", hint);
        }
    }
    let editions = file.edition.iter().filter_map(|at| edition(sheet, at)).collect();
    let second = Fen::new(within(sheet, file.second_fen.as_ref(), 0..=SECOND_MAX, 1));
    let FlaggedFile { second_account, second_class_three, shared_phone, over_limit } =
        &file.flagged;
    let flagged = [
        (Flag::SecondAccount, second_account),
        (Flag::SecondClassThree, second_class_three),
        (Flag::SharedPhone, shared_phone),
    ];
    let effect = |word: &Option<Text<Effect>>| word.as_ref().map_or(Effect::Refuse, |word| word.0);
    let flagged = flagged.map(|(flag, word)| (flag, effect(word))).into();
    let over_limit = effect(over_limit);
    Classes { book: Book::new(editions), second, flagged, over_limit, record_key: None }
}

fn edition(sheet: &mut Sheet, at: &At<EditionFile>) -> Option<Edition> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say from which day it holds, such as `from = \"2016-07-01\"`";
    let from = sheet.need(file.from.as_ref(), span, "from", hint);
    let hint = "say what it rests on: it stands in every record";
    let basis = sheet.need(file.basis.as_ref(), span, "basis", hint);
    let mut count = |count, default| within(sheet, count, 1..=100, default);
    let accounts = count(file.accounts.as_ref(), 1);
    let class_three = count(file.class_three.as_ref(), 1);
    let persons_a_phone = count(file.persons_a_phone.as_ref(), 1);
    let notice = time(sheet, file.notice.as_ref(), Duration::ZERO..=LONGEST, NOTICE);
    let classes = classes(sheet, at);
    let sources = file.source.iter().map(|(name, at)| {
        if name.value.is_empty() || name.value.contains(':') {
            let hint =
                "a family's name, such as `bank`: members are `bank:ICBC`, as answers name them";
            sheet.problem(&name.span, "not the name of a family of sources", hint);
        }
        (name.value.as_str().into(), family(sheet, at))
    });
    let sources: BTreeMap<_, _> = sources.collect();
    let (daily, daily_excludes) = (daily(sheet, &file.daily), purposes(&file.daily.excludes));
    let from = instant(from?.value.0.0, jiff::civil::Time::MIN)?;
    let basis = basis?.value.as_str().into();
    Some(Edition {
        from,
        basis,
        sources,
        classes,
        daily,
        daily_excludes,
        accounts,
        class_three,
        persons_a_phone,
        notice,
    })
}

/// What each class needs and allows; a higher one needs no less.
fn classes(sheet: &mut Sheet, at: &At<EditionFile>) -> BTreeMap<Class, Terms> {
    let mut classes = BTreeMap::new();
    let words = || Class::ALL.iter().map(|class| class.as_str());
    for (name, at) in &at.value.class {
        let Some(class) = Class::from_word(&name.value) else {
            sheet.problem(
                &name.span,
                format!("no class `{}`", name.value),
                suggest(&name.value, words()),
            );
            continue;
        };
        classes.extend(terms(sheet, at).map(|terms| (class, terms)));
    }
    if at.value.class.is_empty() {
        sheet.problem(&at.span, "no class", "say what each needs: `[edition.class.I]`");
    }
    let needs: Vec<u32> = classes.values().map(|terms: &Terms| terms.sources).collect();
    if !needs.is_sorted() {
        let hint = "a higher class needs at least as many `sources` as a lower one";
        sheet.problem(&at.span, "a class needs fewer sources than a lower one", hint);
    }
    classes
}

fn terms(sheet: &mut Sheet, at: &At<TermsFile>) -> Option<Terms> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say how many distinct sources it takes";
    let sources = sheet.need(file.sources.as_ref(), span, "sources", hint);
    let hint = "say what its balance may be used for, such as `[\"consumption\", \"transfer\"]`";
    let allowed = sheet.need(file.purposes.as_ref(), span, "purposes", hint);
    let lifetime = limit(sheet, file.lifetime_fen.as_ref());
    let yearly = limit(sheet, file.yearly_fen.as_ref());
    Some(Terms {
        sources: within(sheet, Some(sources?), 1..=100, 1),
        face_to_face: file.face_to_face.unwrap_or_default(),
        purposes: purposes(&allowed?.value),
        lifetime,
        yearly,
        excludes: purposes(&file.excludes),
    })
}

fn daily(sheet: &mut Sheet, file: &DailyFile) -> BTreeMap<Strength, Fen> {
    let limits = [
        (Strength::Weak, &file.weak_fen),
        (Strength::TwoFactors, &file.two_factors_fen),
        (Strength::Certificate, &file.certificate_fen),
    ];
    limits
        .into_iter()
        .filter_map(|(strength, at)| Some((strength, limit(sheet, at.as_ref())?)))
        .collect()
}

fn limit(sheet: &mut Sheet, at: Option<&At<u64>>) -> Option<Fen> {
    at.map(|at| Fen::new(within(sheet, Some(at), 0..=LIMIT_MAX, 0)))
}

fn purposes(words: &[Text<Purpose>]) -> BTreeSet<Purpose> {
    words.iter().map(|word| word.0).collect()
}

fn family(sheet: &mut Sheet, at: &At<FamilyFile>) -> Family {
    let (span, file) = (&at.span, &at.value);
    let hint = "say how it counts: `once`, `each` or `never`";
    let counts = sheet.need(file.counts.as_ref(), span, "counts", hint);
    let valid_for = file.valid_for.as_ref();
    Family {
        counts: counts.map_or(Counts::Never, |word| word.0),
        valid_for: valid_for.map(|at| time(sheet, Some(at), DAY..=LONGEST, DAY)),
        account: file.account.as_ref().map_or(AccountNeeded::Any, |word| word.0),
    }
}
