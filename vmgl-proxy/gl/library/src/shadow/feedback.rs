//! Transform feedback, and the modes of selection and feedback, as far as another renderer must be told of them.
//!
//! What a mode or a transform feedback has given so far is the renderer's alone: where one is going on it is begun anew, and
//! named as lost.

use std::collections::BTreeMap;

use vmgl_gl_stream::Command;

use super::restore::{Lost, Sink};
use super::{Group, State};

/// The target of its buffers, and that of its objects.
pub(super) const BUFFER: u32 = 0x8c8e;
const OBJECT: u32 = 0x8e22;
const SELECT: u32 = 0x1c02;
const FEEDBACK: u32 = 0x1c01;
/// No renderer's stack of names is deeper.
const DEEPEST: usize = 1024;

/// What a mode is in which nothing is drawn, and where the program wants its results: addresses, and how many numbers there is
/// room for.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The render mode; 0 at first, which is that of drawing.
    pub(crate) mode: u32,
    pub(crate) selection: (usize, usize),
    pub(crate) feedback: (usize, usize),
    /// What of a vertex is fed back.
    pub(crate) kind: u32,
    /// The stack of names of a selection.
    names: Vec<u32>,
}

impl Results {
    /// Another mode is entered.
    pub(crate) fn enter(&mut self, mode: u32) {
        self.mode = mode;
        self.names.clear();
    }
}

/// A transform feedback.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    /// By place the buffer, and the command that bound it.
    pub(super) bound: BTreeMap<u32, (u32, Vec<u8>)>,
    /// The primitive of one that is going on, and whether it pauses.
    going: Option<(u32, bool)>,
    /// It ended at least once: the renderer knows how much it wrote.
    has_length: bool,
}

impl State {
    /// The transform feedback that commands are about.
    pub(super) fn current_feedback(&mut self) -> &mut Feedback {
        self.feedbacks.entry(self.feedback).or_default()
    }

    pub(super) fn apply_feedback(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        match *command {
            Command::BindTransformFeedback { id, .. } => {
                self.feedback_names.take(id);
                self.feedback = id;
                self.current_feedback();
            }
            Command::DeleteTransformFeedbacks { ids, .. } => {
                for name in super::owned::names(ids).filter(|name| *name != 0) {
                    self.feedback_names.free(name);
                    self.feedbacks.remove(&name);
                    if name == self.feedback {
                        self.feedback = 0;
                    }
                }
            }
            Command::BeginTransformFeedback { primitive_mode } => {
                self.current_feedback().going = Some((primitive_mode, false));
            }
            Command::PauseTransformFeedback | Command::ResumeTransformFeedback => {
                let pauses = matches!(command, Command::PauseTransformFeedback);
                if let Some((_, paused)) = &mut self.current_feedback().going {
                    *paused = pauses;
                }
            }
            Command::EndTransformFeedback => {
                let generic = self.bound_buffer(BUFFER).unwrap_or(0);
                let it = self.current_feedback();
                it.has_length |= it.going.take().is_some();
                for buffer in it.bound.values().map(|(buffer, _)| *buffer).chain([generic]) {
                    if let Some(buffer) = group.stored.get_mut(&buffer) {
                        buffer.stale = true;
                    }
                }
            }
            Command::InitNames => self.results.names.clear(),
            // Where nothing is selected these do nothing.
            Command::PushName { name }
                if self.results.mode == SELECT && self.results.names.len() < DEEPEST =>
            {
                self.results.names.push(name);
            }
            Command::LoadName { name } if self.results.mode == SELECT => {
                if let Some(last) = self.results.names.last_mut() {
                    *last = name;
                }
            }
            Command::PopName if self.results.mode == SELECT => {
                self.results.names.pop();
            }
            _ => return false,
        }
        true
    }
}

/// Objects and their buffers; which one is the current one.
pub(super) fn bindings(state: &State, sink: &mut impl Sink, lost: &mut Lost) {
    let mut at = 0;
    for (&id, it) in &state.feedbacks {
        if std::mem::replace(&mut at, id) != id {
            sink.put(&Command::BindTransformFeedback { target: OBJECT, id });
        }
        it.bound.values().filter(|(buffer, _)| *buffer != 0).for_each(|(_, bytes)| sink.put_bytes(bytes));
        if it.has_length && id != 0 {
            lost.note("lengths of transform feedbacks", id);
        }
    }
    if at != state.feedback {
        sink.put(&Command::BindTransformFeedback { target: OBJECT, id: state.feedback });
    }
}

