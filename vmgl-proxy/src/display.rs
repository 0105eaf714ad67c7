//! The picture between the server and the viewers, and what each viewer has not got yet.
//!
//! A link draws into a picture of its own and publishes what changed when an update is complete, so viewers
//! see whole updates, and after a re-home only what differs. A viewer that is slow misses pictures between,
//! never the last one: its debt is one [`Region`].
//!
//! Where windows with OpenGL pictures lie over the server's picture ([`Shown::overlay`]), that is kept below; what it
//! changes there is not seen, owed to nobody and counts for nothing until the window is away.
//!
//! Invariant: the lock is held for copying and comparing only: what a viewer is owed is copied out and encoded
//! after that, so that one viewer's encoding holds up neither a link nor another viewer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vmgl_rfb::{Cursor, Framebuffer, Rect, Screen};

use crate::address::Address;
use crate::gl::scene::Scene;
use crate::region::Region;

/// Pictures are compared in squares of this side.
const TILE: u16 = 32;

/// What a viewer is owed.
#[derive(Debug, Default)]
pub struct Debt {
    /// Pixels.
    pub damage: Region,
    /// The size.
    pub size: bool,
    /// Why it is told the size, if not because the server changed it: reason and status of the protocol.
    pub resize: Option<(u16, u16)>,
    /// The cursor's looks.
    pub cursor: bool,
    /// The pointer's place, if the viewer does not draw it itself.
    pub pointer: bool,
    /// Bells; several are one.
    pub bell: bool,
    /// The clipboard.
    pub cut: bool,
}

/// A viewer, as the display and `ctl viewers` know it.
#[derive(Debug)]
pub struct Viewer {
    /// Where it comes from.
    pub from: String,
    /// What it is owed.
    pub debt: Debt,
    /// Whether it draws the cursor itself.
    pub draws: bool,
    /// Updates that were sent to it.
    pub updates: u64,
    /// Bytes that were sent to it.
    pub bytes: u64,
    wake: Arc<Notify>,
}

/// What is shown.
#[derive(Debug)]
pub struct Shown {
    /// The picture.
    pub picture: Framebuffer,
    /// What the server shows, while windows lie over it.
    below: Option<Framebuffer>,
    scene: Scene,
    /// The desktop's name.
    pub name: String,
    /// How the desktop is divided, as far as the server said.
    pub screens: Vec<Screen>,
    /// The cursor, when the server leaves it to viewers; else it is in the picture.
    pub cursor: Option<Cursor>,
    /// Where the pointer is, once a viewer said so.
    pub pointer: Option<(u16, u16)>,
    /// The last text of the server's clipboard.
    pub cut: Option<Arc<str>>,
    /// The last text of a viewer's clipboard, for the server.
    pub given: Option<Arc<str>>,
    /// Whether that is newer than the server's.
    pub given_newest: bool,
    /// The link that may publish; 0 before the first.
    pub live: u64,
    server: Option<Address>,
    /// Who looks.
    pub viewers: BTreeMap<u64, Viewer>,
    /// Why the last viewer's connection ended.
    pub viewer_end: Option<String>,
    last: u64,
}

impl Shown {
    /// The protocol's word for a size that may not be changed.
    pub const PROHIBITED: u16 = 1;

    fn owe(&mut self, what: impl Fn(&mut Debt)) {
        for viewer in self.viewers.values_mut() {
            what(&mut viewer.debt);
            viewer.wake.notify_one();
        }
    }

    /// Takes a link's picture over where it differs, and says how many pixels' tiles that were.
    pub fn publish(&mut self, from: &Framebuffer, changed: &Region) -> u64 {
        // A picture without a pixel is nothing to show, and viewers hang up on one.
        if from.bounds().is_empty() {
            return 0;
        }
        if (from.width(), from.height()) != (self.picture.width(), self.picture.height()) {
            self.picture = from.clone();
            self.below = (!self.scene.is_empty()).then(|| from.clone());
            if let Some(below) = &self.below {
                self.scene.compose(&mut self.picture, below, below.bounds());
            }
            self.screens = Vec::new();
            let all = self.picture.bounds();
            self.owe(|debt| {
                debt.damage = Region::default();
                debt.damage.add(all);
                debt.size = true;
            });
            return all.area() as u64;
        }
        let mut differs = Region::default();
        for rect in changed.rects() {
            for tile in rect.intersect(&from.bounds()).tiles(TILE, TILE) {
                let seen = match &mut self.below {
                    None => take_over(&mut self.picture, from, tile),
                    Some(below) => {
                        take_over(below, from, tile) && self.scene.compose(&mut self.picture, below, tile)
                    }
                };
                if seen {
                    differs.add(tile);
                }
            }
        }
        self.differs(&differs)
    }

