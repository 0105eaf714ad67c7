//! What is seen of a window among others: by hand, and against a painter that paints every window in its order.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use proptest::prelude::*;

use super::*;

const ROOT: u32 = 1;

fn place(x: i16, y: i16, width: u16, height: u16) -> Place {
    Place { x, y, width, height, border: 0 }
}

fn tree() -> Tree {
    Tree::new(ROOT, 100, 80)
}

fn put(tree: &mut Tree, window: u32, parent: u32, at: Place) {
    assert_eq!(tree.event(Event::Created { window, parent, place: at }), Ok(Some(window)));
    assert_eq!(tree.event(Event::Mapped(window, true)), Ok(None));
}

fn rects(tree: &mut Tree, window: u32) -> Vec<Rect> {
    tree.seen().into_iter().find(|seen| seen.window == window).unwrap().rects
}

#[test]
fn a_window_is_seen_at_its_place_with_its_border_outside() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, Place { border: 3, ..place(10, 10, 20, 20) });
    put(&mut tree, 3, 2, place(5, 5, 50, 50));
    tree.owned(3, Some(7));
    let seen = tree.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].x, seen[0].y, seen[0].width, seen[0].program), (18, 18, 50, 7));
    assert_eq!(seen[0].rects, [Rect::new(18, 18, 15, 15)], "its parent ends there");
}

#[test]
fn a_menu_over_it_covers_it_and_gives_it_back() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, place(0, 0, 40, 40));
    tree.owned(2, Some(1));
    put(&mut tree, 3, ROOT, place(0, 0, 40, 30));
    assert_eq!(rects(&mut tree, 2), [Rect::new(0, 30, 40, 10)]);
    tree.event(Event::Circulated(2, true)).unwrap();
    assert_eq!(rects(&mut tree, 2), [Rect::new(0, 0, 40, 40)]);
    tree.event(Event::Configured(3, place(0, 0, 40, 20), 2)).unwrap();
    assert_eq!(rects(&mut tree, 2), [Rect::new(0, 20, 40, 20)]);
    tree.event(Event::Destroyed(3)).unwrap();
    assert_eq!(rects(&mut tree, 2), [Rect::new(0, 0, 40, 40)]);
}

#[test]
fn what_only_takes_input_covers_nothing_and_what_is_below_an_unmapped_window_is_not_seen() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, place(0, 0, 40, 40));
    put(&mut tree, 3, 2, place(0, 0, 40, 40));
    tree.owned(3, Some(1));
    put(&mut tree, 4, ROOT, place(0, 0, 100, 80));
    tree.learnt(4, true, &[]).unwrap();
    assert_eq!(rects(&mut tree, 3), [Rect::new(0, 0, 40, 40)]);
    tree.event(Event::Mapped(2, false)).unwrap();
    assert_eq!(rects(&mut tree, 3), []);
}

#[test]
fn a_window_manager_that_takes_a_window_into_a_frame_takes_its_pictures_along() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, place(0, 0, 20, 20));
    tree.owned(2, Some(1));
    put(&mut tree, 3, ROOT, place(30, 30, 24, 30));
    let reparented = Event::Reparented { window: 2, parent: 3, x: 2, y: 8 };
    // Both parents tell of it.
    tree.event(reparented.clone()).unwrap();
    tree.event(reparented).unwrap();
    assert_eq!(rects(&mut tree, 2), [Rect::new(32, 38, 20, 20)]);
    tree.event(Event::Destroyed(3)).unwrap();
    assert_eq!(tree.seen(), []);
}

#[test]
fn shapes_cut_the_window_and_what_covers_it() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, place(0, 0, 40, 40));
    tree.owned(2, Some(1));
    tree.shaped(2, Some(vec![Piece::new(0, 0, 40, 10), Piece::new(0, 5, 40, 15)]));
    let area: usize = rects(&mut tree, 2).iter().map(Rect::area).sum();
    assert_eq!(area, 40 * 20);
    put(&mut tree, 3, ROOT, place(0, 0, 40, 40));
    tree.shaped(3, Some(vec![Piece::new(0, 0, 20, 40)]));
    let area: usize = rects(&mut tree, 2).iter().map(Rect::area).sum();
    assert_eq!(area, 20 * 20);
}

