//! Under which keys a store was written.

use crate::place::{Place, key};
use hefu::crypto::keys::{Keys, Other};
use hefu::domain::id::KeyId;
use hefu::store::keys::KeysError;

pub(crate) fn keys(current: (u16, u8), others: &[(u16, Option<u8>)]) -> Keys {
    let other = |(id, byte): &(u16, Option<u8>)| Other {
        id: KeyId(*id),
        key: byte.map(|byte| key(*id, byte)),
        until: None,
    };
    Keys { others: others.iter().map(other).collect(), ..key(current.0, current.1).into() }
}

#[test]
fn a_store_is_opened_with_the_keys_that_it_was_written_under() {
    for place in Place::every() {
        let check = |current, others: &[_], expected| {
            assert_eq!(place.check(&keys(current, others)), expected, "{current:?} {others:?}");
        };
        check((1, 1), &[], Ok(()));
        check((1, 1), &[(2, Some(2))], Ok(()));
        check((1, 2), &[], Err(KeysError::Another(1)));
        check((2, 2), &[], Err(KeysError::Unknown(1)));
        check((2, 2), &[(1, Some(3))], Err(KeysError::Another(1)));
        check((1, 1), &[], Ok(()));
        check((2, 2), &[(1, Some(1))], Ok(()));
        check((1, 1), &[], Err(KeysError::Unknown(2)));
        check((2, 2), &[(1, None)], Ok(()));
        check((3, 3), &[(1, Some(1)), (2, Some(2))], Ok(()));
        let said = place.check(&keys((3, 3), &[(1, None)])).unwrap_err().to_string();
        assert!(said.contains("fingerprint key 2, which is not configured"), "{said}");
    }
}
