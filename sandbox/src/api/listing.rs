//! Lists as they stood at one revision, and what has changed since one.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    resource::Resource,
    store::{Change, Key, Store, after_key},
};

/// What a list found.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) revision: u64,
    /// Key of the last item when there are more.
    pub(crate) more: Option<Key>,
    /// How many remain after this page, known only for a list without selectors.
    pub(crate) remaining: usize,
}

/// A list at an old revision that cannot be told any more, or a watch from one.
#[derive(Debug)]
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
}

impl Store {
    /// A page of objects after `from`, as they stood at `at` (now when absent).
    pub(crate) fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        from: Option<&Key>,
        at: Option<u64>,
        limit: usize,
        keep: &dyn Fn(&Value) -> bool,
    ) -> Result<Listing, TooOld> {
        let inner = self.lock();
        let revision = at.unwrap_or(inner.revision);
        let Some(shelf) = inner.shelves.get(&resource.shelf()) else {
            return Ok(Listing {
                items: Vec::new(),
                revision,
                more: None,
                remaining: 0,
            });
        };
        // What has changed since then is undone on the side, newest change first.
        let mut former: BTreeMap<&Key, Option<&Arc<Value>>> = BTreeMap::new();
        if let Some(at) = at {
            if at < shelf.dropped.max(inner.start) {
                return Err(TooOld {
                    oldest: shelf.dropped.max(inner.start),
                });
            }
            for change in shelf
                .log
                .iter()
                .rev()
                .map(|(_, change)| change)
                .take_while(|change| change.revision > at)
            {
                former.insert(&change.key, change.old.as_ref());
            }
        }
        let after = |key: &Key| from.is_none_or(|from| key > from);
        let mut gone: Vec<(&Key, &Arc<Value>)> = former
            .iter()
            .filter(|(key, _)| !shelf.objects.contains_key(**key))
            .filter(|(key, _)| (namespace.is_empty() || key.0 == namespace) && after(key))
            .filter_map(|(key, old)| old.map(|old| (*key, old)))
            .collect();
        gone.reverse();
        let mut listing = Listing {
            items: Vec::new(),
            revision,
            more: None,
            remaining: 0,
        };
        let mut last: Option<&Key> = None;
        let mut present = after_key(&shelf.objects, namespace, from).filter_map(|(key, object)| {
            match former.get(key) {
                Some(old) => old.map(|old| (key, old)),
                None => Some((key, object)),
            }
        });
        let mut next = present.next();
        loop {
            let take_gone = match (gone.last(), next) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((gone, _)), Some((key, _))) => *gone < key,
            };
            let Some((key, object)) = (if take_gone {
                gone.pop()
            } else {
                std::mem::replace(&mut next, present.next())
            }) else {
                break;
            };
            if !keep(object) {
                continue;
            }
            if limit > 0 && listing.items.len() == limit {
                listing.more = last.cloned();
                listing.remaining = 1 + gone.len() + usize::from(next.is_some()) + present.count();
                break;
            }
            listing.items.push(object.clone());
            last = Some(key);
        }
        Ok(listing)
    }

    /// The changes after a revision, oldest first, at most 500, with the revision up to which they are complete.
    pub(crate) fn changes(
        &self,
        resource: &Resource,
        after: u64,
    ) -> Result<(Vec<Change>, u64), TooOld> {
        let mut inner = self.lock();
        let (revision, start) = (inner.revision, inner.start);
        let shelf = inner.shelf(resource.shelf());
        let oldest = shelf.dropped.max(start);
        if after < oldest {
            return Err(TooOld { oldest });
        }
        let begin = shelf
            .log
            .partition_point(|(_, change)| change.revision <= after);
        let changes: Vec<Change> = shelf
            .log
            .range(begin..)
            .take(500)
            .map(|(_, change)| change.clone())
            .collect();
        let upto = match changes.last() {
            Some(last) if changes.len() == 500 => last.revision,
            _ => revision,
        };
        Ok((changes, upto))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(store: &Store, name: &str, value: usize) {
        let maps = store.registry.find("", "configmaps").expect("resource");
        let object = json!({ "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": { "name": name, "namespace": "a" }, "data": { "n": value.to_string() } });
        store
            .begin(false)
            .put(&maps, ("a".to_owned(), name.to_owned()), object);
    }

    fn names(listing: &Listing) -> Vec<&str> {
        listing
            .items
            .iter()
            .filter_map(|o| o["metadata"]["name"].as_str())
            .collect()
    }

    #[test]
    fn an_old_moment_is_told_as_it_was() {
        let store = Store::new();
        let maps = store.registry.find("", "configmaps").expect("resource");
        for name in ["b", "d", "f"] {
            put(&store, name, 0);
        }
        let then = store.revision();
        put(&store, "a", 0);
        put(&store, "d", 1);
        for gone in ["b", "f"] {
            store
                .begin(false)
                .remove(&maps, ("a".to_owned(), gone.to_owned()));
        }
        let all = |at| store.list(&maps, "a", None, at, 0, &|_| true);
        assert_eq!(names(&all(None).expect("now")), ["a", "d"]);
        let old = all(Some(then)).expect("then");
        assert_eq!(names(&old), ["b", "d", "f"]);
        assert_eq!(old.items[1]["data"]["n"], "0");
        assert!(super::super::store::revision_of(&old.items[0]).is_some_and(|r| r <= then));
        let (changes, upto) = store.changes(&maps, then).expect("changes");
        assert_eq!((changes.len(), upto), (4, store.revision()));
    }

    #[test]
    fn changes_that_are_forgotten_are_too_old() {
        let store = Store::new();
        let maps = store.registry.find("", "configmaps").expect("resource");
        put(&store, "a", 0);
        let then = store.revision();
        for value in 1..=10_001 {
            put(&store, "a", value);
        }
        let oldest = store.changes(&maps, then).expect_err("forgotten").oldest;
        assert!(oldest > then);
        assert_eq!(
            store.changes(&maps, oldest).expect("remembered").0.len(),
            500,
            "told in parts"
        );
        assert!(
            store
                .list(&maps, "", None, Some(then), 0, &|_| true)
                .is_err()
        );
    }
}
