//! Tests of the machine that decides which server is shown.

use super::*;

fn at(name: &str) -> Address {
    Address::Unix(name.into())
}

fn attached() -> Rehome {
    let mut machine = Rehome::new(at("a"));
    assert_eq!(machine.step(Event::Again), [Action::Connect(1, at("a")), Action::Show(1)]);
    assert_eq!(machine.step(Event::Shown(1)), [Action::Done]);
    assert_eq!(machine.phase(), Phase::Attached);
    machine
}

#[test]
fn the_old_server_is_let_go_only_when_the_new_one_is_shown() {
    let mut machine = attached();
    assert_eq!(machine.step(Event::Prepare(at("b"))), [Action::Connect(2, at("b"))]);
    assert_eq!(machine.step(Event::Loaded(2)), [Action::Done]);
    assert_eq!(machine.phase(), Phase::Prepared);
    assert_eq!(machine.step(Event::Rehome(None)), [Action::Show(2)]);
    assert_eq!(machine.phase(), Phase::Switching);
    assert_eq!(machine.step(Event::Shown(2)), [Action::Close(1), Action::Done]);
    assert_eq!(machine.address(), &at("b"));
}

#[test]
fn one_that_loads_is_told_to_show_once() {
    let mut machine = attached();
    machine.step(Event::Prepare(at("b")));
    assert_eq!(machine.step(Event::Rehome(None)), [Action::Show(2)]);
    assert_eq!(machine.step(Event::Rehome(Some(at("b")))), []);
    assert_eq!(machine.step(Event::Loaded(2)), [], "it had loaded before it heard the order");
    assert_eq!(machine.step(Event::Shown(2)), [Action::Close(1), Action::Done]);
}

#[test]
fn a_move_that_is_cancelled_or_fails_stays() {
    let mut machine = attached();
    machine.step(Event::Prepare(at("b")));
    assert_eq!(machine.step(Event::Cancel)[0], Action::Close(2));
    assert_eq!((machine.phase(), machine.shown()), (Phase::Attached, Some(1)));
    machine.step(Event::Rehome(Some(at("c"))));
    assert!(matches!(machine.step(Event::Gone(3))[..], [Action::Failed(_)]));
    assert_eq!((machine.phase(), machine.address()), (Phase::Attached, &at("a")));
}

#[test]
fn a_server_that_ends_is_tried_again_and_a_prepared_one_takes_over() {
    let mut machine = attached();
    assert_eq!(machine.step(Event::Gone(1)), [Action::Wait]);
    assert_eq!(machine.phase(), Phase::Away);
    assert_eq!(machine.step(Event::Again), [Action::Connect(2, at("a")), Action::Show(2)]);
    machine.step(Event::Shown(2));
    machine.step(Event::Prepare(at("b")));
    machine.step(Event::Loaded(3));
    assert_eq!(machine.step(Event::Gone(2)), [Action::Show(3)]);
}

proptest::proptest! {
    #[test]
    fn whatever_happens_no_open_link_is_forgotten_and_the_way_goes_on(
        steps in proptest::collection::vec((0u8..8, 0u8..3), 0..200)
    ) {
        let mut machine = Rehome::new(at("a"));
        let (mut open, mut waiting) = (std::collections::BTreeSet::new(), true);
        for (what, which) in steps {
            let link = open.iter().copied().nth(which.into());
            let address = at(["a", "b", "c"][usize::from(which)]);
            let event = match (what, link) {
                (0, _) => Event::Prepare(address),
                (1, _) => Event::Rehome((which > 0).then_some(address)),
                (2, _) => Event::Cancel,
                (3, Some(id)) => Event::Loaded(id),
                (4, Some(id)) => Event::Shown(id),
                (5, Some(id)) => Event::Gone(id),
                _ => { waiting = false; Event::Again }
            };
            if let Event::Gone(id) = event { open.remove(&id); }
            for action in machine.step(event) {
                match action {
                    Action::Connect(id, _) => proptest::prop_assert!(open.insert(id)),
                    Action::Close(id) => proptest::prop_assert!(open.remove(&id)),
                    Action::Show(id) => proptest::prop_assert!(open.contains(&id)),
                    Action::Wait => waiting = true,
                    Action::Done | Action::Failed(_) => {}
                }
            }
            let known: std::collections::BTreeSet<_> =
                machine.shown.into_iter().chain(machine.next.as_ref().map(|next| next.id)).collect();
            proptest::prop_assert_eq!(&known, &open);
            proptest::prop_assert!(waiting || !open.is_empty(), "nothing will ever happen again");
        }
    }
}

#[test]
fn input_that_is_held_back_goes_to_whoever_is_shown_next() {
    let mut machine = attached();
    machine.step(Event::Prepare(at("b")));
    assert_eq!(machine.step(Event::Hold), []);
    assert_eq!((machine.hears(), machine.shown()), (None, Some(1)));
    machine.step(Event::Rehome(None));
    assert_eq!(machine.hears(), None);
    machine.step(Event::Shown(2));
    assert_eq!(machine.hears(), Some(2));
    // And where nothing comes of the move, to the present one.
    machine.step(Event::Hold);
    machine.step(Event::Prepare(at("c")));
    assert!(machine.held());
    machine.step(Event::Cancel);
    assert_eq!(machine.hears(), Some(2));
}