#[test]
fn a_window_draws_where_it_and_its_parent_may_draw() {
    let mut tree = tree();
    put(&mut tree, 2, ROOT, place(10, 10, 40, 40));
    put(&mut tree, 3, 2, place(5, 5, 30, 30));
    tree.owned(3, Some(1));
    tree.clipped(3, Some(vec![Piece::new(0, 0, 30, 10)]));
    assert_eq!(rects(&mut tree, 3), [Rect::new(15, 15, 30, 10)]);
    tree.clipped(2, Some(vec![Piece::new(0, 0, 10, 40)]));
    assert_eq!(rects(&mut tree, 3), [Rect::new(15, 15, 5, 10)]);
    tree.clipped(3, None);
    assert_eq!(rects(&mut tree, 3), [Rect::new(15, 15, 5, 30)]);
}

/// Paints the tree as X does: a window, then its children over it, bottom first.
fn paint(tree: &Tree, window: u32, x: i32, y: i32, clip: &Area, screen: &mut [u32]) {
    let node = &tree.nodes[&window];
    if !node.mapped || node.input_only {
        return;
    }
    let (left, top) = node.corner();
    let (x, y) = (x + left, y + top);
    let mut whole = clip.clone();
    let cover: Vec<Piece> = node.cover().iter().map(|piece| piece.moved(x - left, y - top)).collect();
    whole.clip(&cover);
    fill(&whole, 0, screen);
    let mut inside = whole;
    inside.clip(&[node.inside().moved(x, y)]);
    if let Some(clip) = &node.clip {
        inside.clip(&clip.iter().map(|piece| piece.moved(x, y)).collect::<Vec<_>>());
    }
    fill(&inside, window, screen);
    for child in &node.children {
        paint(tree, *child, x, y, &inside, screen);
    }
}

fn fill(area: &Area, with: u32, screen: &mut [u32]) {
    for rect in area.pieces().iter().filter_map(Piece::rect) {
        for row in rect.y..rect.y + rect.h {
            let begin = usize::from(row) * 100 + usize::from(rect.x);
            screen[begin..begin + usize::from(rect.w)].fill(with);
        }
    }
}

proptest! {
    #[test]
    fn what_is_seen_is_what_a_painter_leaves(
        steps in prop::collection::vec((0u8..9, 2u32..12, 1u32..12, -20i16..90, -20i16..70, 1u16..60, 1u16..50, 0u16..4), 1..60)
    ) {
        let mut tree = tree();
        for (what, window, other, x, y, width, height, border) in steps {
            let place = Place { x, y, width, height, border };
            let event = match what {
                0 | 1 => Event::Created { window, parent: other, place },
                2 => Event::Configured(window, place, other),
                3 => Event::Mapped(window, x > 0),
                4 => Event::Reparented { window, parent: other, x, y },
                5 => Event::Circulated(window, x > 0),
                6 | 7 => {
                    let piece = Piece::new(x.into(), y.into(), width.into(), height.into());
                    let pieces = (border > 0).then(|| vec![piece, piece.moved(3, 2)]);
                    if what == 6 {
                        tree.shaped(window, pieces);
                    } else {
                        tree.clipped(window, pieces);
                    }
                    continue;
                }
                _ => Event::Destroyed(window),
            };
            tree.event(event.clone()).unwrap();
            if matches!(event, Event::Created { .. }) {
                tree.event(Event::Mapped(window, true)).unwrap();
                tree.owned(window, Some(1));
            }
        }
        let mut screen = vec![0; 100 * 80];
        paint(&tree, ROOT, 0, 0, &Area::from(Piece::new(0, 0, 100, 80)), &mut screen);
        for seen in tree.seen() {
            let mut mine = vec![0; 100 * 80];
            for rect in &seen.rects {
                for (x, y) in (rect.x..rect.x + rect.w).flat_map(|x| (rect.y..rect.y + rect.h).map(move |y| (x, y))) {
                    mine[usize::from(y) * 100 + usize::from(x)] += seen.window;
                }
            }
            let expected: Vec<u32> = screen.iter().map(|found| if *found == seen.window { *found } else { 0 }).collect();
            prop_assert_eq!(mine, expected, "window {}", seen.window);
        }
    }
}
