//! Contexts: made, destroyed, and made a thread's current one.

use std::ffi::c_void;

use vmgl_gl_stream::{Command, Control};

use super::abi::Display;
use super::config::Config;
use crate::caps::{NEWEST_ASKED, Strings};
use crate::core::{self, Context, Program};
use crate::shadow::{Group, State};

/// What a program asks of a context.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) flags: u32,
    pub(crate) core: bool,
    /// OpenGL ES, of which versions 1.1, 2.0 and 3.0 are there.
    pub(crate) es: bool,
}

/// A context behind the address that the program has of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle {
    pub(crate) context: u32,
    pub(crate) config: &'static Config,
}

impl Program {
    /// Makes a context; its address, null if it cannot be.
    pub(crate) fn create(
        &mut self,
        config: &'static Config,
        share: *mut c_void,
        wishes: Wishes,
    ) -> *mut c_void {
        let Wishes { major, minor, flags, core, es } = wishes;
        let is_there =
            if es { Strings::has_es(&self.caps, (major, minor)) } else { (major, minor) <= NEWEST_ASKED };
        if !is_there {
            return std::ptr::null_mut();
        }
        let shared = if share.is_null() { None } else { self.handles.get(&share.addr()).copied() };
        if shared.is_none() && !share.is_null() {
            return std::ptr::null_mut();
        }
        let share = shared.map_or(0, |handle| handle.context);
        let group = match self.contexts.get(&share) {
            Some(context) => context.group,
            None => {
                self.groups.push(Group::default());
                self.groups.len() - 1
            }
        };
        self.last_context += 1;
        let context = self.last_context;
        let strings =
            if es { Strings::es(&self.caps, major) } else { Strings::new(&self.caps, (major, minor)) };
        // A profile is a word of 3.2 and later.
        let state_api = if es { 2 } else { u32::from(core && strings.version >= (3, 2)) };
        // All of ES 1 is a part of the compatibility profile, and its numbers of 16.16 bits are made floats here.
        let (api, (major, minor)) = if es && major == 1 { (0, (1, 5)) } else { (state_api, strings.version) };
        let made = Control::CreateContext { context, share, api, major, minor, flags, config: config.bits() };
        self.wire.put(&Command::Control(made));
        let state = State::new(strings, state_api, flags);
        let it = Context {
            state,
            group,
            draw: 0,
            read: 0,
            doomed: false,
            users: 0,
            begun: false,
            is_used: false,
            made,
        };
        self.contexts.insert(context, it);
        // Only the address is used: it is this context's until it is destroyed.
        let address = Box::into_raw(Box::new(context)).cast::<c_void>();
        self.handles.insert(address.addr(), Handle { context, config });
        address
    }

    /// Destroys a context; one that is some thread's current one when it is no longer.
    pub(crate) fn destroy(&mut self, address: *mut c_void) {
        let Some(handle) = self.handles.remove(&address.addr()) else { return };
        // SAFETY: it was made by `create` from a box, and nobody has it any more.
        drop(unsafe { Box::from_raw(address.cast::<u32>()) });
        let context = handle.context;
        match self.contexts.get_mut(&context) {
            Some(it) if it.users > 0 => it.doomed = true,
            _ => self.end(context),
        }
    }

    fn end(&mut self, context: u32) {
        if let Some(mut it) = self.contexts.remove(&context) {
            it.state.query_results.give_up().into_iter().for_each(|reply| self.wire.link.disregard(reply));
        }
        self.unselect();
        self.wire.put(&Command::Control(Control::DestroyContext { context }));
        self.wire.flush();
    }

    fn release(&mut self, context: u32) {
        if let Some(it) = self.contexts.get_mut(&context) {
            it.users = it.users.saturating_sub(1);
            if it.doomed && it.users == 0 {
                self.end(context);
            }
        }
    }

    /// Makes a context the calling thread's, on these drawables; null is none.
    pub(crate) fn make_current(
        &mut self,
        display: *mut Display,
        draw: u64,
        read: u64,
        address: *mut c_void,
    ) -> bool {
        let before = core::current();
        self.wire.flush();
        if address.is_null() {
            core::set_current(0);
            self.release(before);
            return true;
        }
        let Some(&Handle { context, config }) = self.handles.get(&address.addr()) else { return false };
        self.display = display.expose_provenance();
        self.look();
        // A context of version 3 may be current without a drawable.
        let mut find = |xid| if xid == 0 { Some(0) } else { self.drawable(display, xid, config) };
        let (Some(drawable), Some(read)) = (find(draw), find(read)) else { return false };
        let on = self.drawables.get(&draw).map(|it| (it.size, it.double));
        let samples = if draw == 0 { 0 } else { config.samples };
        let Some(it) = self.contexts.get_mut(&context) else { return false };
        (it.draw, it.read, it.is_used) = (drawable, read, true);
        it.state.drawable = (drawable, on.is_some_and(|(_, double)| !double));
        it.state.samples = samples;
        if let Some((size, _)) = on
            && !std::mem::replace(&mut it.begun, true)
        {
            it.state.first_size(size.width, size.height);
        }
        if before != context {
            it.users += 1;
            self.release(before);
        }
        core::set_current(context);
        self.unselect();
        // The stream is told now: at its first time a context takes its size from the drawable.
        let _cx = self.at(context);
        true
    }
}
