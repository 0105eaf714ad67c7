//! Display lists: what of them changes the shadow, for whenever they are called, and all of them, for a renderer that has
//! lost them.

use std::collections::BTreeMap;
use std::sync::Arc;

use vmgl_gl_stream::{Assembler, Command, Commands};

use super::attributes::{Slot, attribute};
use super::kept::{Form, Key, form_of};
use super::textures::ROOM;
use super::values::slot;
use super::{Group, State};

/// Lists call lists so deep at most.
const DEEPEST: u32 = 64;

/// Of which only the last in a list changes anything: current attributes, and what is kept as a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Last {
    Attribute(Slot),
    Kept(Key),
}

/// A list while it is recorded.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) name: u32,
    pub(super) executes: bool,
    /// What changes the shadow.
    bytes: Vec<u8>,
    last: BTreeMap<Last, Vec<u8>>,
    /// All of it; none if that cannot be kept.
    whole: Option<Vec<u8>>,
    /// The base of lists that holds at this place of it, if it says so itself.
    base: Option<u32>,
}

/// A list when it is complete.
pub(super) struct Recorded {
    pub(super) changes: Arc<[u8]>,
    pub(super) whole: Option<Arc<[u8]>>,
}

impl Recording {
    pub(super) fn new(name: u32, executes: bool) -> Self {
        Self { name, executes, bytes: Vec::new(), last: BTreeMap::new(), whole: Some(Vec::new()), base: None }
    }

    pub(super) fn record(&mut self, command: &Command<'_>, active: usize) {
        self.add(command);
        match *command {
            Command::ListBase { base } => self.base = Some(base),
            Command::PopAttrib => self.base = None,
            _ => {}
        }
        let form = form_of(command);
        let slot = attribute(command).map(|(slot, _)| Last::Attribute(slot));
        let kept = || form.filter(Form::is_free).map(|form| Last::Kept(form.key(active)));
        if let Some(last) = slot.or_else(kept) {
            let bytes = self.last.entry(last).or_default();
            bytes.clear();
            return command.encode(bytes);
        }
        let orders = matches!(
            command,
            Command::PushAttrib { .. }
                | Command::PopAttrib
                | Command::CallList { .. }
                | Command::CallLists { .. }
                | Command::ColorMaterial { .. }
                | Command::Disable { cap: 0x0b57 }
        );
        if orders {
            self.settle();
        }
        if orders || form.is_some() || changes(command) {
            command.encode(&mut self.bytes);
        }
    }

    /// A command that belongs to the list whatever it changes.
    pub(super) fn add(&mut self, command: &Command<'_>) {
        if let Some(whole) = &mut self.whole {
            command.encode(whole);
            if whole.len() > ROOM {
                self.whole = None;
            }
        }
    }

    /// What the list draws is known to the renderer only: it cannot be kept.
    pub(super) fn spoil(&mut self) {
        self.whole = None;
    }

    /// All that was recorded so far, if it could be kept.
    pub(super) fn so_far(&self) -> Option<&[u8]> {
        self.whole.as_deref()
    }

    fn settle(&mut self) {
        for (_, bytes) in std::mem::take(&mut self.last) {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    pub(super) fn finish(mut self) -> Recorded {
        self.settle();
        Recorded { changes: self.bytes.into(), whole: self.whole.map(Into::into) }
    }
}

/// Whether a command in a list may change what is kept here. Pictures and vertices do not.
fn changes(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::ActiveTexture { .. }
            | Command::AlphaFunc { .. }
            | Command::BindTexture { .. }
            | Command::TexImage1D { .. }
            | Command::TexImage2D { .. }
            | Command::TexImage3D { .. }
            | Command::TexSubImage1D { .. }
            | Command::TexSubImage2D { .. }
            | Command::TexSubImage3D { .. }
            | Command::TexParameterf { .. }
            | Command::TexParameterfv { .. }
            | Command::TexParameteri { .. }
            | Command::TexParameteriv { .. }
            | Command::CopyTexImage1D { .. }
            | Command::CopyTexImage2D { .. }
            | Command::CopyTexSubImage1D { .. }
            | Command::CopyTexSubImage2D { .. }
            | Command::CopyTexSubImage3D { .. }
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
    ) || super::steps::uniform(command).is_some()
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
    /// What is added to the names of lists that are called now; of those that a list calls, as far as the list says it.
    pub(crate) fn list_base(&self) -> u32 {
        let now = || super::get::whole(self.values.get(const { slot(0x0b32) })[0]);
        self.list.as_ref().and_then(|list| list.base).unwrap_or_else(now)
    }

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
