//! The clipboard towards one peer, a server or a viewer: extended where both sides know that, else cut text.
//!
//! What a peer says it has is asked for at once: so it is here when the peer goes away. What is here is
//! announced, and given when it is asked for. Peers without the extended form get and give cut text, which is
//! Latin-1: what that does not have becomes a question mark. (Many of them send UTF-8 all the same: what reads
//! as UTF-8 is that.)
//!
//! A peer whose text changes quickly is asked once for each change, and may answer all of them with the last text. Only the first such
//! answer is one: by the time of the others another clipboard may have a newer text.
//!
//! Of the servers' and the viewers' texts the newest lasts through a change of servers
//! ([`crate::display::Shown::given_newest`]): an agent has kept its own.
//!
//! Invariant: two texts of at most [`vmgl_rfb::limits::CUT_TEXT`] characters.

use std::sync::Arc;

use vmgl_rfb::{Clipboard as Message, CutText};

/// What there is towards one peer.
#[derive(Debug, Default)]
pub struct Clipboard {
    extended: bool,
    ours: Option<Arc<str>>,
    /// The last text that the peer gave.
    theirs: Option<Arc<str>>,
    /// Questions that it has not answered.
    asked: u32,
    /// It has said that it has a text since it gave the last one.
    has_news: bool,
}

/// What came of what the peer said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What to answer.
    pub answer: Option<CutText>,
    /// The text it gave.
    pub text: Option<Arc<str>>,
}

impl Clipboard {
    /// The peer knows the extended form; what to tell it of us, if that is new.
    pub fn extend(&mut self) -> Option<CutText> {
        let new = !std::mem::replace(&mut self.extended, true);
        new.then(|| CutText::Extended(Message::caps()))
    }

    /// This text is here from now on: what to tell the peer.
    pub fn offer(&mut self, text: &Arc<str>) -> CutText {
        self.ours = Some(Arc::clone(text));
        if self.extended {
            return CutText::Extended(Message::Notify(Message::TEXT));
        }
        CutText::Text(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
    }

    /// The same, if the peer was not told of this very text before.
    pub fn offer_once(&mut self, text: &Arc<str>) -> Option<CutText> {
        let is_told = self.ours.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, text));
        (!is_told).then(|| self.offer(text))
    }

    /// The peer said this.
    pub fn hear(&mut self, said: CutText) -> Heard {
        let mut heard = Heard::default();
        let said = match said {
            CutText::Text(text) => {
                heard.text = Some(decode(text).into());
                return heard;
            }
            CutText::Extended(said) if self.extended => said,
            // It never said that it knows this.
            CutText::Extended(_) => return heard,
        };
        let answer = match said {
            Message::Notify(formats) if formats & Message::TEXT != 0 => {
                self.asked = self.asked.saturating_add(1);
                self.has_news = true;
                Message::Request(Message::TEXT)
            }
            Message::Peek => Message::Notify(if self.ours.is_some() { Message::TEXT } else { 0 }),
            Message::Request(formats) if formats & Message::TEXT != 0 => {
                Message::Provide(self.ours.as_deref().map(str::to_owned))
            }
            Message::Provide(text) => {
                heard.text = self.provided(text);
                return heard;
            }
            _ => return heard,
        };
        heard.answer = Some(CutText::Extended(answer));
        heard
    }

    /// The text that the peer gives, unless it is the answer to a question before the last, with what is known.
    fn provided(&mut self, text: Option<String>) -> Option<Arc<str>> {
        let was_asked = self.asked > 0;
        self.asked = self.asked.saturating_sub(1);
        let is_old = was_asked && !std::mem::take(&mut self.has_news);
        if is_old && self.theirs.as_deref() == text.as_deref() {
            return None;
        }
        self.theirs = text.map(Arc::from);
        self.theirs.clone()
    }
}

fn decode(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_else(|latin| latin.into_bytes().into_iter().map(char::from).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    const TEXT: u32 = Message::TEXT;

    #[test]
    fn a_text_goes_from_one_extended_peer_to_another_as_it_is() {
        let (mut from, mut to) = (Clipboard::default(), Clipboard::default());
        assert_eq!(from.extend(), Some(CutText::Extended(Message::caps())));
        assert_eq!(from.extend(), None);
        to.extend();
        let asked = from.hear(CutText::Extended(Message::Notify(TEXT))).answer.unwrap();
        assert_eq!(asked, CutText::Extended(Message::Request(TEXT)));
        let given = from.hear(CutText::Extended(Message::Provide(Some("za\u{17c}".into())))).text.unwrap();
        assert_eq!(to.offer(&given), CutText::Extended(Message::Notify(TEXT)));
        let given = to.hear(asked).answer.unwrap();
        assert_eq!(given, CutText::Extended(Message::Provide(Some("za\u{17c}".into()))));
    }

    #[test]
    fn one_that_knows_cut_text_alone_gets_latin_1_and_gives_that_or_utf_8() {
        let mut old = Clipboard::default();
        assert_eq!(old.offer(&"caf\u{e9} \u{17c}".into()), CutText::Text(b"caf\xe9 ?".to_vec()));
        let heard = |old: &mut Clipboard, bytes: &[u8]| old.hear(CutText::Text(bytes.to_vec())).text.unwrap();
        assert_eq!(&*heard(&mut old, b"caf\xe9"), "caf\u{e9}");
        assert_eq!(&*heard(&mut old, "caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(old.hear(CutText::Extended(Message::Request(TEXT))), Heard::default());
    }

    #[test]
    fn a_late_answer_with_the_text_that_is_known_is_none_but_the_same_may_be_copied_again() {
        let mut peer = Clipboard::default();
        peer.extend();
        let provide = |peer: &mut Clipboard, text: &str| {
            peer.hear(CutText::Extended(Message::Provide(Some(text.into()))))
                .text
                .as_deref()
                .map(str::to_owned)
        };
        let notify =
            |peer: &mut Clipboard| peer.hear(CutText::Extended(Message::Notify(TEXT))).answer.unwrap();
        (0..3).for_each(|_| assert_eq!(notify(&mut peer), CutText::Extended(Message::Request(TEXT))));
        let said = ["typed", "typed", "typed"].map(|text| provide(&mut peer, text));
        assert_eq!(said, [Some("typed".to_owned()), None, None]);
        notify(&mut peer);
        assert!(provide(&mut peer, "typed").is_some(), "it was copied again");
        assert!(provide(&mut peer, "typed").is_some(), "nobody asked");
        (0..2).for_each(|_| drop(notify(&mut peer)));
        assert_eq!(["one", "two"].map(|text| provide(&mut peer, text).is_some()), [true, true]);
    }

    #[test]
    fn of_a_text_a_peer_is_told_once_but_of_the_same_that_is_given_again_twice() {
        let mut peer = Clipboard::default();
        let given = ["text", "text"].map(Arc::<str>::from);
        let told = [0, 0, 1, 1].map(|n: usize| peer.offer_once(&given[n]).is_some());
        assert_eq!(told, [true, false, true, false]);
    }

    #[test]
    fn one_that_looks_is_told_what_there_is() {
        let mut peer = Clipboard::default();
        peer.extend();
        let look = |peer: &mut Clipboard| peer.hear(CutText::Extended(Message::Peek)).answer.unwrap();
        assert_eq!(look(&mut peer), CutText::Extended(Message::Notify(0)));
        peer.offer(&"text".into());
        assert_eq!(look(&mut peer), CutText::Extended(Message::Notify(TEXT)));
    }
}
