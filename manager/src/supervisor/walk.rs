//! The walk of a model over the real rules: everything that may happen, failures included, from every state that can be reached.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// A world of supervisors, machines, disks and files.
pub(super) trait Model: Clone + Debug + Eq + Hash {
    /// What must hold in every state; panics where it does not.
    fn check(&self);

    /// What happens next when nothing fails; `None` at an end.
    fn progress(&self) -> Option<Self>;

    /// What else may happen: wishes of users, failures that are left.
    fn troubles(&self) -> Vec<Self>;

    /// Is this an end that may stay?
    fn settled(&self) -> bool;
}

/// Walks everything; from each state the story, when nothing fails any more, must come to an end that may stay. Gives the number
/// of states.
pub(super) fn walk<M: Model>(first: M) -> usize {
    let mut seen = HashSet::new();
    let mut ends: HashMap<M, bool> = HashMap::new();
    let mut todo = VecDeque::from([first]);
    while let Some(world) = todo.pop_front() {
        if !seen.insert(world.clone()) {
            continue;
        }
        world.check();
        // From here on nothing fails.
        let mut path = vec![world.clone()];
        let good = loop {
            let last = path.last().unwrap();
            if let Some(known) = ends.get(last) {
                break *known;
            }
            match last.progress() {
                Some(next) => {
                    next.check();
                    assert!(path.len() < 200, "it never ends: {:#?}", &path[path.len() - 4..]);
                    path.push(next);
                }
                None => break last.settled(),
            }
        };
        assert!(good, "that is no end: {:#?}\n{:#?}", path.first(), path.last());
        ends.extend(path.into_iter().map(|world| (world, good)));
        todo.extend(world.progress());
        todo.extend(world.troubles());
    }
    seen.len()
}

/// Until nothing more happens; nothing fails.
pub(super) fn settle<M: Model>(mut world: M) -> M {
    while let Some(next) = world.progress() {
        next.check();
        world = next;
    }
    world
}
