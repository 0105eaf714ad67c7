//! Texts go from clipboard to clipboard, whatever form each end knows.

use std::io::Write;
use std::process::{Command, Stdio};

use vmgl_rfb::{ClientMessage, Clipboard, CutText, Encoding, ServerEvent, pseudo};

use crate::peers::{Kind, Proxy, Viewer, Xvfb, Xvnc, eventually, unix, vncviewer};

const TEXT: &str = "caf\u{e9} \u{17c}\u{f3}\u{142}w\nsecond line";

/// Puts a text into X's clipboard.
fn copy(display: &str, text: &str) {
    let mut xclip = Command::new("xclip");
    xclip.args(["-selection", "clipboard", "-i"]).env("DISPLAY", display);
    let mut child = xclip.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// What X's clipboard gives.
fn paste(display: &str) -> String {
    let mut xclip = Command::new("timeout");
    xclip.args(["5", "xclip", "-selection", "clipboard", "-o"]).env("DISPLAY", display);
    String::from_utf8(xclip.output().unwrap().stdout).unwrap()
}

fn extended() -> Kind {
    Kind::of(Encoding::Zrle).can(pseudo::EXTENDED_CLIPBOARD)
}

fn say(viewer: &mut Viewer, message: Clipboard) {
    viewer.say(&ClientMessage::CutText(CutText::Extended(message)));
}

/// Waits until the viewer is told something of the clipboard that is wanted.
fn told<T>(what: &str, viewer: &mut Viewer, so: impl Fn(&CutText) -> Option<T>) -> T {
    eventually(what, || {
        viewer.look();
        let heard = std::mem::take(&mut viewer.heard);
        heard.iter().find_map(|event| match event {
            ServerEvent::CutText(text) => so(text),
            _ => None,
        })
    })
}

fn is(wanted: Clipboard) -> impl Fn(&CutText) -> Option<()> {
    move |text| (*text == CutText::Extended(wanted.clone())).then_some(())
}

/// The viewer copies a text and gives it when it is asked.
fn give(viewer: &mut Viewer, text: &str) {
    say(viewer, Clipboard::Notify(Clipboard::TEXT));
    told("the text is asked for", viewer, is(Clipboard::Request(Clipboard::TEXT)));
    say(viewer, Clipboard::Provide(Some(text.to_owned())));
}

#[test]
fn a_text_of_the_server_reaches_viewers_that_know_unicode_and_those_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("a"), "400x300");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut new = Viewer::of(&proxy.door, extended()).unwrap();
    let mut old = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    told("what the proxy can do", &mut new, is(Clipboard::caps()));
    copy(&server.display, TEXT);
    told("there is a text", &mut new, is(Clipboard::Notify(Clipboard::TEXT)));
    say(&mut new, Clipboard::Request(Clipboard::TEXT));
    told("the text", &mut new, is(Clipboard::Provide(Some(TEXT.to_owned()))));
    let latin = told("the text in Latin-1", &mut old, |text| match text {
        CutText::Text(text) => Some(text.clone()),
        CutText::Extended(_) => None,
    });
    assert_eq!(latin, b"caf\xe9 ?\xf3?w\nsecond line");
    // One that comes later is told, and can look.
    let mut late = Viewer::of(&proxy.door, extended()).unwrap();
    told("there is a text", &mut late, is(Clipboard::Notify(Clipboard::TEXT)));
    say(&mut late, Clipboard::Peek);
    told("there is a text still", &mut late, is(Clipboard::Notify(Clipboard::TEXT)));
}

#[test]
fn a_text_of_a_viewer_reaches_the_server_and_the_one_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| Xvnc::start(dir.path().join(name), "400x300"));
    let proxy = Proxy::start(dir.path(), &a.path, &[]);
    proxy.attached();
    let mut new = Viewer::of(&proxy.door, extended()).unwrap();
    let mut old = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    give(&mut new, TEXT);
    eventually("X has the viewer's text", || (paste(&a.display) == TEXT).then_some(()));
    old.say(&ClientMessage::CutText(CutText::Text(b"caf\xe9".to_vec())));
    eventually("X has the old viewer's text", || (paste(&a.display) == "caf\u{e9}").then_some(()));
    give(&mut new, TEXT);
    eventually("X has the viewer's text again", || (paste(&a.display) == TEXT).then_some(()));
    drop((new, old));
    proxy.ctl(&["rehome", &unix(&b.path)]).unwrap();
    eventually("the next server has it too", || (paste(&b.display) == TEXT).then_some(()));
}

