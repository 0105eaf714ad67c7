//! What the server has to be told of keys and buttons: input of all viewers in order, through gaps.
//!
//! While no server is there input waits, bounded. A new server knows of nothing held: what the old one was
//! told is held is pressed again before anything else, so what is still held stays held, and what was let
//! go in the gap arrives as press and release (QEMU drops a release whose press it never saw). It is told too
//! where the pointer is: a server that believes it elsewhere draws it into its picture (TigerVNC does).
//!
//! Invariant: a viewer that goes away holds nothing any more; another's buttons stay as they are.
//! Invariant: of the clipboard a mark waits, not the text; of each viewer's wishes for a size one.
//! Invariant: at most [`QUEUE`] words wait. When there are more, what waited is forgotten but for what
//! it leaves held or let go: text may be lost, no key stays down.

use std::collections::{BTreeMap, VecDeque};

use vmgl_rfb::ClientMessage;

/// Something for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// This message.
    Say(ClientMessage),
    /// This message, a wish of this viewer that is answered.
    Resize(u64, ClientMessage),
    /// The text that a viewer's clipboard has now: the newest, whichever it was when this was said.
    Clipboard,
}

/// Most messages that wait.
pub const QUEUE: usize = 1024;
/// Most keys that are held at once; a press beyond is not passed on.
const HELD: usize = 64;

/// A key: as X's keysym and, where the viewer says so, a scan code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    keysym: u32,
    keycode: Option<u32>,
}

