//! A renderer that knows nothing of the program is given all of it: contexts in the order in which they were made, each with those
//! whose objects it shares; drawables; objects; states. Then the program goes on, and its next picture is whole.
//!
//! What only the lost renderer had is named in a line, and windows are told to be drawn anew, for programs that draw only
//! when they are told.
//!
//! Invariant: the process's state is locked from the first command to the last, so nothing of the program's comes between.
//! Fault model: the renderer may be lost again at any moment; then the next stream is rebuilt from its beginning.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use vmgl_gl_stream::{Command, Control, Reflection};

use crate::core::{Program, Wire};
use crate::link::{Link, log};
use crate::shadow::restore::{Lost, Sink, context, objects, uniforms};

impl Sink for Wire {
    fn put(&mut self, command: &Command<'_>) {
        Wire::put(self, command);
    }

    fn put_bytes(&mut self, commands: &[u8]) {
        Wire::put_bytes(self, commands);
    }

    fn reply(&mut self) -> u32 {
        Wire::reply(self)
    }

    fn unheard(&mut self) -> u32 {
        let reply = Wire::reply(self);
        self.link.disregard(reply);
        reply
    }
}

impl Program {
    /// Fills the link's new stream. False if that one is of no use any more.
    pub(crate) fn restore(&mut self, link: &Link, generation: u64) -> bool {
        let (began, before) = (Instant::now(), link.sent_bytes());
        let mut lost = Lost::default();
        self.lost_of_pixmaps(&mut lost);
        self.wire.begin_anew();
        for it in self.contexts.values_mut() {
            // What came before the renderer was lost, too.
            for reply in it.state.query_results.give_up() {
                drop(link.answered(reply));
            }
        }
        self.wire.put(&Command::Control(Control::Restore { begin: 1 }));
        let drawables = self.restore_drawables();
        self.restore_pixmaps(&mut lost);
        if !self.restore_contexts(&drawables, &mut lost) {
            return false;
        }
        self.wire.put(&Command::Control(Control::Restore { begin: 0 }));
        let serial = self.wire.reply();
        self.wire.put(&Command::Control(Control::Ping { serial }));
        self.wire.flush();
        if !link.pong(serial) || !link.restored(generation) {
            return false;
        }
        let (seconds, bytes) = (began.elapsed().as_secs_f64(), link.sent_bytes() - before);
        log(format_args!("another renderer: restored in {seconds:.2} s with {bytes} bytes, lost: {lost}"));
        self.redraw();
        true
    }

    /// The ids of those that are there.
    fn restore_drawables(&mut self) -> HashSet<u32> {
        let mut made: Vec<_> = self.drawables.iter().map(|(xid, it)| it.made(*xid)).collect();
        made.sort_unstable_by_key(|(id, _)| *id);
        for (_, control) in &made {
            self.wire.put(&Command::Control(*control));
        }
        made.into_iter().map(|(id, _)| id).collect()
    }

    fn restore_contexts(&mut self, drawables: &HashSet<u32>, lost: &mut Lost) -> bool {
        let mut ids: Vec<u32> = self.contexts.keys().copied().collect();
        ids.sort_unstable();
        let mut first_of = BTreeMap::new();
        for id in &ids {
            let Some(it) = self.contexts.get(id) else { continue };
            let first = *first_of.entry(it.group).or_insert(*id);
            if let Control::CreateContext { context, api, major, minor, flags, config, .. } = it.made {
                let share = if first == *id { 0 } else { first };
                let made = Control::CreateContext { context, share, api, major, minor, flags, config };
                self.wire.put(&Command::Control(made));
            }
        }
        let mut drawn: BTreeMap<usize, HashSet<(u32, i32)>> = BTreeMap::new();
        for it in self.contexts.values() {
            drawn.entry(it.group).or_default().extend(it.state.attached());
        }
        let (mut done, mut with_lists) = (HashSet::new(), HashSet::new());
        let mut begun = None;
        for id in ids {
            let Some(it) = self.contexts.get(&id).filter(|it| it.is_used) else { continue };
            let group = it.group;
            let there = |drawable: u32| if drawables.contains(&drawable) { drawable } else { 0 };
            let control = Control::MakeCurrent { context: id, draw: there(it.draw), read: there(it.read) };
            self.wire.put(&Command::Control(control));
            if done.insert(group) && !self.restore_group(group, drawn.get(&group), lost) {
                return false;
            }
            let Some(it) = self.contexts.get(&id) else { continue };
            // Lists are of the compatibility profile.
            if it.state.api == 0
                && with_lists.insert(group)
                && let Some(group) = self.groups.get(group)
            {
                crate::shadow::restore::lists(group, &mut self.wire, lost);
            }
            context(&it.state, &mut self.wire, lost);
            begun = it.state.begun().map(|mode| (control, mode)).or(begun);
        }
        if let Some((control, mode)) = begun {
            self.wire.put(&Command::Control(control));
            self.wire.put(&Command::Begin { mode });
        }
        true
    }

    /// Objects, and then what depends on the renderer's answer about programs.
    fn restore_group(&mut self, at: usize, drawn: Option<&HashSet<(u32, i32)>>, lost: &mut Lost) -> bool {
        let Self { wire, groups, .. } = self;
        let Some(group) = groups.get_mut(at) else { return true };
        let none = HashSet::new();
        let asked = objects(group, drawn.unwrap_or(&none), wire, lost);
        let mut any_moved = false;
        for (program, reply) in asked {
            let opcode = Control::Reflect { program, reply }.opcode();
            let Some(answer) = wire.wait(reply, opcode) else { return false };
            let known = Reflection::decode(&answer.data).ok();
            if let Some(it) = group.program(program) {
                any_moved |= uniforms(program, it, known.as_ref(), wire);
            }
        }
        group.any_moved = any_moved;
        group.leave_home();
        wire.put(&Command::UseProgram { program: 0 });
        true
    }

    /// Windows are to be drawn anew.
    fn redraw(&self) {
        for window in self.drawables.iter().filter(|(_, it)| it.is_window()).map(|(xid, _)| *xid) {
            self.servers.values().for_each(|server| server.expose(window));
        }
    }
}
