//! Display lists, as far as they change the shadow.

use std::collections::BTreeMap;
use std::sync::Arc;

use vmgl_gl_stream::{Assembler, Command, Commands};

use super::attributes::{Slot, attribute};
use super::{Group, State};

/// Lists call lists so deep at most.
const DEEPEST: u32 = 64;

/// A list while it is recorded.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) name: u32,
    pub(super) executes: bool,
    bytes: Vec<u8>,
    /// Current attributes: only the last value of each changes anything.
    last: BTreeMap<Slot, Vec<u8>>,
}

impl Recording {
    pub(super) fn new(name: u32, executes: bool) -> Self {
        Self { name, executes, bytes: Vec::new(), last: BTreeMap::new() }
    }

    pub(super) fn record(&mut self, command: &Command<'_>) {
        if let Some((slot, _)) = attribute(command) {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            self.last.insert(slot, bytes);
            return;
        }
        let orders = matches!(
            command,
            Command::PushAttrib { .. }
                | Command::PopAttrib
                | Command::CallList { .. }
                | Command::CallLists { .. }
        );
        if orders {
            self.settle();
        }
        if orders || changes(command) {
            command.encode(&mut self.bytes);
        }
    }

    fn settle(&mut self) {
        for (_, bytes) in std::mem::take(&mut self.last) {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    pub(super) fn finish(mut self) -> Arc<[u8]> {
        self.settle();
        self.bytes.into()
    }
}

/// Whether a command in a list may change what is kept here. Pictures and vertices do not.
fn changes(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::ActiveTexture { .. }
            | Command::AlphaFunc { .. }
            | Command::BindTexture { .. }
            | Command::BindSampler { .. }
            | Command::BlendColor { .. }
            | Command::BlendEquation { .. }
            | Command::BlendEquationSeparate { .. }
            | Command::BlendFunc { .. }
            | Command::BlendFuncSeparate { .. }
            | Command::ClearColor { .. }
            | Command::ClearDepth { .. }
            | Command::ClearStencil { .. }
            | Command::ColorMask { .. }
            | Command::ColorMaterial { .. }
            | Command::CullFace { .. }
            | Command::DepthFunc { .. }
            | Command::DepthMask { .. }
            | Command::DepthRange { .. }
            | Command::Disable { .. }
            | Command::Enable { .. }
            | Command::Fogf { .. }
            | Command::Fogfv { .. }
            | Command::Fogi { .. }
            | Command::Fogiv { .. }
            | Command::FrontFace { .. }
            | Command::Frustum { .. }
            | Command::Hint { .. }
            | Command::LightModelf { .. }
            | Command::LightModelfv { .. }
            | Command::LightModeli { .. }
            | Command::LightModeliv { .. }
            | Command::LineStipple { .. }
            | Command::LineWidth { .. }
            | Command::ListBase { .. }
            | Command::LoadIdentity
            | Command::LoadMatrixd { .. }
            | Command::LoadMatrixf { .. }
            | Command::LoadTransposeMatrixd { .. }
            | Command::LoadTransposeMatrixf { .. }
            | Command::LogicOp { .. }
            | Command::MatrixMode { .. }
            | Command::MultMatrixd { .. }
            | Command::MultMatrixf { .. }
            | Command::MultTransposeMatrixd { .. }
            | Command::MultTransposeMatrixf { .. }
            | Command::Ortho { .. }
            | Command::PointSize { .. }
            | Command::PolygonMode { .. }
            | Command::PolygonOffset { .. }
            | Command::PopMatrix
            | Command::PushMatrix
            | Command::Rotated { .. }
            | Command::Rotatef { .. }
            | Command::Scaled { .. }
            | Command::Scalef { .. }
            | Command::Scissor { .. }
            | Command::ShadeModel { .. }
            | Command::StencilFunc { .. }
            | Command::StencilFuncSeparate { .. }
            | Command::StencilMask { .. }
            | Command::StencilMaskSeparate { .. }
            | Command::StencilOp { .. }
            | Command::StencilOpSeparate { .. }
            | Command::Translated { .. }
            | Command::Translatef { .. }
            | Command::UseProgram { .. }
            | Command::Viewport { .. }
    )
}

/// Whether a command is executed at once while a list is recorded, and is not in the list.
pub(super) fn at_once(command: &Command<'_>) -> bool {
    use Command as C;
    matches!(
        command,
        C::Control(_)
            | C::EndList
            | C::NewList { .. }
            | C::DeleteLists { .. }
            | C::GenLists { .. }
            | C::BindBuffer { .. }
            | C::BindBufferBase { .. }
            | C::BindBufferRange { .. }
            | C::BindFramebuffer { .. }
            | C::BindRenderbuffer { .. }
            | C::BindVertexArray { .. }
            | C::BufferData { .. }
            | C::BufferSubData { .. }
            | C::CopyBufferSubData { .. }
            | C::ClientActiveTexture { .. }
            | C::EnableClientState { .. }
            | C::DisableClientState { .. }
            | C::EnableVertexAttribArray { .. }
            | C::DisableVertexAttribArray { .. }
            | C::PushClientAttrib { .. }
            | C::PopClientAttrib
            | C::PixelStoref { .. }
            | C::PixelStorei { .. }
            | C::VertexAttribDivisor { .. }
            | C::AttachShader { .. }
            | C::DetachShader { .. }
            | C::BindAttribLocation { .. }
            | C::CompileShader { .. }
            | C::LinkProgram { .. }
            | C::CreateProgram { .. }
            | C::CreateShader { .. }
            | C::DeleteProgram { .. }
            | C::DeleteShader { .. }
            | C::ShaderSource { .. }
            | C::ValidateProgram { .. }
            | C::UniformBlockBinding { .. }
            | C::GenBuffers { .. }
            | C::GenFramebuffers { .. }
            | C::GenQueries { .. }
            | C::GenRenderbuffers { .. }
            | C::GenSamplers { .. }
            | C::GenTextures { .. }
            | C::GenVertexArrays { .. }
            | C::DeleteBuffers { .. }
            | C::DeleteFramebuffers { .. }
            | C::DeleteQueries { .. }
            | C::DeleteRenderbuffers { .. }
            | C::DeleteSamplers { .. }
            | C::DeleteTextures { .. }
            | C::DeleteVertexArrays { .. }
            | C::FramebufferRenderbuffer { .. }
            | C::FramebufferTexture { .. }
            | C::FramebufferTexture1D { .. }
            | C::FramebufferTexture2D { .. }
            | C::FramebufferTexture3D { .. }
            | C::FramebufferTextureLayer { .. }
            | C::RenderbufferStorage { .. }
            | C::RenderbufferStorageMultisample { .. }
            | C::GenerateMipmap { .. }
            | C::BlitFramebuffer { .. }
            | C::FenceSync { .. }
            | C::DeleteSync { .. }
    )
}

impl State {
    /// A list was called: what it changes here.
    pub(super) fn call_list(&mut self, group: &mut Group, name: u32) {
        if self.nested >= DEEPEST {
            return;
        }
        let Some(bytes) = group.recorded.get(&name).cloned() else { return };
        self.nested += 1;
        let (mut assembler, mut commands) = (Assembler::new(), Commands::new(&bytes));
        while let Ok(Some(command)) = assembler.next(&mut commands) {
            self.apply(group, &command);
        }
        self.nested -= 1;
    }
}