impl Key {
    fn message(self, down: bool) -> ClientMessage {
        match self.keycode {
            Some(keycode) => ClientMessage::ExtendedKey { down, keysym: self.keysym, keycode },
            None => ClientMessage::Key { down, keysym: self.keysym },
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    keys: Vec<Key>,
    buttons: u8,
}

impl Held {
    fn hear(&mut self, key: Key, down: bool) {
        if !down {
            self.keys.retain(|held| *held != key);
        } else if !self.keys.contains(&key) && self.keys.len() < HELD {
            self.keys.push(key);
        }
    }
}

/// Input on its way to the server.
#[derive(Debug, Default)]
pub struct Input {
    viewers: BTreeMap<u64, Held>,
    queue: VecDeque<Word>,
    /// What the server knows to be held.
    told: Held,
    /// Where the pointer is, once somebody said so.
    at: Option<(u16, u16)>,
    /// A viewer gave a text for the clipboard.
    given: bool,
    lost: u64,
}

impl Input {
    /// A viewer's message; others than keys and the pointer wait as they are.
    pub fn hear(&mut self, viewer: u64, message: ClientMessage) {
        match message {
            ClientMessage::Key { down, keysym } => {
                self.key(viewer, Key { keysym, keycode: None }, down);
            }
            ClientMessage::ExtendedKey { down, keysym, keycode } => {
                self.key(viewer, Key { keysym, keycode: Some(keycode) }, down);
            }
            ClientMessage::Pointer { buttons, x, y } => {
                self.viewers.entry(viewer).or_default().buttons = buttons;
                self.at = Some((x, y));
                self.point();
            }
            ClientMessage::SetDesktopSize { .. } => {
                // Of its wishes the last counts.
                self.queue.retain(|word| !matches!(word, Word::Resize(other, _) if *other == viewer));
                self.wait(Word::Resize(viewer, message));
            }
            other => self.wait(Word::Say(other)),
        }
    }

    /// A viewer gave a text for the clipboard.
    pub fn clipboard(&mut self) {
        self.given = true;
        self.queue.retain(|word| *word != Word::Clipboard);
        self.wait(Word::Clipboard);
    }

    /// A viewer went away: what it held alone is let go.
    pub fn gone(&mut self, viewer: u64) {
        let Some(held) = self.viewers.remove(&viewer) else { return };
        for key in held.keys {
            if !self.viewers.values().any(|other| other.keys.contains(&key)) {
                self.wait(Word::Say(key.message(false)));
            }
        }
        if held.buttons != 0 {
            self.point();
        }
    }

    /// The server is another one from here on, that knows of nothing held.
    pub fn new_server(&mut self) {
        let told = std::mem::take(&mut self.told);
        if self.given && !self.queue.contains(&Word::Clipboard) {
            self.queue.push_front(Word::Clipboard);
        }
        if self.at.is_some() {
            self.queue.push_front(Word::Say(self.pointer(told.buttons)));
        }
        for key in told.keys.iter().rev() {
            self.queue.push_front(Word::Say(key.message(true)));
        }
    }

    /// Whether something is to be sent.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next word for the server; it counts as told.
    pub fn take(&mut self) -> Option<Word> {
        let word = self.queue.pop_front()?;
        match &word {
            Word::Say(ClientMessage::Key { down, keysym }) => {
                self.told.hear(Key { keysym: *keysym, keycode: None }, *down);
            }
            Word::Say(ClientMessage::ExtendedKey { down, keysym, keycode }) => {
                self.told.hear(Key { keysym: *keysym, keycode: Some(*keycode) }, *down);
            }
            Word::Say(ClientMessage::Pointer { buttons, .. }) => self.told.buttons = *buttons,
            _ => {}
        }
        Some(word)
    }

    /// How many messages were forgotten because too many waited.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn key(&mut self, viewer: u64, key: Key, down: bool) {
        self.viewers.entry(viewer).or_default().hear(key, down);
        // A release counts when nobody else holds the key, a press when it is among those held.
        if down == self.holds(key) {
            self.wait(Word::Say(key.message(down)));
        }
    }

    fn holds(&self, key: Key) -> bool {
        self.viewers.values().any(|held| held.keys.contains(&key))
    }

    fn point(&mut self) {
        let buttons = self.viewers.values().fold(0, |all, held| all | held.buttons);
        let message = self.pointer(buttons);
        // Of motion only the last place counts, but only while no button changes between.
        let before = self.queue.iter().rev().nth(1).map_or(Some(self.told.buttons), buttons_of);
        if before == Some(buttons) && self.queue.back().is_some_and(|last| buttons_of(last) == before) {
            self.queue.pop_back();
        }
        self.wait(Word::Say(message));
    }

    fn pointer(&self, buttons: u8) -> ClientMessage {
        let (x, y) = self.at.unwrap_or_default();
        ClientMessage::Pointer { buttons, x, y }
    }

    fn wait(&mut self, word: Word) {
        self.queue.push_back(word);
        if self.queue.len() <= QUEUE {
            return;
        }
        self.lost += self.queue.len() as u64;
        self.queue.clear();
        let let_go: Vec<Key> = self.told.keys.iter().copied().filter(|key| !self.holds(*key)).collect();
        self.queue.extend(let_go.into_iter().map(|key| Word::Say(key.message(false))));
        let mut pressed: Vec<Key> =
            self.viewers.values().flat_map(|held| held.keys.iter().copied()).collect();
        pressed.sort();
        pressed.dedup();
        pressed.retain(|key| !self.told.keys.contains(key));
        self.queue.extend(pressed.into_iter().take(HELD).map(|key| Word::Say(key.message(true))));
        let buttons = self.viewers.values().fold(0, |all, held| all | held.buttons);
        self.queue.push_back(Word::Say(self.pointer(buttons)));
        if self.given {
            self.queue.push_back(Word::Clipboard);
        }
    }
}

fn buttons_of(word: &Word) -> Option<u8> {
    match word {
        Word::Say(ClientMessage::Pointer { buttons, .. }) => Some(*buttons),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keysym: u32, down: bool) -> ClientMessage {
        ClientMessage::Key { down, keysym }
    }

    fn pointer(buttons: u8, x: u16) -> ClientMessage {
        ClientMessage::Pointer { buttons, x, y: 0 }
    }

    fn all(input: &mut Input) -> Vec<ClientMessage> {
        let message = |word| match word {
            Word::Say(message) => message,
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| input.take()).map(message).collect()
    }

    #[test]
    fn a_text_of_a_viewers_clipboard_is_given_to_each_server_before_the_keys_that_follow() {
        let mut input = Input::default();
        input.clipboard();
        input.hear(1, key(7, true));
        input.clipboard();
        input.hear(1, key(8, true));
        let words = |input: &mut Input| std::iter::from_fn(|| input.take()).collect::<Vec<_>>();
        let [seven, eight] = [7, 8].map(|n| Word::Say(key(n, true)));
        assert_eq!(words(&mut input), [seven.clone(), Word::Clipboard, eight.clone()]);
        input.new_server();
        assert_eq!(words(&mut input), [seven, eight, Word::Clipboard]);
    }

    #[test]
    fn of_a_viewers_wishes_for_a_size_the_last_waits() {
        let size = |width| ClientMessage::SetDesktopSize { width, height: 1, screens: Vec::new() };
        let mut input = Input::default();
        [(1, 5), (2, 6), (1, 7)].into_iter().for_each(|(viewer, width)| input.hear(viewer, size(width)));
        let words: Vec<_> = std::iter::from_fn(|| input.take()).collect();
        assert_eq!(words, [Word::Resize(2, size(6)), Word::Resize(1, size(7))]);
    }

    #[test]
    fn what_is_held_is_pressed_again_on_a_new_server_and_never_let_go() {
        let mut input = Input::default();
        input.hear(1, key(7, true));
        input.hear(1, pointer(1, 5));
        all(&mut input);
        input.new_server();
        assert_eq!(all(&mut input), [key(7, true), pointer(1, 5)]);
    }

    #[test]
    fn what_was_let_go_in_the_gap_is_pressed_and_let_go() {
        let mut input = Input::default();
        input.hear(1, key(7, true));
        all(&mut input);
        input.hear(1, key(7, false));
        input.hear(1, key(8, true));
        input.new_server();
        assert_eq!(all(&mut input), [key(7, true), key(7, false), key(8, true)]);
    }

    #[test]
    fn a_new_server_is_told_where_the_pointer_is_once_it_is_known() {
        let mut input = Input::default();
        input.new_server();
        assert_eq!(all(&mut input), []);
        input.hear(1, pointer(0, 5));
        all(&mut input);
        input.new_server();
        assert_eq!(all(&mut input), [pointer(0, 5)]);
    }

    #[test]
    fn a_viewer_that_goes_away_holds_nothing_and_leaves_the_others_theirs() {
        let mut input = Input::default();
        input.hear(1, key(7, true));
        input.hear(2, key(7, true));
        input.hear(1, key(8, true));
        input.hear(2, pointer(4, 1));
        input.hear(1, pointer(1, 1));
        all(&mut input);
        input.gone(1);
        assert_eq!(all(&mut input), [key(8, false), pointer(4, 1)]);
        input.gone(2);
        assert_eq!(all(&mut input), [key(7, false), pointer(0, 1)]);
    }

    #[test]
    fn motion_that_waits_is_one_message_but_no_click_is_lost() {
        let mut input = Input::default();
        (1..9).for_each(|x| input.hear(1, pointer(0, x)));
        input.hear(1, pointer(1, 8));
        input.hear(1, pointer(0, 8));
        input.hear(1, pointer(0, 9));
        assert_eq!(all(&mut input), [pointer(0, 8), pointer(1, 8), pointer(0, 8), pointer(0, 9)]);
    }

    #[test]
    fn input_that_waits_is_bounded_and_no_key_stays_down() {
        let mut input = Input::default();
        input.hear(1, key(1, true));
        all(&mut input);
        input.hear(1, key(1, false));
        input.hear(1, key(2, true));
        for n in 0..3000 {
            input.hear(1, key(100, n % 2 == 0));
            assert!(input.len() <= QUEUE);
        }
        all(&mut input);
        assert!(input.lost() > 0);
        assert_eq!(input.told.keys, [Key { keysym: 2, keycode: None }]);
    }

    proptest::proptest! {
        #[test]
        fn in_the_end_the_server_holds_what_viewers_hold(
            steps in proptest::collection::vec((0u8..5, 0u64..3, 0u32..6, proptest::bool::ANY), 0..400)
        ) {
            let mut input = Input::default();
            for (what, viewer, number, down) in steps {
                match what {
                    0 | 1 => input.hear(viewer, key(number, down)),
                    2 => input.hear(viewer, pointer(u8::try_from(number).unwrap_or(0), 3)),
                    3 => { if down { input.new_server() } else { input.gone(viewer) } }
                    _ => { input.take(); }
                }
            }
            all(&mut input);
            let mut held: Vec<Key> = input.viewers.values().flat_map(|held| held.keys.clone()).collect();
            held.sort();
            held.dedup();
            input.told.keys.sort();
            proptest::prop_assert_eq!(&input.told.keys, &held);
            let buttons = input.viewers.values().fold(0, |all, held| all | held.buttons);
            proptest::prop_assert_eq!(input.told.buttons, buttons);
        }
    }
}