    /// Changes what lies over the server's picture; `change` says where, and the answer is as [`Shown::publish`]'s.
    pub fn overlay(&mut self, change: impl FnOnce(&mut Scene) -> Vec<Rect>) -> u64 {
        let changed = change(&mut self.scene);
        if changed.is_empty() {
            return 0;
        }
        let below = self.below.get_or_insert_with(|| self.picture.clone());
        // Many of them may lie over each other: a tile is not composed for each.
        let mut all = Region::default();
        changed.iter().for_each(|rect| all.add(rect.intersect(&below.bounds())));
        let mut differs = Region::default();
        for rect in all.rects() {
            for tile in rect.tiles(TILE, TILE) {
                if self.scene.compose(&mut self.picture, below, tile) {
                    differs.add(tile);
                }
            }
        }
        if self.scene.is_empty() {
            self.below = None;
        }
        self.differs(&differs)
    }

    /// What lies over the server's picture.
    #[must_use]
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    fn differs(&mut self, differs: &Region) -> u64 {
        if !differs.is_empty() {
            self.owe(|debt| debt.damage.add_all(differs));
        }
        differs.area()
    }

    /// The desktop is divided so from now on. What makes no sense is forgotten: viewers hang up on it.
    pub fn set_screens(&mut self, screens: &[Screen]) {
        let bounds = self.picture.bounds();
        let sound = screens.iter().all(|screen| !screen.rect.is_empty() && bounds.contains(&screen.rect));
        let ids: BTreeSet<u32> = screens.iter().map(|screen| screen.id).collect();
        let screens = if sound && ids.len() == screens.len() { screens } else { &[] };
        if self.screens != screens {
            self.screens = screens.to_vec();
            self.owe(|debt| debt.size = true);
        }
    }

    /// What `viewer` wanted the size to be was answered so: 0 is done, which all are told, else a refusal,
    /// of which only that viewer hears.
    pub fn answer_resize(&mut self, viewer: u64, status: u16) {
        for (id, other) in &mut self.viewers {
            if *id == viewer || status == 0 {
                other.debt.resize = Some(if *id == viewer { (1, status) } else { (2, 0) });
                other.debt.size = true;
                other.wake.notify_one();
            }
        }
    }

    /// The cursor looks so from now on; `None` when the server draws it into the picture.
    pub fn set_cursor(&mut self, cursor: Option<Cursor>) {
        if self.cursor != cursor {
            self.cursor = cursor;
            self.owe(|debt| debt.cursor = true);
        }
    }

    /// A viewer pointed there. Those that do not draw the pointer themselves are owed it.
    pub fn point(&mut self, x: u16, y: u16) {
        if self.pointer.replace((x, y)) == Some((x, y)) {
            return;
        }
        for viewer in self.viewers.values_mut().filter(|viewer| !viewer.draws) {
            viewer.debt.pointer = true;
            viewer.wake.notify_one();
        }
    }

    /// This link is shown from now on, to the server at that address. Is that another one than before?
    pub fn goes_live(&mut self, id: u64, server: &Address) -> bool {
        self.live = id;
        self.server.replace(server.clone()).is_some_and(|before| before != *server)
    }

    /// A bell.
    pub fn ring(&mut self) {
        self.owe(|debt| debt.bell = true);
    }

    /// The server's clipboard has this text.
    pub fn set_cut(&mut self, text: Arc<str>) {
        self.cut = Some(text);
        self.given_newest = false;
        self.owe(|debt| debt.cut = true);
    }

    /// A viewer's clipboard has this text, for this server and those that follow.
    pub fn give(&mut self, text: Arc<str>) {
        self.given = Some(text);
        self.given_newest = true;
    }

    /// A viewer comes; it is owed what is not the picture (that it asks for).
    pub fn add(&mut self, from: String) -> (u64, Arc<Notify>) {
        self.last += 1;
        let wake = Arc::new(Notify::new());
        let debt = Debt { cursor: true, ..Debt::default() };
        let viewer = Viewer { from, debt, draws: false, updates: 0, bytes: 0, wake: Arc::clone(&wake) };
        self.viewers.insert(self.last, viewer);
        (self.last, wake)
    }
}

fn take_over(to: &mut Framebuffer, from: &Framebuffer, tile: Rect) -> bool {
    let mut differs = false;
    for y in tile.y..tile.y + tile.h {
        let (old, new) = (to.row_mut(tile.x, y, tile.w), from.row(tile.x, y, tile.w));
        if *old != *new && old.len() == new.len() {
            old.copy_from_slice(new);
            differs = true;
        }
    }
    differs
}

/// What is shown, shared.
#[derive(Debug, Clone)]
pub struct Display(Arc<Mutex<Shown>>);

impl Display {
    /// A display that shows `picture`.
    #[must_use]
    pub fn new(picture: Framebuffer) -> Self {
        Self(Arc::new(Mutex::new(Shown {
            picture,
            below: None,
            scene: Scene::default(),
            name: "vmgl-proxy".to_owned(),
            screens: Vec::new(),
            cursor: None,
            pointer: None,
            cut: None,
            given: None,
            given_newest: false,
            live: 0,
            server: None,
            viewers: BTreeMap::new(),
            viewer_end: None,
            last: 0,
        })))
    }

    /// What is shown, locked.
    pub fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;
    use crate::gl::scene::Key;
    use crate::gl::seen::Seen;

