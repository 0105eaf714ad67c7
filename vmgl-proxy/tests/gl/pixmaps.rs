//! What a program draws on pixmaps of X's: X's clients have it when GLX says so, as Mesa alone gives it to them, and it outlives its renderer.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::desk::Desk;
use crate::life::kill;
use crate::peers::{Running, Xvfb, eventually};
use crate::unmodified::{build, travelling};

const SIZE: &str = "320x240";
const HEAD: &str = "P6\n301 200\n255\n";
const BYTES: usize = 301 * 200 * 3;

/// `draw_pixmap.c`, which draws what it is told and says what X has of it.
struct Painter {
    _running: Running,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    log: std::path::PathBuf,
}

impl Painter {
    fn start(mut command: Command, how: &str, dir: &Path) -> Self {
        let log = dir.join("log");
        command.arg(how).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { _running: Running(child), to, from, log }
    }

    fn alone(screen: &Xvfb, program: &Path, how: &str, dir: &Path) -> Self {
        let mut local = Command::new(program);
        local.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
        Self::start(local, how, dir)
    }

    /// Draws, and X's picture of it.
    fn draws(&mut self, word: &str) -> Vec<u8> {
        self.is_told(word);
        self.picture(word)
    }

    fn picture(&mut self, word: &str) -> Vec<u8> {
        let mut picture = vec![0; HEAD.len() + BYTES];
        self.from.read_exact(&mut picture).unwrap_or_else(|end| panic!("{word}: {end} {}", self.log()));
        assert!(picture.starts_with(HEAD.as_bytes()), "{word}");
        picture
    }

    fn is_told(&mut self, word: &str) {
        writeln!(self.to, "{word}").unwrap_or_else(|end| panic!("{word}: {end} {}", self.log()));
    }

    fn says(&mut self, word: &str) -> String {
        self.is_told(word);
        let mut said = String::new();
        self.from.read_line(&mut said).unwrap();
        said
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// What the library says of its next renderer.
    fn restored(&self) -> String {
        let log =
            eventually("another renderer", || Some(self.log()).filter(|log| log.contains("restored in")));
        std::fs::write(&self.log, "").unwrap();
        log
    }
}

fn built(dir: &Path) -> std::path::PathBuf {
    build(dir, "draw_pixmap", &["-l:libGL.so.1", "-l:libX11.so.6"])
}

#[test]
fn x_has_of_a_pixmap_what_mesa_alone_would_have_drawn_on_it_when_glx_says_so() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = built(here.path());
    let (screen, desk) = (Xvfb::start(SIZE), Desk::unwatched(SIZE, &[]));
    let words =
        ["finish", "corner", "flush", "unfinished", "again", "x", "swap", "front", "unfinished", "again"];
    for how in ["config", "visual", "double"] {
        let mut alone = Painter::alone(&screen, &program, how, here.path());
        let mut far = Painter::start(travelling(&desk, &program), how, there.path());
        let mut pictures = std::collections::HashSet::new();
        for word in words {
            let truth = alone.draws(word);
            // The same software draws both: not a pixel may differ.
            assert!(far.draws(word) == truth, "{how} {word} {}", far.log());
            pictures.insert(truth);
        }
        assert!(pictures.len() >= if how == "double" { 4 } else { 7 }, "{how}: {}", pictures.len());
        // Another drawable, and none.
        if how != "double" {
            assert!(far.draws("other") == alone.draws("other"), "{how}");
            assert!(far.picture("other") == alone.picture("other"), "{how}");
        }
        assert_eq!(far.says("size"), "301 200\n");
        drop(far);
        eventually("its end is known", || desk.program().is_null().then_some(()));
    }
}

#[test]
fn a_program_waits_once_for_each_picture_that_it_finishes_on_a_pixmap_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let program = built(dir.path());
    let desk = Desk::unwatched(SIZE, &[]);
    let mut far = Painter::start(travelling(&desk, &program), "config", dir.path());
    // Between the second and the last nothing is drawn by OpenGL.
    for word in ["finish", "corner", "x", "again", "flush"] {
        far.draws(word);
    }
    eventually("three waits", || (desk.program()["waits"]["glXWaitGL"]["times"] == 3).then_some(()));
    assert_eq!(desk.program()["errors"], 0);
}

#[test]
fn another_renderer_goes_on_with_what_x_has_of_a_pixmap_and_what_was_not_finished_is_named() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = built(here.path());
    let (screen, desk) = (Xvfb::start(SIZE), Desk::unwatched(SIZE, &[]));
    let mut alone = Painter::alone(&screen, &program, "config", here.path());
    let mut far = Painter::start(travelling(&desk, &program), "config", there.path());
    let mut same = |far: &mut Painter, word: &str| {
        assert!(far.draws(word) == alone.draws(word), "{word} {}", far.log());
    };
    same(&mut far, "finish");
    kill(&desk.renderer());
    let told = far.restored();
    assert!(told.contains("lost: nothing") && !told.contains("with 0 bytes"), "{told}");
    same(&mut far, "corner");

    // With notice it is finished for the program.
    same(&mut far, "unfinished");
    desk.renew();
    let told = far.restored();
    assert!(told.contains("lost: nothing"), "{told}");
    same(&mut far, "again");

    // Without, it is gone.
    let before = far.draws("flush");
    assert!(far.draws("unfinished") == before);
    kill(&desk.renderer());
    let told = far.restored();
    assert!(told.contains("what was last drawn on pixmaps of 1"), "{told}");
    assert!(far.draws("again") == before);
}

#[test]
fn a_program_draws_on_so_many_pixmaps_of_such_a_size_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let program = built(dir.path());
    let desk = Desk::unwatched(SIZE, &[]);
    let mut far = Painter::start(travelling(&desk, &program), "config", dir.path());
    let truth = far.draws("finish");
    // One that is too wide, one of another depth; two are there already.
    for _ in 0..2 {
        assert_eq!(far.says("bounds"), format!("1 1 {}\n", vmgl_gl_stream::limits::DRAWABLES - 2));
    }
    assert!(far.draws("finish") == truth, "{}", far.log());
    assert_eq!(desk.program()["errors"], 0);
}
