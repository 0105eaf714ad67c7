//! The window tree of an X server as its events tell it, and what is seen of each window with OpenGL pictures. Pure.
//!
//! A window is seen where it lies inside all its ancestors and their shapes (what they are, and what they leave to drawings), and where neither its own children nor
//! windows that stand above it or above one of its ancestors cover it. Input-only windows cover nothing, and so does the X
//! server's own window that a compositing manager paints on: what it shows there is the windows below.
//!
//! A window's place, size, stacking and whether it is mapped are followed by its parent's events alone, from the moment
//! at which the parent was learnt; what [`Tree::learnt`] is told of a window's children was asked while no other client
//! could do anything, so no event is older than what it is applied to.
//!
//! Invariant: it names only windows that exist, each below one parent, and has at most [`MOST`].
//! Invariant: what is said to be seen is never more than is seen, as far as events have come.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;
use vmgl_rfb::Rect;

use super::area::{Area, Piece};
use super::seen::{Seen, WINDOWS};

/// Most windows that are followed.
pub const MOST: usize = 1 << 16;
/// Most rectangles of a shape that is followed; one with more covers all of its window, and nothing is seen through it.
const SHAPE: usize = 1024;

/// A window's place at its parent, as X tells it: the outer corner of its border, and its size without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Left edge of the border.
    pub x: i16,
    /// Upper edge of the border.
    pub y: i16,
    /// Width without the border.
    pub width: u16,
    /// Height without the border.
    pub height: u16,
    /// Width of the border.
    pub border: u16,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A window was made, on top of its siblings, not mapped.
    Created {
        /// Which.
        window: u32,
        /// Below which.
        parent: u32,
        /// Where.
        place: Place,
    },
    /// It is gone, with all below it.
    Destroyed(u32),
    /// It is mapped or not.
    Mapped(u32, bool),
    /// It has this place, right above that sibling (0: below all).
    Configured(u32, Place, u32),
    /// It has another parent, and is on top there.
    Reparented {
        /// Which.
        window: u32,
        /// Below which.
        parent: u32,
        /// Where at it.
        x: i16,
        /// See `x`.
        y: i16,
    },
    /// It went on top of its siblings, or below all.
    Circulated(u32, bool),
}

/// A child, as it was found when its parent was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Which.
    pub window: u32,
    /// Where.
    pub place: Place,
    /// Whether it is mapped.
    pub mapped: bool,
}

/// Too many windows.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the X server has more than {MOST} windows")]
pub struct TooMany;

#[derive(Debug, Default)]
struct Node {
    parent: u32,
    place: Place,
    mapped: bool,
    /// Covers nothing and shows nothing.
    input_only: bool,
    /// Relative to the inner corner; `None` is the whole window with its border.
    shape: Option<Vec<Piece>>,
    /// Of its inside, where it and what is below it may draw, in the same coordinates; `None` is all of it.
    clip: Option<Vec<Piece>>,
    /// Whose pictures it shows.
    program: Option<u64>,
    /// Bottom first.
    children: Vec<u32>,
}

impl Node {
    /// Its inside, from its own inner corner.
    fn inside(&self) -> Piece {
        Piece::new(0, 0, self.place.width.into(), self.place.height.into())
    }

    /// Its inner corner at its parent.
    fn corner(&self) -> (i32, i32) {
        let border = i32::from(self.place.border);
        (i32::from(self.place.x) + border, i32::from(self.place.y) + border)
    }

    /// What it covers at its parent.
    fn cover(&self) -> Vec<Piece> {
        let (x, y) = self.corner();
        let border = i32::from(self.place.border);
        let (width, height) = (i32::from(self.place.width), i32::from(self.place.height));
        let whole = Piece::new(x - border, y - border, width + 2 * border, height + 2 * border);
        match &self.shape {
            Some(pieces) if pieces.len() <= SHAPE => {
                pieces.iter().map(|piece| piece.moved(x, y).intersect(&whole)).collect()
            }
            _ => vec![whole],
        }
    }
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    root: u32,
    nodes: HashMap<u32, Node>,
    /// Those with a program, so that nothing is searched for.
    shown: BTreeMap<u32, u64>,
    cut: bool,
}

