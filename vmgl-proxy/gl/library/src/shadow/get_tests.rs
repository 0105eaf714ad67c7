//! What is asked after commands were tracked.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use vmgl_gl_stream::{Caps, Command};

use super::super::{Group, State};
use super::narrow;
use crate::caps::Strings;

fn state() -> State {
    State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0)
}

fn integers(state: &mut State, name: u32) -> Vec<i32> {
    state.get(&Caps::default(), name).unwrap().integers().map(narrow).collect()
}

fn all(state: &mut State, group: &mut Group, commands: &[Command<'_>]) {
    commands.iter().for_each(|command| state.track(group, command));
}

#[test]
fn bindings_enables_and_functions_are_known_without_asking() {
    let (mut state, mut group) = (state(), Group::default());
    all(
        &mut state,
        &mut group,
        &[
            Command::ActiveTexture { texture: 0x84c2 },
            Command::BindTexture { target: 0x0de1, texture: 7 },
            Command::Enable { cap: 0x0b71 },
            Command::DepthFunc { func: 0x0203 },
            Command::BlendFunc { sfactor: 0x0302, dfactor: 0x0303 },
            Command::FrontFace { mode: 0x0900 },
            Command::StencilMask { mask: 0xff },
        ],
    );
    assert_eq!(integers(&mut state, 0x8069), [7]);
    assert_eq!(integers(&mut state, 0x84e0), [0x84c2]);
    assert_eq!(integers(&mut state, 0x0b71), [1]);
    assert_eq!(integers(&mut state, 0x0b74), [0x0203]);
    assert_eq!(integers(&mut state, 0x0be1), [0x0302]);
    assert_eq!(integers(&mut state, 0x0b46), [0x0900]);
    assert_eq!(integers(&mut state, 0x8ca5), [0xff]);
    assert_eq!(integers(&mut state, 0x0b93), [-1]);
    state.track(&mut group, &Command::ActiveTexture { texture: 0x84c0 });
    assert_eq!(integers(&mut state, 0x8069), [0]);
}

#[test]
fn matrices_follow_the_commands() {
    let (mut state, mut group) = (state(), Group::default());
    all(
        &mut state,
        &mut group,
        &[
            Command::MatrixMode { mode: 0x1700 },
            Command::LoadIdentity,
            Command::PushMatrix,
            Command::Translatef { x: 1.0, y: 2.0, z: 3.0 },
            Command::Scalef { x: 2.0, y: 2.0, z: 2.0 },
        ],
    );
    let matrix = state.get(&Caps::default(), 0x0ba6).unwrap().values;
    assert_eq!(matrix[12..15], [1.0, 2.0, 3.0]);
    assert_eq!(integers(&mut state, 0x0ba3), [2]);
    state.track(&mut group, &Command::PopMatrix);
    assert_eq!(state.get(&Caps::default(), 0x0ba6).unwrap().values[12..15], [0.0; 3]);
}

#[test]
fn a_list_changes_the_state_when_it_is_called_and_not_when_it_is_made() {
    let (mut state, mut group) = (state(), Group::default());
    all(
        &mut state,
        &mut group,
        &[
            Command::NewList { list: 3, mode: 0x1300 },
            Command::ShadeModel { mode: 0x1d00 },
            Command::Color3f { red: 1.0, green: 0.0, blue: 0.0 },
            Command::Color3f { red: 0.0, green: 1.0, blue: 0.0 },
            Command::EndList,
        ],
    );
    assert_eq!(integers(&mut state, 0x0b54), [0x1d01]);
    state.track(&mut group, &Command::CallList { list: 3 });
    assert_eq!(integers(&mut state, 0x0b54), [0x1d00]);
    assert_eq!(state.get(&Caps::default(), 0x0b00).unwrap().values, [0.0, 1.0, 0.0, 1.0]);
    // One that calls itself comes to an end.
    all(
        &mut state,
        &mut group,
        &[
            Command::NewList { list: 4, mode: 0x1301 },
            Command::CallList { list: 4 },
            Command::EndList,
            Command::CallList { list: 4 },
        ],
    );
}

#[test]
fn what_was_pushed_comes_back_by_its_groups() {
    let (mut state, mut group) = (state(), Group::default());
    all(
        &mut state,
        &mut group,
        &[
            Command::PushAttrib { mask: 0x2000 },
            Command::Enable { cap: 0x0b50 },
            Command::Enable { cap: 0x0de1 },
            Command::ShadeModel { mode: 0x1d00 },
            Command::PopAttrib,
        ],
    );
    assert_eq!(state.is_on(0x0b50), Some(false));
    assert_eq!(state.is_on(0x0de1), Some(false));
    assert_eq!(integers(&mut state, 0x0b54), [0x1d00]);
    state.track(&mut group, &Command::PopAttrib);
    assert_eq!(state.take_error(), 0x0504);
    assert_eq!(state.take_error(), 0);
}

#[test]
fn colours_convert_to_the_whole_range_of_integers() {
    let (mut state, mut group) = (state(), Group::default());
    state.track(&mut group, &Command::ClearColor { red: 1.0, green: 0.0, blue: -1.0, alpha: 1.0 });
    let got = integers(&mut state, 0x0c22);
    assert_eq!((got[0], got[3]), (i32::MAX, i32::MAX));
    assert!(got[1].abs() <= 1);
}

#[test]
fn what_is_deleted_is_bound_no_longer() {
    let (mut state, mut group) = (state(), Group::default());
    let name = 5_u32.to_le_bytes();
    all(
        &mut state,
        &mut group,
        &[
            Command::BindBuffer { target: 0x8892, buffer: 5 },
            Command::BindTexture { target: 0x0de1, texture: 5 },
            Command::BindFramebuffer { target: 0x8d40, framebuffer: 5 },
        ],
    );
    assert!(group.buffers.has(5) && group.textures.has(5) && state.framebuffer_names.has(5));
    all(
        &mut state,
        &mut group,
        &[
            Command::DeleteBuffers { n: 1, buffers: &name },
            Command::DeleteTextures { n: 1, textures: &name },
            Command::DeleteFramebuffers { n: 1, framebuffers: &name },
        ],
    );
    for binding in [0x8894, 0x8069, 0x8ca6, 0x8caa] {
        assert_eq!(integers(&mut state, binding), [0]);
    }
    assert!(!group.buffers.has(5) && !group.textures.has(5));
}