#[test]
fn who_only_looks_gives_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("a"), "400x300");
    let proxy = Proxy::start(dir.path(), &server.path, &["--view-only"]);
    proxy.attached();
    let mut viewer = Viewer::of(&proxy.door, extended()).unwrap();
    copy(&server.display, "the server's");
    told("there is a text", &mut viewer, is(Clipboard::Notify(Clipboard::TEXT)));
    give(&mut viewer, TEXT);
    say(&mut viewer, Clipboard::Request(Clipboard::TEXT));
    told("the text", &mut viewer, is(Clipboard::Provide(Some("the server's".to_owned()))));
    assert_eq!(paste(&server.display), "the server's");
}

#[test]
fn texts_go_both_ways_between_tigervncs_viewer_and_server() {
    let dir = tempfile::tempdir().unwrap();
    let (server, screen) = (Xvnc::start(dir.path().join("a"), "400x300"), Xvfb::start("400x300"));
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    server.paint("400x300", "plasma:red-blue");
    let _viewer = vncviewer(&screen, &proxy.door, &[]);
    let truth = server.truth();
    eventually("the viewer shows the screen", || (screen.truth() == truth).then_some(()));
    copy(&server.display, TEXT);
    eventually("the server's text", || (paste(&screen.display) == TEXT).then_some(()));
    let other = TEXT.replace("second", "other");
    copy(&screen.display, &other);
    eventually("the viewer's text", || (paste(&server.display) == other).then_some(()));
}

#[test]
fn of_texts_of_viewers_and_servers_the_newest_lasts_through_changes_of_servers() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| Xvnc::start(dir.path().join(name), "400x300"));
    let proxy = Proxy::start(dir.path(), &a.path, &[]);
    proxy.attached();
    let mut viewer = Viewer::of(&proxy.door, extended()).unwrap();
    give(&mut viewer, "the viewer's");
    eventually("the first has the viewer's", || (paste(&a.display) == "the viewer's").then_some(()));
    copy(&a.display, "the first's");
    told("the first's", &mut viewer, is(Clipboard::Notify(Clipboard::TEXT)));
    // The old text of the viewer must not take the place of the second's own.
    copy(&b.display, "the second's");
    proxy.ctl(&["rehome", &unix(&b.path)]).unwrap();
    viewer.say(&ClientMessage::Key { down: true, keysym: 0x61 });
    eventually("what came before the key is done", || (b.held() == ["key[38]"]).then_some(()));
    assert_eq!(paste(&b.display), "the second's");
    give(&mut viewer, "the viewer's newest");
    eventually("the second has the viewer's", || (paste(&b.display) == "the viewer's newest").then_some(()));
    viewer.heard.clear();
    proxy.ctl(&["rehome", &unix(&a.path)]).unwrap();
    eventually("the first has it too", || (paste(&a.display) == "the viewer's newest").then_some(()));
}

/// A page's field gives a text with each key, and may answer all questions with the last one.
#[test]
fn a_viewers_late_answer_takes_no_place_of_what_the_server_has_copied_since() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("a"), "400x300");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewer = Viewer::of(&proxy.door, extended()).unwrap();
    say(&mut viewer, Clipboard::Notify(Clipboard::TEXT));
    give(&mut viewer, TEXT);
    eventually("X has the viewer's text", || (paste(&server.display) == TEXT).then_some(()));
    viewer.heard.clear();
    copy(&server.display, "the server's");
    told("the server's", &mut viewer, is(Clipboard::Notify(Clipboard::TEXT)));
    say(&mut viewer, Clipboard::Provide(Some(TEXT.to_owned())));
    viewer.say(&ClientMessage::Key { down: true, keysym: 0x61 });
    eventually("what came before the key is done", || (server.held() == ["key[38]"]).then_some(()));
    assert_eq!(paste(&server.display), "the server's");
}