impl Tree {
    /// A tree of its root alone.
    #[must_use]
    pub fn new(root: u32, width: u16, height: u16) -> Self {
        let place = Place { width, height, ..Place::default() };
        let node = Node { place, mapped: true, ..Node::default() };
        Self { root, nodes: HashMap::from([(root, node)]), shown: BTreeMap::new(), cut: false }
    }

    /// Applies an event; the window that has to be learnt because of it, if there is one.
    ///
    /// # Errors
    /// When there are too many windows.
    pub fn event(&mut self, event: Event) -> Result<Option<u32>, TooMany> {
        match event {
            Event::Created { window, parent, place } => {
                return Ok(self.add(Child { window, place, mapped: false }, parent)?.then_some(window));
            }
            Event::Destroyed(window) => self.remove(window),
            Event::Mapped(window, mapped) => {
                if let Some(node) = self.nodes.get_mut(&window).filter(|_| window != self.root) {
                    node.mapped = mapped;
                }
            }
            Event::Configured(window, place, above) => {
                if let Some(node) = self.nodes.get_mut(&window) {
                    node.place = place;
                    self.restack(window, |siblings| {
                        siblings.iter().position(|sibling| *sibling == above).map_or(0, |at| at + 1)
                    });
                }
            }
            Event::Reparented { window, parent, x, y } => self.reparent(window, parent, x, y),
            Event::Circulated(window, top) => {
                self.restack(window, |siblings| if top { siblings.len() } else { 0 });
            }
        }
        Ok(None)
    }

    /// A window was moved by its parent's new size, in the same order.
    pub fn moved(&mut self, window: u32, x: i16, y: i16) {
        if let Some(node) = self.nodes.get_mut(&window) {
            (node.place.x, node.place.y) = (x, y);
        }
    }

    /// A window was learnt: whether it covers nothing (it only takes input), and its children, bottom first. Those that have to be learnt.
    ///
    /// # Errors
    /// When there are too many windows.
    pub fn learnt(&mut self, window: u32, input_only: bool, children: &[Child]) -> Result<Vec<u32>, TooMany> {
        let Some(node) = self.nodes.get_mut(&window) else { return Ok(Vec::new()) };
        node.input_only = input_only;
        let mut new = Vec::new();
        for child in children {
            if self.add(*child, window)? {
                new.push(child.window);
            }
        }
        Ok(new)
    }

    /// A window's bounding shape, from its inner corner; `None` when it has none.
    pub fn shaped(&mut self, window: u32, shape: Option<Vec<Piece>>) {
        if let Some(node) = self.nodes.get_mut(&window) {
            node.shape = shape;
        }
    }

    /// Where a window may draw, from its inner corner; `None` when it may everywhere inside.
    pub fn clipped(&mut self, window: u32, clip: Option<Vec<Piece>>) {
        if let Some(node) = self.nodes.get_mut(&window) {
            node.clip = clip;
        }
    }

    /// Whose pictures a window shows.
    pub fn owned(&mut self, window: u32, program: Option<u64>) {
        let Some(node) = self.nodes.get_mut(&window) else { return };
        node.program = program;
        match program {
            Some(program) => self.shown.insert(window, program),
            None => self.shown.remove(&window),
        };
    }

    /// Whether a window had so many pieces that less is shown of it than is seen, since this was asked last.
    pub fn was_cut(&mut self) -> bool {
        std::mem::take(&mut self.cut)
    }

    /// Every window with pictures, and what is seen of it.
    pub fn seen(&mut self) -> Vec<Seen> {
        let shown: Vec<(u32, u64)> = self.shown.iter().take(WINDOWS).map(|(a, b)| (*a, *b)).collect();
        shown.into_iter().filter_map(|(window, program)| self.seen_of(window, program)).collect()
    }