    #[test]
    fn of_a_new_picture_a_viewer_is_owed_the_difference_only() {
        let display = Display::new(Framebuffer::new(640, 480).unwrap());
        let mut shown = display.lock();
        let (id, _) = shown.add("test".to_owned());
        let mut other = Framebuffer::new(640, 480).unwrap();
        other.fill(Rect::new(100, 100, 3, 3), 0xff);
        let mut all = Region::default();
        all.add(other.bounds());
        shown.publish(&other, &all);
        assert_eq!(shown.picture, other);
        assert_eq!(shown.viewers[&id].debt.damage.rects(), [Rect::new(96, 96, TILE, TILE)]);
    }

    #[test]
    fn what_the_server_draws_below_a_window_is_seen_when_the_window_is_away() {
        let whole = Rect::new(32, 32, 64, 64);
        let display = Display::new(Framebuffer::new(640, 480).unwrap());
        let mut shown = display.lock();
        let (id, _) = shown.add("test".to_owned());
        let seen = Seen { window: 1, program: 2, x: 32, y: 32, width: 64, height: 64, rects: vec![whole] };
        let mut gears = Framebuffer::new(64, 64).unwrap();
        gears.fill(gears.bounds(), 0xff);
        assert_eq!(shown.overlay(|scene| scene.report(vec![seen])), 0, "there is no picture yet");
        let key = Key { program: 2, window: 1 };
        assert_eq!(shown.overlay(|scene| scene.picture(key, gears).0), 64 * 64);
        assert_eq!(shown.viewers[&id].debt.damage.area(), 64 * 64);
        shown.viewers.get_mut(&id).unwrap().debt = Debt::default();

        let mut server = Framebuffer::new(640, 480).unwrap();
        server.fill(whole, 0xff00);
        let mut all = Region::default();
        all.add(server.bounds());
        assert_eq!(shown.publish(&server, &all), 0, "nobody sees it");
        assert!(shown.viewers[&id].debt.damage.is_empty());
        assert_eq!(shown.picture.row(32, 32, 1), [0xff]);
        server.fill(Rect::new(20, 40, 20, 1), 0xff_0000);
        assert_eq!(
            shown.publish(&server, &all),
            u64::from(TILE) * u64::from(TILE),
            "what is beside it is seen"
        );
        assert_eq!(shown.picture.row(30, 40, 4), [0xff_0000, 0xff_0000, 0xff, 0xff]);

        assert_eq!(shown.overlay(|scene| scene.gone(2)), 64 * 64);
        assert_eq!(shown.picture, server);
    }

    #[test]
    fn a_server_of_another_size_keeps_the_windows_over_it() {
        let display = Display::new(Framebuffer::new(64, 48).unwrap());
        let mut shown = display.lock();
        let rects = vec![Rect::new(0, 0, 4, 4)];
        let seen = Seen { window: 1, program: 2, x: 0, y: 0, width: 4, height: 4, rects };
        let mut gears = Framebuffer::new(4, 4).unwrap();
        gears.fill(gears.bounds(), 0xff);
        shown.overlay(|scene| scene.report(vec![seen]));
        shown.overlay(|scene| scene.picture(Key { program: 2, window: 1 }, gears).0);
        shown.publish(&Framebuffer::new(128, 96).unwrap(), &Region::default());
        assert_eq!(shown.picture.row(3, 3, 2), [0xff, 0]);
        shown.overlay(|scene| scene.gone(2));
        assert_eq!(shown.picture, Framebuffer::new(128, 96).unwrap());
    }

    #[test]
    fn a_server_that_comes_back_is_no_other_one() {
        let display = Display::new(Framebuffer::new(640, 480).unwrap());
        let [a, b] = ["a", "b"].map(|name| Address::Unix(name.into()));
        let went: Vec<bool> =
            [(1, &a), (2, &a), (3, &b), (4, &a)].map(|(id, at)| display.lock().goes_live(id, at)).into();
        assert_eq!((went, display.lock().live), (vec![false, false, true, true], 4));
    }

    #[test]
    fn screens_that_make_no_sense_are_forgotten() {
        let display = Display::new(Framebuffer::new(640, 480).unwrap());
        let mut shown = display.lock();
        let screen = |id, x| Screen { id, rect: Rect::new(x, 0, 320, 480), flags: 0 };
        let good = [screen(0, 0), screen(1, 320)];
        shown.set_screens(&good);
        assert_eq!(shown.screens, good);
        for bad in [[screen(0, 0), screen(0, 320)], [screen(0, 0), screen(1, 321)]] {
            shown.set_screens(&bad);
            assert_eq!(shown.screens, []);
        }
    }
    #[test]
    fn a_picture_without_a_pixel_is_not_shown() {
        let display = Display::new(Framebuffer::new(640, 480).unwrap());
        let mut shown = display.lock();
        for (width, height) in [(0, 0), (640, 0), (0, 480)] {
            assert_eq!(shown.publish(&Framebuffer::new(width, height).unwrap(), &Region::default()), 0);
            assert_eq!(shown.picture.bounds(), Rect::new(0, 0, 640, 480));
        }
    }
}
