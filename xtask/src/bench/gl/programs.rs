//! Programs of Debian's that draw with OpenGL, how each is started, and how fast it may draw.

use std::path::Path;

/// Width and height of their windows, where they can be told.
pub(crate) const SIZE: (u16, u16) = (400, 300);

/// A program.
#[derive(Debug)]
pub(crate) struct Program {
    /// For people.
    pub(crate) name: &'static str,
    kind: Kind,
    /// Whether it costs much to fill its pixels and little to say what is to be drawn.
    pub(crate) raster: bool,
}

#[derive(Debug)]
enum Kind {
    /// Its words; `SIZE`, `WIDTH` and `HEIGHT` in them stand for the window's, `SCENES/` for the folder of scenes.
    Plain(&'static [&'static str]),
    /// A scene of glmark2's: it says itself whether it waits for the screen.
    Glmark(&'static str),
    /// A scene of VTK's, with so many samples along a side.
    Vtk(u32),
}

/// How fast a program may draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Sixty frames a second at most: swap interval 1.
    Screen,
    /// As fast as it goes: swap interval 0.
    Free,
}

const fn plain(name: &'static str, words: &'static [&'static str]) -> Program {
    Program { name, kind: Kind::Plain(words), raster: false }
}

const fn glmark(name: &'static str, scene: &'static str, raster: bool) -> Program {
    Program { name, kind: Kind::Glmark(scene), raster }
}

/// All of them.
pub(crate) static PROGRAMS: &[Program] = &[
    plain("glxgears", &["glxgears", "-geometry", "SIZE"]),
    plain("es2gears", &["es2gears_x11"]),
    glmark("glmark2 build", "build", false),
    glmark("glmark2 build, arrays", "build:use-vbo=false", false),
    glmark("glmark2 texture", "texture", false),
    glmark("glmark2 shading", "shading:shading=phong", true),
    glmark("glmark2 bump", "bump:bump-render=high-poly", false),
    glmark("glmark2 effect2d", "effect2d", true),
    glmark("glmark2 pulsar", "pulsar", false),
    glmark("glmark2 desktop", "desktop", true),
    glmark("glmark2 buffer, map", "buffer:update-method=map", false),
    glmark("glmark2 buffer, subdata", "buffer:update-method=subdata", false),
    glmark("glmark2 ideas", "ideas", false),
    glmark("glmark2 jellyfish", "jellyfish", false),
    glmark("glmark2 terrain", "terrain", true),
    glmark("glmark2 shadow", "shadow", true),
    glmark("glmark2 refract", "refract", true),
    glmark("glmark2 conditionals", "conditionals", false),
    plain("glmatrix", &["/usr/libexec/xscreensaver/glmatrix", "-geometry", "SIZE"]),
    plain("molecule", &["/usr/libexec/xscreensaver/molecule", "-geometry", "SIZE"]),
    plain("dangerball", &["/usr/libexec/xscreensaver/dangerball", "-geometry", "SIZE"]),
    plain("atlantis", &["/usr/libexec/xscreensaver/atlantis", "-geometry", "SIZE"]),
    Program { name: "vtk isosurface", kind: Kind::Vtk(50), raster: false },
    plain(
        "pymol",
        &[
            "/usr/bin/python3",
            "-m",
            "pymol",
            "-q",
            "-x",
            "-i",
            "-W",
            "WIDTH",
            "-H",
            "HEIGHT",
            "SCENES/molecule.pml",
        ],
    ),
    plain("neverball", &["/usr/games/neverball"]),
    plain("extreme tux racer", &["/usr/games/etr"]),
];

/// Where Neverball looks for its settings in its user's folder, and what they are: a window like the others', and nothing that
/// software draws too slowly for a rate to be seen.
pub(crate) fn settings() -> (&'static str, String) {
    let (width, height) = SIZE;
    let file =
        format!("fullscreen 0\nwidth {width}\nheight {height}\nreflection 0\nshadow 0\nbackground 0\n");
    (".neverball/neverballrc", file)
}

impl Program {
    /// One by its name.
    pub(crate) fn named(name: &str) -> Option<&'static Program> {
        PROGRAMS.iter().find(|program| program.name == name)
    }

    /// Its words; `scene` is the file of VTK's scene.
    pub(crate) fn words(&self, scene: &Path, pace: Pace) -> Vec<String> {
        let (width, height) = SIZE;
        match self.kind {
            Kind::Plain(words) => {
                let word = |word: &&str| match *word {
                    "SIZE" => format!("{width}x{height}+0+0"),
                    "WIDTH" => width.to_string(),
                    "HEIGHT" => height.to_string(),
                    word => match word.strip_prefix("SCENES/") {
                        Some(name) => scene.with_file_name(name).display().to_string(),
                        None => word.to_owned(),
                    },
                };
                words.iter().map(word).collect()
            }
            Kind::Glmark(scene) => {
                let mode = if pace == Pace::Screen { "fifo" } else { "immediate" };
                let size = format!("{width}x{height}");
                let scene = format!("{scene}:duration=1000");
                ["glmark2", "--swap-mode", mode, "--size", &size, "--benchmark", &scene]
                    .map(str::to_owned)
                    .to_vec()
            }
            Kind::Vtk(samples) => {
                let numbers = [width.into(), height.into(), samples].map(|number: u32| number.to_string());
                let file = scene.display().to_string();
                [vec!["/usr/bin/python3".to_owned(), file], numbers.to_vec()].concat()
            }
        }
    }

    /// Whether it gets its windows by EGL.
    pub(crate) fn is_egl(&self) -> bool {
        self.name.starts_with("es2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_of_glmark_is_told_whether_to_wait_for_the_screen() {
        let program = Program::named("glmark2 build").unwrap();
        let words = |pace| program.words(Path::new("/scene"), pace).join(" ");
        assert!(words(Pace::Screen).contains("--swap-mode fifo --size 400x300"));
        assert!(words(Pace::Free).contains("immediate"));
    }

    #[test]
    fn scenes_are_found_beside_vtks() {
        let words = Program::named("pymol").unwrap().words(Path::new("/scenes/vtk.py"), Pace::Free);
        assert!(words.ends_with(&["-H".to_owned(), "300".to_owned(), "/scenes/molecule.pml".to_owned()]));
    }

    #[test]
    fn names_are_told_apart() {
        for program in PROGRAMS {
            assert!(std::ptr::eq(Program::named(program.name).unwrap(), program), "{}", program.name);
        }
    }
}