    fn seen_of(&mut self, window: u32, program: u64) -> Option<Seen> {
        let mut node = self.nodes.get(&window)?;
        let mut area = Area::from(node.inside());
        for shape in [&node.shape, &node.clip].into_iter().flatten() {
            area.clip(shape);
        }
        self.uncover(&mut area, &node.children);
        let (mut at, mut seen, mut x, mut y) = (window, node.mapped, 0i32, 0i32);
        while at != self.root {
            let parent = self.nodes.get(&node.parent)?;
            let (left, top) = node.corner();
            area.shift(left, top);
            (x, y) = (x.saturating_add(left), y.saturating_add(top));
            let above = parent.children.iter().position(|sibling| *sibling == at).map_or(0, |n| n + 1);
            self.uncover(&mut area, parent.children.get(above..).unwrap_or_default());
            area.clip(&[parent.inside()]);
            for shape in [&parent.shape, &parent.clip].into_iter().flatten() {
                area.clip(shape);
            }
            seen &= parent.mapped;
            (at, node) = (node.parent, parent);
        }
        let short = |n: i32| i16::try_from(n).ok();
        let place = self.nodes.get(&window)?.place;
        let rects: Vec<Rect> =
            if seen { area.pieces().iter().filter_map(Piece::rect).collect() } else { Vec::new() };
        let cut = area.is_cut();
        let found = Seen {
            window,
            program,
            x: short(x)?,
            y: short(y)?,
            width: place.width,
            height: place.height,
            rects,
        };
        self.cut |= cut;
        Some(found)
    }

    fn uncover(&self, area: &mut Area, over: &[u32]) {
        let covers = over.iter().filter_map(|window| self.nodes.get(window));
        for node in covers.filter(|node| node.mapped && !node.input_only) {
            node.cover().iter().for_each(|piece| area.subtract(piece));
        }
    }

    fn add(&mut self, child: Child, parent: u32) -> Result<bool, TooMany> {
        if self.nodes.contains_key(&child.window) {
            return Ok(false);
        }
        if self.nodes.len() >= MOST {
            return Err(TooMany);
        }
        let Some(above) = self.nodes.get_mut(&parent) else { return Ok(false) };
        above.children.push(child.window);
        let node = Node { parent, place: child.place, mapped: child.mapped, ..Node::default() };
        self.nodes.insert(child.window, node);
        Ok(true)
    }

    fn remove(&mut self, window: u32) {
        if window == self.root {
            return;
        }
        self.leave(window);
        let mut gone = vec![window];
        while let Some(window) = gone.pop() {
            self.shown.remove(&window);
            gone.extend(self.nodes.remove(&window).into_iter().flat_map(|node| node.children));
        }
    }

    fn leave(&mut self, window: u32) {
        let parent = self.nodes.get(&window).map(|node| node.parent);
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.retain(|child| *child != window);
        }
    }

    fn reparent(&mut self, window: u32, parent: u32, x: i16, y: i16) {
        let known = self.nodes.get(&window).is_some_and(|node| node.parent != parent);
        if !known || window == self.root || !self.nodes.contains_key(&parent) || self.is_below(parent, window)
        {
            return;
        }
        self.leave(window);
        if let Some(node) = self.nodes.get_mut(&window) {
            node.parent = parent;
            (node.place.x, node.place.y) = (x, y);
        }
        if let Some(above) = self.nodes.get_mut(&parent) {
            above.children.push(window);
        }
    }

    /// Whether `window` is `other` or below it.
    fn is_below(&self, window: u32, other: u32) -> bool {
        let mut at = window;
        while at != other {
            match self.nodes.get(&at) {
                Some(node) if at != self.root => at = node.parent,
                _ => return false,
            }
        }
        true
    }

    fn restack(&mut self, window: u32, place: impl FnOnce(&[u32]) -> usize) {
        let Some(parent) = self.nodes.get(&window).filter(|_| window != self.root).map(|node| node.parent)
        else {
            return;
        };
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.retain(|child| *child != window);
            let at = place(&parent.children).min(parent.children.len());
            parent.children.insert(at, window);
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
