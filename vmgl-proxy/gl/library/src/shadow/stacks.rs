//! `glPushAttrib` and `glPushClientAttrib`.

use std::sync::Arc;

use super::kept::Kept;
use super::values::{Values, group};
use super::{Attributes, PixelStore, State, Unit};
use crate::shadow::arrays::ArrayObject;

/// No renderer's stack is deeper.
const DEEPEST: usize = 64;

const STACK_OVERFLOW: u32 = 0x0503;
const STACK_UNDERFLOW: u32 = 0x0504;

#[derive(Debug)]
pub(super) struct Saved {
    pub(super) groups: u32,
    pub(super) values: Values,
    pub(super) units: Vec<Unit>,
    pub(super) active: usize,
    pub(super) attributes: Attributes,
    pub(super) kept: Arc<Kept>,
}

#[derive(Debug)]
pub(super) struct SavedClient {
    pub(super) groups: u32,
    pub(super) unpack: PixelStore,
    pub(super) pack: PixelStore,
    pub(super) arrays: ArrayObject,
    array_object: u32,
    array_buffer: u32,
    client_active: usize,
}

impl State {
    pub(super) fn push(&mut self, groups: u32) {
        if self.stack.len() >= DEEPEST {
            return self.error(STACK_OVERFLOW);
        }
        self.stack.push(Saved {
            groups,
            values: self.values.clone(),
            units: self.units.clone(),
            active: self.active,
            attributes: self.attributes.clone(),
            kept: Arc::clone(&self.kept),
        });
    }

    pub(super) fn pop(&mut self) {
        let Some(saved) = self.stack.pop() else { return self.error(STACK_UNDERFLOW) };
        self.values.restore(&saved.values, saved.groups);
        if !Arc::ptr_eq(&self.kept, &saved.kept) {
            Arc::make_mut(&mut self.kept).restore(&saved.kept, saved.groups);
        }
        for (unit, old) in self.units.iter_mut().zip(saved.units) {
            if saved.groups & (group::TEXTURE | group::ENABLE) != 0 {
                unit.enabled = old.enabled;
                unit.generated = old.generated;
            }
            if saved.groups & group::TEXTURE != 0 {
                unit.bound = old.bound;
            }
            if saved.groups & group::CURRENT != 0 {
                unit.coordinate = old.coordinate;
            }
        }
        if saved.groups & group::TEXTURE != 0 {
            self.active = saved.active;
        }
        if saved.groups & group::CURRENT != 0 {
            self.attributes = saved.attributes;
        }
    }

    pub(super) fn push_client(&mut self, groups: u32) {
        if self.client_stack.len() >= DEEPEST {
            return self.error(STACK_OVERFLOW);
        }
        let saved = SavedClient {
            groups,
            unpack: self.unpack,
            pack: self.pack,
            arrays: self.arrays().clone(),
            array_object: self.array_object,
            array_buffer: self.buffers[super::bindings::ARRAY],
            client_active: self.client_active,
        };
        self.client_stack.push(saved);
    }

    pub(super) fn pop_client(&mut self) {
        let Some(saved) = self.client_stack.pop() else { return self.error(STACK_UNDERFLOW) };
        if saved.groups & 1 != 0 {
            self.unpack = saved.unpack;
            self.pack = saved.pack;
        }
        if saved.groups & 2 != 0 {
            self.array_object = saved.array_object;
            self.client_active = saved.client_active;
            self.buffers[super::bindings::ARRAY] = saved.array_buffer;
            *self.arrays() = saved.arrays;
        }
    }

    /// How deep the two stacks are.
    pub(crate) fn depths(&self) -> (usize, usize) {
        (self.stack.len(), self.client_stack.len())
    }
}
