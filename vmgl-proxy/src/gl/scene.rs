//! Windows with OpenGL pictures over the picture of the VNC server: which pixels are whose. Pure.
//!
//! A watcher says where windows are seen, renderers give their pictures; neither waits for the other. A window is laid
//! over what is below where it is seen *and* has a picture; where its picture is smaller (it has grown, and the program has
//! not drawn yet) what is below shows.
//!
//! Invariant: what a window lays over is inside what the watcher said; a picture of a program is shown in windows that
//! the watcher says are that program's, and in no other.
//! Invariant: it holds at most [`PICTURES`] pictures.

use std::collections::{BTreeMap, BTreeSet};

use vmgl_rfb::{Framebuffer, Rect};

use super::seen::Seen;

/// Most pictures.
pub const PICTURES: usize = 256;

/// Whose picture, in which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The program.
    pub program: u64,
    /// Its window at the agent's X server.
    pub window: u32,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Scene {
    windows: Vec<Seen>,
    pictures: BTreeMap<Key, Framebuffer>,
    /// Programs whose pictures are not shown at present.
    hidden: BTreeSet<u64>,
}

impl Scene {
    /// The watcher's newest report; the rectangles that look different by it, if anything does.
    pub fn report(&mut self, windows: Vec<Seen>) -> Vec<Rect> {
        let mut changed = Vec::new();
        let old = std::mem::replace(&mut self.windows, windows);
        for seen in &old {
            if !self.windows.contains(seen) {
                changed.extend_from_slice(&seen.rects);
            }
        }
        for seen in &self.windows {
            if !old.contains(seen) {
                changed.extend(self.covers(seen));
            }
        }
        changed
    }

    /// A window's new picture; the rectangles that are covered by it, and the picture before, for the next one to be
    /// painted into.
    pub fn picture(&mut self, key: Key, picture: Framebuffer) -> (Vec<Rect>, Option<Framebuffer>) {
        if self.pictures.len() >= PICTURES && !self.pictures.contains_key(&key) {
            return (Vec::new(), Some(picture));
        }
        let mut changed = Vec::new();
        let smaller = self
            .pictures
            .get(&key)
            .is_some_and(|old| old.width() > picture.width() || old.height() > picture.height());
        if smaller {
            changed.extend(self.of(key));
        }
        let before = self.pictures.insert(key, picture);
        changed.extend(self.of(key));
        (changed, before)
    }

    /// A window has no picture any more.
    pub fn closed(&mut self, key: Key) -> Vec<Rect> {
        let covered = self.of(key);
        self.pictures.remove(&key);
        covered
    }

    /// A program's pictures are not shown, or are shown again: what is below is newer, or is not any more.
    pub fn hide(&mut self, program: u64, hidden: bool) -> Vec<Rect> {
        if self.hidden.contains(&program) == hidden {
            return Vec::new();
        }
        self.hidden.remove(&program);
        let windows = self.windows.iter().filter(|seen| seen.program == program);
        let covered = windows.flat_map(|seen| self.covers(seen)).collect();
        if hidden {
            self.hidden.insert(program);
        }
        covered
    }

    /// A program has no pictures any more.
    pub fn gone(&mut self, program: u64) -> Vec<Rect> {
        let keys: Vec<Key> = self.pictures.keys().filter(|key| key.program == program).copied().collect();
        let covered = keys.into_iter().flat_map(|key| self.closed(key)).collect();
        self.hidden.remove(&program);
        covered
    }

    /// Whether nothing lies over what is below.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.windows.iter().any(|seen| !self.covers(seen).is_empty())
    }

    /// How many windows the watcher sees, and how many of them have a picture.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let with = self.windows.iter().filter(|seen| self.pictures.contains_key(&key(seen)));
        (self.windows.len(), with.count())
    }

    /// Makes `shown` inside `rect` what it has to be over `below`; whether that changed anything. Both have one size.
    pub fn compose(&self, shown: &mut Framebuffer, below: &Framebuffer, rect: Rect) -> bool {
        let rect = rect.intersect(&below.bounds());
        let over: Vec<(&Seen, &Framebuffer, Rect)> = self
            .windows
            .iter()
            .filter_map(|seen| Some((seen, self.pictures.get(&key(seen))?)))
            .flat_map(|(seen, picture)| {
                self.covers(seen).into_iter().map(move |part| (seen, picture, part.intersect(&rect)))
            })
            .filter(|(_, _, part)| !part.is_empty())
            .collect();
        let mut differs = false;
        let mut row = Vec::with_capacity(rect.w.into());
        for y in rect.y..rect.y + rect.h {
            row.clear();
            row.extend_from_slice(below.row(rect.x, y, rect.w));
            for (seen, picture, part) in &over {
                if y < part.y || u32::from(y) >= part.bottom() {
                    continue;
                }
                let own =
                    |at: u16, from: i16| u16::try_from(i32::from(at) - i32::from(from)).unwrap_or(u16::MAX);
                let pixels = picture.row(own(part.x, seen.x), own(y, seen.y), part.w);
                let begin = usize::from(part.x - rect.x);
                if let Some(place) = row.get_mut(begin..begin + pixels.len()) {
                    place.copy_from_slice(pixels);
                }
            }
            let old = shown.row_mut(rect.x, y, rect.w);
            if *old != *row && old.len() == row.len() {
                old.copy_from_slice(&row);
                differs = true;
            }
        }
        differs
    }

    /// What the windows of `key` lay over.
    fn of(&self, wanted: Key) -> Vec<Rect> {
        let windows = self.windows.iter().filter(|seen| key(seen) == wanted);
        windows.flat_map(|seen| self.covers(seen)).collect()
    }

    /// What a window lays over: where it is seen, has a place for a pixel of its own, and has one.
    fn covers(&self, seen: &Seen) -> Vec<Rect> {
        if self.hidden.contains(&seen.program) {
            return Vec::new();
        }
        let Some(picture) = self.pictures.get(&key(seen)) else { return Vec::new() };
        let side = |at: i16, size: u16| (i32::from(at), i32::from(at) + i32::from(size));
        let (left, right) = side(seen.x, picture.width().min(seen.width));
        let (top, bottom) = side(seen.y, picture.height().min(seen.height));
        let short = |n: i32| u16::try_from(n.max(0)).unwrap_or(u16::MAX);
        let (x, y) = (short(left), short(top));
        let has = Rect::new(x, y, short(right).saturating_sub(x), short(bottom).saturating_sub(y));
        seen.rects.iter().map(|rect| rect.intersect(&has)).filter(|rect| !rect.is_empty()).collect()
    }
}

