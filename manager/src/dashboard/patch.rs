//! What has changed between two documents: JSON merge patches (RFC 7396). Pure.
//!
//! A patch holds the members that differ; a member that is gone is `null`. So a document must not hold `null` as a member of an
//! object: [`whole`] takes them out, and "not known" is said by leaving out. Lists are replaced as one.

use serde_json::{Map, Value};

/// The patch that makes `new` of `old`, both without `null` members; `None` if they are the same.
#[must_use]
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let mut patch: Map<String, Value> = gone.collect();
    for (name, value) in new {
        match old.get(name) {
            // What was no object is replaced: a patch of one is applied to an empty one.
            Some(before) => patch.extend(difference(before, value).map(|change| (name.clone(), change))),
            None => drop(patch.insert(name.clone(), value.clone())),
        }
    }
    Some(Value::Object(patch))
}

/// What of a patch changes a document at all.
#[must_use]
pub fn effect(document: &Value, patch: &Value) -> Option<Value> {
    let Value::Object(changes) = patch else { return (document != patch).then(|| patch.clone()) };
    let Value::Object(members) = document else { return Some(whole(patch.clone())) };
    let mut left = Map::new();
    for (name, change) in changes {
        match members.get(name) {
            Some(_) if change.is_null() => drop(left.insert(name.clone(), Value::Null)),
            Some(before) => left.extend(effect(before, change).map(|change| (name.clone(), change))),
            None if change.is_null() => {}
            None => drop(left.insert(name.clone(), whole(change.clone()))),
        }
    }
    (!left.is_empty()).then_some(Value::Object(left))
}

/// Applies a patch.
pub fn apply(document: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *document = patch.clone();
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(members) = document else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            apply(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The same without members that are `null`.
#[must_use]
pub fn whole(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, whole(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3_u8).prop_map(Value::from),
            prop::collection::vec(0..3_u8, 0..3).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
    }

    #[test]
    fn a_patch_names_what_differs_and_nothing_else() {
        let old = json!({ "a": { "x": 1, "y": [1] }, "b": 2, "c": 3 });
        let new = json!({ "a": { "x": 1, "y": [1, 2] }, "c": 3, "d": {} });
        let patch = difference(&old, &new).unwrap();
        assert_eq!(patch, json!({ "a": { "y": [1, 2] }, "b": null, "d": {} }));
        assert_eq!(
            whole(json!({ "a": null, "b": { "c": null, "d": [null] } })),
            json!({ "b": { "d": [null] } })
        );
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_new_document_of_the_old(old in document(), new in document()) {
            let patch = difference(&old, &new);
            prop_assert_eq!(patch.is_none(), old == new);
            let mut made = old;
            if let Some(patch) = patch {
                apply(&mut made, &patch);
            }
            prop_assert_eq!(made, new);
        }

        #[test]
        fn the_effect_of_a_patch_is_the_patch_and_nothing_that_is_there_already(old in document(), other in document()) {
            let Some(patch) = difference(&old, &other) else { return Ok(()) };
            // Applied to what it was not made for.
            let mut due = other.clone();
            apply(&mut due, &patch);
            let mut made = other.clone();
            match effect(&other, &patch) {
                Some(effect) => apply(&mut made, &effect),
                None => prop_assert_eq!(&due, &other),
            }
            prop_assert_eq!(made, due);
            prop_assert_eq!(effect(&old, &patch), Some(patch));
        }
    }
}
