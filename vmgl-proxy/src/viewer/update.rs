//! What a viewer is sent: what it is owed is copied out under the display's lock, and encoded without it.
//!
//! A viewer that does not draw the cursor gets it in its picture. One that cannot be told of a new size
//! keeps its frame: what is larger is cut off, what is smaller has black around it. What was sent with loss
//! and is quiet follows as it is, a little with each update, so that it holds up no motion.

use std::time::Instant;

use vmgl_rfb::{Cursor, Framebuffer, Rect, Screen, Update, bell, cut_text, pseudo};

use super::Viewer;
use crate::display::{Debt, Display, Shown};

/// Most pixels sent again as they are, with an update that has nothing else.
const EXACT: usize = 64 << 10;
/// The same beside pictures that changed.
const EXACT_BESIDE: usize = 8 << 10;

/// A piece of the picture, and where it stands.
struct Piece {
    at: (u16, u16),
    picture: Framebuffer,
}

/// A word about the size.
enum Size {
    Plain,
    /// With reason and status.
    Extended((u16, u16), Vec<Screen>),
}

/// What an update is made of.
#[derive(Default)]
struct Due {
    size: Option<Size>,
    extended_keys: bool,
    cursor: Option<Cursor>,
    pieces: Vec<Piece>,
    /// Those that are sent as they are, whatever the viewer allows.
    exact: Vec<Piece>,
}

impl Viewer {
    /// Encodes what it is owed, as far as it asked for it.
    pub(super) fn update(&mut self, display: &Display, now: Instant) {
        let Some(due) = self.collect(&mut display.lock(), now) else { return };
        let begin = self.out.len();
        self.encode(&due, now);
        let bytes = (self.out.len() - begin) as u64;
        if bytes > 0 {
            self.asked = None;
            if let Some(me) = display.lock().viewers.get_mut(&self.id) {
                me.updates += 1;
                me.bytes += bytes;
            }
        }
    }

    /// Copies what it is owed; `None` when it asked for nothing.
    fn collect(&mut self, shown: &mut Shown, now: Instant) -> Option<Due> {
        let Shown { picture, cursor, pointer, cut, screens, viewers, .. } = shown;
        let debt = &mut viewers.get_mut(&self.id)?.debt;
        if std::mem::take(&mut debt.bell) {
            bell(&mut self.out);
        }
        if std::mem::take(&mut debt.cut)
            && let Some(text) = cut
        {
            cut_text(&self.clipboard.offer(text), &mut self.out);
        }
        let asked = self.pushed.or(self.asked)?;
        let mut due = Due::default();
        self.collect_size(debt, picture, screens, &mut due);
        // A new size has to be the last of its update: pixels come with the next.
        if due.size.is_some() || due.extended_keys {
            return Some(due);
        }
        let known = Rect::new(0, 0, self.size.0, self.size.1);
        let draw = self.collect_cursor(debt, cursor.as_ref(), *pointer, known, &mut due);
        let piece = |rect: Rect| {
            let at = (rect.x, rect.y);
            let mut picture = picture.crop(rect);
            if let Some((cursor, pointer)) = draw {
                cursor.draw(pointer, &mut picture, at);
            }
            Piece { at, picture }
        };
        due.pieces = debt.damage.take(asked.intersect(&known)).into_iter().map(piece).collect();
        let most = if due.pieces.is_empty() { EXACT } else { EXACT_BESIDE };
        for rect in self.lossy.take(most, now) {
            let rect = rect.intersect(&known);
            if asked.contains(&rect) {
                due.exact.push(piece(rect));
            } else {
                self.lossy.lossy(rect, now);
            }
        }
        Some(due)
    }

    fn collect_size(&mut self, debt: &mut Debt, picture: &Framebuffer, screens: &[Screen], due: &mut Due) {
        if !std::mem::take(&mut debt.size) {
            return;
        }
        let size = (picture.width(), picture.height());
        let before = std::mem::replace(&mut self.under, size);
        let why = debt.resize.take().unwrap_or_default();
        if self.wants.has(pseudo::EXTENDED_DESKTOP_SIZE) {
            let one = [Screen { id: 0, rect: picture.bounds(), flags: 0 }];
            let screens = if screens.is_empty() { &one[..] } else { screens };
            due.size = Some(Size::Extended(why, screens.to_vec()));
            if why.1 == 0 {
                self.size = size;
            } else {
                // A refusal says that nothing has changed: what did is another word.
                debt.size = size != self.size;
            }
        } else if self.wants.has(pseudo::DESKTOP_SIZE) {
            if size != self.size {
                due.size = Some(Size::Plain);
                self.size = size;
            }
        } else if size != before {
            debt.damage.add(Rect::new(0, 0, self.size.0, self.size.1));
        }
        if self.wants.has(pseudo::QEMU_EXTENDED_KEY) {
            due.extended_keys = !std::mem::replace(&mut self.offered.extended_keys, true);
        }
    }

    /// What is to be drawn into its picture, and where it points.
    fn collect_cursor<'a>(
        &mut self,
        debt: &mut Debt,
        cursor: Option<&'a Cursor>,
        pointer: Option<(u16, u16)>,
        known: Rect,
        due: &mut Due,
    ) -> Option<(&'a Cursor, (u16, u16))> {
        let changed = std::mem::take(&mut debt.cursor);
        debt.pointer = false;
        let draw = if self.wants.has(pseudo::CURSOR) {
            // One that never had a cursor draws what it likes; later none means that the server draws it.
            if changed && (cursor.is_some() || self.offered.cursor) {
                self.offered.cursor = true;
                due.cursor = Some(cursor.cloned().unwrap_or_default());
            }
            None
        } else {
            cursor.zip(pointer)
        };
        let place = draw.map(|(cursor, pointer)| cursor.place(pointer, known));
        if changed || place != self.drawn {
            for rect in [self.drawn, place].into_iter().flatten() {
                debt.damage.add(rect);
            }
            self.drawn = place;
        }
        draw
    }

    fn encode(&mut self, due: &Due, now: Instant) {
        let mut update = Update::begin(&mut self.out);
        if due.extended_keys {
            update.mark(Rect::default(), pseudo::QEMU_EXTENDED_KEY);
        }
        match &due.size {
            Some(Size::Extended((reason, status), screens)) => {
                update.extended_desktop_size(*reason, *status, self.size, screens);
            }
            Some(Size::Plain) => update.desktop_size(self.size.0, self.size.1),
            None => {}
        }
        if let Some(cursor) = &due.cursor {
            update.cursor(&self.encoder, cursor);
        }
        let encoding = self.wants.best();
        let rect = |piece: &Piece| Rect { x: piece.at.0, y: piece.at.1, ..piece.picture.bounds() };
        for piece in &due.pieces {
            update.patch(&mut self.encoder, encoding, &piece.picture, piece.at);
            self.lossy.exact(rect(piece));
        }
        for rect in self.encoder.take_lossy() {
            self.lossy.lossy(rect, now);
        }
        self.encoder.set_quality(None);
        for piece in &due.exact {
            update.patch(&mut self.encoder, encoding, &piece.picture, piece.at);
            self.lossy.exact(rect(piece));
        }
        self.encoder.set_quality(self.wants.quality);
        update.end();
    }
}
