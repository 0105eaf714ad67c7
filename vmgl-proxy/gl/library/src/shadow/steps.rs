//! What commands change of programs, as far as it is needed to make them anew, and what belongs to lists beside what is
//! recorded of itself.

use vmgl_gl_stream::Command;

use super::lists::Recording;
use super::textures::ROOM;
use super::{Group, State};

/// Location and count of a command that sets uniforms.
pub(crate) fn uniform(command: &Command<'_>) -> Option<(i32, i32)> {
    use Command as C;
    Some(match *command {
        C::Uniform1f { location, .. }
        | C::Uniform2f { location, .. }
        | C::Uniform3f { location, .. }
        | C::Uniform4f { location, .. }
        | C::Uniform1i { location, .. }
        | C::Uniform2i { location, .. }
        | C::Uniform3i { location, .. }
        | C::Uniform4i { location, .. }
        | C::Uniform1ui { location, .. }
        | C::Uniform2ui { location, .. }
        | C::Uniform3ui { location, .. }
        | C::Uniform4ui { location, .. } => (location, 1),
        C::Uniform1fv { location, count, .. }
        | C::Uniform2fv { location, count, .. }
        | C::Uniform3fv { location, count, .. }
        | C::Uniform4fv { location, count, .. }
        | C::Uniform1iv { location, count, .. }
        | C::Uniform2iv { location, count, .. }
        | C::Uniform3iv { location, count, .. }
        | C::Uniform4iv { location, count, .. }
        | C::Uniform1uiv { location, count, .. }
        | C::Uniform2uiv { location, count, .. }
        | C::Uniform3uiv { location, count, .. }
        | C::Uniform4uiv { location, count, .. }
        | C::UniformMatrix2fv { location, count, .. }
        | C::UniformMatrix3fv { location, count, .. }
        | C::UniformMatrix4fv { location, count, .. }
        | C::UniformMatrix2x3fv { location, count, .. }
        | C::UniformMatrix2x4fv { location, count, .. }
        | C::UniformMatrix3x2fv { location, count, .. }
        | C::UniformMatrix3x4fv { location, count, .. }
        | C::UniformMatrix4x2fv { location, count, .. }
        | C::UniformMatrix4x3fv { location, count, .. } => (location, count),
        _ => return None,
    })
}

/// A command that sets uniforms, for another location: the location is its first field.
pub(crate) fn moved(command: &[u8], location: i32) -> Vec<u8> {
    let mut bytes = command.to_vec();
    if let Some(place) = bytes.get_mut(4..8) {
        place.copy_from_slice(&location.to_le_bytes());
    }
    bytes
}

impl State {
    /// Sources, bindings and values of programs.
    pub(super) fn apply_programs(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        if let Some(place) = uniform(command) {
            if place.0 >= 0
                && let Some(program) = group.program(self.program)
            {
                program.uniforms.set(place, command);
            }
            return true;
        }
        match *command {
            Command::LinkProgram { program } => link(group, program),
            Command::BindAttribLocation { program, name, .. } => bind(group, program, (b'a', name), command),
            Command::BindFragDataLocation { program, name, .. }
            | Command::BindFragDataLocationIndexed { program, name, .. } => {
                bind(group, program, (b'f', name), command);
            }
            Command::TransformFeedbackVaryings { program, .. } => bind(group, program, (b'v', b""), command),
            Command::SamplerParameterf { sampler, pname, .. }
            | Command::SamplerParameteri { sampler, pname, .. }
            | Command::SamplerParameterfv { sampler, pname, .. }
            | Command::SamplerParameteriv { sampler, pname, .. }
            | Command::SamplerParameterIiv { sampler, pname, .. }
            | Command::SamplerParameterIuiv { sampler, pname, .. } => {
                let bytes = group.sampler_parameters.entry((sampler, pname)).or_default();
                bytes.clear();
                command.encode(bytes);
            }
            _ => return false,
        }
        true
    }

    /// Arrays go ahead of a drawing that is recorded: they belong to the list.
    pub(crate) fn note_array(&mut self, command: &Command<'_>) {
        if let Some(list) = &mut self.list {
            list.add(command);
        }
    }

    /// A drawing is about to be recorded.
    pub(crate) fn note_drawing(&mut self) {
        if self.list.is_some() {
            self.switch_arrays(true);
        }
    }

    /// What a drawing takes out of buffers is not known here.
    pub(crate) fn spoil_list(&mut self) {
        if let Some(list) = &mut self.list {
            list.spoil();
        }
    }

    /// It was recorded: what is recorded next finds no array on.
    pub(crate) fn note_drawn(&mut self) {
        if self.list.is_some() {
            self.switch_arrays(false);
        }
    }

    fn switch_arrays(&mut self, on: bool) {
        let (arrays, active) = (self.arrays().clone(), self.client_active);
        let Some(list) = &mut self.list else { return };
        // Where the list is made anew the first unit is the active one.
        let select = |active: usize| Command::ClientActiveTexture {
            texture: 0x84c0 + u32::try_from(active).unwrap_or(0),
        };
        if on && active != 0 {
            list.add(&select(active));
        }
        super::restore::arrays_on(&arrays, active, on, &mut |command| list.add(command));
        if !on && active != 0 {
            list.add(&select(0));
        }
    }
}

/// A program consists from now on of what its shaders are now.
fn link(group: &mut Group, name: u32) {
    let Some(shaders) = group.program(name).map(|program| program.shaders.clone()) else { return };
    let made_of = shaders
        .into_iter()
        .filter_map(|shader| group.shader(shader).map(|it| (it.kind, it.source.clone())))
        .collect();
    if let Some(program) = group.program(name) {
        program.made_of = Some(made_of);
        program.uniforms = super::Uniforms::default();
        program.moved = None;
    }
}

fn bind(group: &mut Group, program: u32, (kind, name): (u8, &[u8]), command: &Command<'_>) {
    let Some(program) = group.program(program) else { return };
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    program.bound.insert([&[kind], name].concat(), bytes);
}

impl Group {
    /// A list is complete.
    pub(super) fn keep_list(&mut self, list: Recording) {
        let name = list.name;
        self.drop_list(name);
        let list = list.finish();
        self.recorded.insert(name, list.changes);
        let whole = list.whole.filter(|whole| self.kept_bytes + whole.len() <= ROOM);
        self.kept_bytes += whole.as_ref().map_or(0, |whole| whole.len());
        self.kept_lists.insert(name, whole);
    }

    /// A list ends.
    pub(super) fn drop_list(&mut self, name: u32) {
        if let Some(Some(gone)) = self.kept_lists.remove(&name) {
            self.kept_bytes -= gone.len();
        }
    }
}