/// What is going on, where all that it needs is there.
pub(super) fn going(state: &State, sink: &mut impl Sink, lost: &mut Lost) {
    for (&id, it) in &state.feedbacks {
        let Some((primitive_mode, pauses)) = it.going else { continue };
        lost.note("what transform feedbacks that go on had written", id);
        // Another one than the current one pauses, and cannot be begun but with a program of its own.
        if id != state.feedback {
            continue;
        }
        sink.put(&Command::BeginTransformFeedback { primitive_mode });
        if pauses {
            sink.put(&Command::PauseTransformFeedback);
        }
    }
    let Results { mode, selection, feedback, kind, names } = &state.results;
    let size = |room: usize| i32::try_from(room).unwrap_or(i32::MAX);
    if selection.1 > 0 {
        sink.put(&Command::SelectBuffer { size: size(selection.1) });
    }
    if feedback.1 > 0 {
        sink.put(&Command::FeedbackBuffer { size: size(feedback.1), type_: *kind });
    }
    if matches!(*mode, SELECT | FEEDBACK) {
        let reply = sink.unheard();
        sink.put(&Command::RenderMode { reply, mode: *mode });
        lost.note("what a selection or feedback had given", 0);
    }
    if !names.is_empty() {
        sink.put(&Command::InitNames);
        names.iter().for_each(|&name| sink.put(&Command::PushName { name }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Assembler, Caps, Command, Commands, opcode_name};

    use super::{BUFFER, Group, Lost, OBJECT, SELECT, State, bindings, going};
    use crate::caps::Strings;

    fn begin() -> (State, Group) {
        (State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0), Group::default())
    }

    fn given(state: &State) -> (Vec<String>, String) {
        let (mut bytes, mut lost) = (Vec::<u8>::new(), Lost::default());
        bindings(state, &mut bytes, &mut lost);
        going(state, &mut bytes, &mut lost);
        let (mut assembler, mut commands, mut told) = (Assembler::new(), Commands::new(&bytes), Vec::new());
        while let Some(command) = assembler.next(&mut commands).unwrap() {
            let name = opcode_name(command.opcode()).trim_start_matches("gl");
            told.push(match command {
                Command::BindTransformFeedback { id, .. } => format!("{name} {id}"),
                Command::BindBufferBase { index, buffer, .. } => format!("{name} {index} {buffer}"),
                Command::PushName { name: it } => format!("{name} {it}"),
                _ => name.to_owned(),
            });
        }
        (told, lost.to_string())
    }

    #[test]
    fn objects_of_transform_feedback_have_their_own_buffers() {
        let (mut state, mut group) = begin();
        let bind = |index, buffer| Command::BindBufferBase { target: BUFFER, index, buffer };
        for command in [
            bind(1, 5),
            Command::BindTransformFeedback { target: OBJECT, id: 3 },
            bind(0, 6),
            bind(1, 7),
            Command::BeginTransformFeedback { primitive_mode: 4 },
            Command::PauseTransformFeedback,
            Command::BindTransformFeedback { target: OBJECT, id: 2 },
            Command::BindTransformFeedback { target: OBJECT, id: 3 },
            Command::DeleteBuffers { n: 1, buffers: &7_u32.to_le_bytes() },
            Command::DeleteTransformFeedbacks { n: 1, ids: &2_u32.to_le_bytes() },
        ] {
            state.track(&mut group, &command);
        }
        let (told, lost) = given(&state);
        let wanted = [
            "BindBufferBase 1 5",
            "BindTransformFeedback 3",
            "BindBufferBase 0 6",
            "BeginTransformFeedback",
            "PauseTransformFeedback",
        ];
        assert_eq!(told, wanted);
        assert_eq!(lost, "what transform feedbacks that go on had written of 1 (the first is 3)");
        state.track(&mut group, &Command::EndTransformFeedback);
        assert!(group.stored[&6].stale && !group.stored[&5].stale);
        assert_eq!(given(&state).1, "lengths of transform feedbacks of 1 (the first is 3)");
    }

    #[test]
    fn a_selection_that_goes_on_is_begun_anew_with_its_names() {
        let (mut state, mut group) = begin();
        state.results.selection = (0, 64);
        state.track(&mut group, &Command::PushName { name: 1 });
        assert_eq!(given(&state), (vec!["SelectBuffer".to_owned()], "nothing".to_owned()));
        state.results.enter(SELECT);
        for command in [
            Command::InitNames,
            Command::PushName { name: 1 },
            Command::PushName { name: 2 },
            Command::LoadName { name: 3 },
            Command::PushName { name: 4 },
            Command::PopName,
        ] {
            state.track(&mut group, &command);
        }
        let (told, lost) = given(&state);
        assert_eq!(told, ["SelectBuffer", "RenderMode", "InitNames", "PushName 1", "PushName 3"]);
        assert_eq!(lost, "what a selection or feedback had given of 1");
    }
}