fn key(seen: &Seen) -> Key {
    Key { program: seen.program, window: seen.window }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(width: u16, height: u16, colour: u32) -> Framebuffer {
        let mut picture = Framebuffer::new(width, height).unwrap();
        picture.fill(picture.bounds(), colour);
        picture
    }

    fn seen(window: u32, x: i16, y: i16, rects: &[Rect]) -> Seen {
        Seen { window, program: 9, x, y, width: 40, height: 30, rects: rects.to_vec() }
    }

    const KEY: Key = Key { program: 9, window: 2 };

    #[test]
    fn a_picture_shows_where_its_window_is_seen_from_its_own_corner() {
        let mut scene = Scene::default();
        scene.report(vec![seen(2, -10, 5, &[Rect::new(0, 5, 20, 10)])]);
        let mut picture = filled(40, 30, 1);
        picture.fill(Rect::new(10, 0, 1, 1), 7);
        assert_eq!(scene.picture(KEY, picture).0, [Rect::new(0, 5, 20, 10)]);
        let (mut shown, below) = (filled(64, 48, 0), filled(64, 48, 0));
        assert!(scene.compose(&mut shown, &below, below.bounds()));
        assert_eq!((shown.row(0, 5, 1), shown.row(19, 14, 2)), (&[7][..], &[1, 0][..]));
        assert!(!scene.compose(&mut shown, &below, below.bounds()), "it is there already");
    }

    #[test]
    fn a_picture_of_another_program_is_shown_nowhere() {
        let mut scene = Scene::default();
        scene.report(vec![seen(2, 0, 0, &[Rect::new(0, 0, 40, 30)])]);
        scene.picture(Key { program: 8, ..KEY }, filled(40, 30, 1));
        assert!(scene.is_empty());
    }

    #[test]
    fn a_window_that_grew_shows_what_is_below_until_it_is_drawn() {
        let mut scene = Scene::default();
        scene.picture(KEY, filled(20, 10, 1));
        let grown = scene.report(vec![seen(2, 0, 0, &[Rect::new(0, 0, 40, 30)])]);
        assert_eq!(grown, [Rect::new(0, 0, 20, 10)]);
        assert_eq!(scene.picture(KEY, filled(40, 30, 1)).0, [Rect::new(0, 0, 40, 30)]);
    }

    #[test]
    fn more_pictures_than_there_may_be_are_given_back() {
        let mut scene = Scene::default();
        for window in 0..300 {
            scene.picture(Key { program: 1, window }, filled(1, 1, 1));
        }
        assert_eq!(scene.pictures.len(), PICTURES);
        assert_eq!(scene.gone(1), []);
        assert_eq!(scene.pictures.len(), 0);
    }

    fn rect() -> impl Strategy<Value = Rect> {
        (0u16..50, 0u16..40, 1u16..30, 1u16..30).prop_map(|(x, y, w, h)| Rect { x, y, w, h })
    }

    proptest! {
        /// Whatever happens, composing what is said to have changed leaves what composing all would.
        #[test]
        fn nothing_that_changed_is_forgotten(
            steps in prop::collection::vec((0u8..6, 1u32..4, -20i16..60, -20i16..50, 1u16..50, 1u16..40, rect()), 1..25)
        ) {
            let (mut scene, below) = (Scene::default(), filled(64, 48, 100));
            let mut shown = below.clone();
            for (n, (what, window, x, y, width, height, rect)) in (1000..).zip(steps) {
                let key = Key { program: 9, window };
                let changed = match what {
                    0 => scene.report(vec![Seen { window, program: 9, x, y, width, height, rects: vec![rect] }]),
                    1 => scene.closed(key),
                    2 => scene.hide(9, !scene.hidden.contains(&9)),
                    _ => scene.picture(key, filled(width, height, n)).0,
                };
                for rect in changed {
                    scene.compose(&mut shown, &below, rect);
                }
                let mut whole = below.clone();
                scene.compose(&mut whole, &below, below.bounds());
                prop_assert_eq!(&shown, &whole);
            }
        }
    }
}
