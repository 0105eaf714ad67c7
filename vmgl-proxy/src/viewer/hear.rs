//! What a viewer says: what it changes here, and what is for the server.
//!
//! Nothing it says makes more wait for it than one answer beyond the bound on answers: it is read from again
//! when those were written.

use vmgl_rfb::{
    ClientMessage, ColourMap, Encoder, Fence, Preferences, Rect, colour_map, cut_text,
    end_of_continuous_updates, fence, pseudo,
};

use super::{Said, Viewer, ViewerError};
use crate::display::{Debt, Display, Shown};

impl Viewer {
    /// What a message changes here; what is for the server is given back.
    pub(super) fn hear(
        &mut self,
        message: ClientMessage,
        display: &Display,
    ) -> Result<Option<Said>, ViewerError> {
        match message {
            ClientMessage::SetPixelFormat(format) => {
                format.check()?;
                self.format = format;
                self.encoder.set_format(format);
                if !format.true_colour {
                    colour_map(&ColourMap::default(), &mut self.out);
                }
                self.owe(display, |debt| debt.cursor = true);
            }
            ClientMessage::SetEncodings(numbers) => self.prefer(&numbers, display),
            ClientMessage::UpdateRequest { incremental, rect } => {
                let whole = Rect::new(0, 0, self.size.0, self.size.1);
                let rect = rect.intersect(&whole);
                if !incremental {
                    // Who knows about screens is told of them each time, by the protocol.
                    self.owe(display, |debt| {
                        debt.damage.add(rect);
                        debt.size = true;
                    });
                }
                self.asked = Some(if self.asked.is_some() { whole } else { rect });
            }
            ClientMessage::ContinuousUpdates { enable, rect } => {
                if !enable && self.pushed.is_some() {
                    end_of_continuous_updates(&mut self.out);
                }
                self.pushed = enable.then_some(rect);
            }
            ClientMessage::Fence(request) if request.flags & Fence::REQUEST != 0 => {
                fence(&request.answer(), &mut self.out);
            }
            ClientMessage::Fence(_) | ClientMessage::Audio => {}
            ClientMessage::CutText(text) => {
                let heard = self.clipboard.hear(text);
                if let Some(answer) = heard.answer {
                    cut_text(&answer, &mut self.out);
                }
                if let Some(text) = heard.text.filter(|_| !self.view_only) {
                    display.lock().give(text);
                    return Ok(Some(Said::Clipboard));
                }
            }
            ClientMessage::SetDesktopSize { .. } if self.view_only => {
                display.lock().answer_resize(self.id, Shown::PROHIBITED);
            }
            _ if self.view_only => {}
            ClientMessage::Pointer { x, y, .. } => {
                display.lock().point(x, y);
                return Ok(Some(Said::Message(self.id, message)));
            }
            other => return Ok(Some(Said::Message(self.id, other))),
        }
        Ok(None)
    }

    fn prefer(&mut self, numbers: &[i32], display: &Display) {
        let before = std::mem::replace(&mut self.wants, Preferences::new(numbers));
        if before.compress != self.wants.compress && before.encodings.is_empty() {
            self.encoder = Encoder::new(self.format, self.wants.compress);
        }
        self.encoder.set_quality(self.wants.quality);
        let all = [pseudo::CONTINUOUS_UPDATES, pseudo::FENCE];
        let [pushes, fences] = all.map(|number| self.wants.has(number));
        if pushes && !std::mem::replace(&mut self.offered.pushes, pushes) {
            end_of_continuous_updates(&mut self.out);
        }
        if fences && !std::mem::replace(&mut self.offered.fences, fences) {
            fence(&Fence { flags: Fence::REQUEST, payload: Vec::new() }, &mut self.out);
        }
        let extended = self.wants.has(pseudo::EXTENDED_CLIPBOARD);
        let caps = if extended { self.clipboard.extend() } else { None };
        if let Some(caps) = &caps {
            cut_text(caps, &mut self.out);
        }
        let draws = self.wants.has(pseudo::CURSOR);
        if let Some(viewer) = display.lock().viewers.get_mut(&self.id) {
            viewer.draws = draws;
            viewer.debt.cursor = true;
            viewer.debt.size = true;
            viewer.debt.cut |= caps.is_some();
        }
    }

    fn owe(&self, display: &Display, what: impl FnOnce(&mut Debt)) {
        if let Some(viewer) = display.lock().viewers.get_mut(&self.id) {
            what(&mut viewer.debt);
        }
    }
}
