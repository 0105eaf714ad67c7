//! Which real programs are drawn with, how each is started, and which of its pictures is compared.

/// How a picture of a program is got that is the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It moves: with `still.c` before it, it stands still behind this picture.
    Picture(u32),
    /// It draws when there is something new: its picture is compared when it has come to rest.
    Rest,
}

/// A program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Debian's package that has it.
    pub(crate) package: &'static str,
    /// The command; `SCENES/` stands for the folder of scenes here.
    pub(crate) words: &'static [&'static str],
    pub(crate) how: How,
    /// What of OpenGL it uses.
    pub(crate) style: &'static str,
    /// It is tried each time that tests run.
    pub(crate) always: bool,
}

const fn case(
    name: &'static str,
    package: &'static str,
    words: &'static [&'static str],
    how: How,
    style: &'static str,
) -> Case {
    Case { name, package, words, how, style, always: false }
}

const fn always(case: Case) -> Case {
    Case { always: true, ..case }
}

macro_rules! hack {
    ($name:literal, $package:literal, $picture:literal, $style:literal) => {
        case(
            $name,
            $package,
            &[concat!("/usr/libexec/xscreensaver/", $name), "-geometry", "300x240+10+10", "-bw", "0"],
            How::Picture($picture),
            $style,
        )
    };
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    always(case(
        "glxgears",
        "mesa-utils-bin",
        &["glxgears", "-geometry", "300x300+10+10"],
        How::Picture(20),
        "OpenGL 1, display lists",
    )),
    always(case("es2gears", "mesa-utils-bin", &["es2gears_x11"], How::Picture(20), "EGL, OpenGL ES 2")),
    case("es2tri", "mesa-utils-bin", &["es2tri"], How::Rest, "EGL, OpenGL ES 2, arrays in memory"),
    case("glxheads", "mesa-utils-bin", &["glxheads"], How::Picture(5), "OpenGL 1"),
    hack!("molecule", "xscreensaver-gl", 12, "EGL, OpenGL 1 between begin and end, lists, texts"),
    hack!("atlantis", "xscreensaver-gl", 12, "texture coordinates that are generated, fog"),
    hack!("boing", "xscreensaver-gl", 12, "lines and quads"),
    hack!("bouncingcow", "xscreensaver-gl", 12, "interleaved arrays in lists"),
    hack!("engine", "xscreensaver-gl", 12, "lights, quad strips"),
    // They fly in from afar.
    hack!("flyingtoasters", "xscreensaver-gl", 150, "models in lists, textures"),
    hack!("glblur", "xscreensaver-gl", 12, "copies of the picture into textures"),
    // It is black for some seconds.
    hack!("glmatrix", "xscreensaver-gl", 300, "blended textures"),
    hack!("glplanet", "xscreensaver-gl", 12, "large textures"),
    hack!("hypertorus", "xscreensaver-gl-extra", 12, "GLSL where it is there"),
    hack!("klein", "xscreensaver-gl-extra", 12, "GLSL where it is there"),
    hack!("pipes", "xscreensaver-gl", 40, "many lists, materials"),
    hack!("polyhedra", "xscreensaver-gl", 12, "polygons, bitmap texts"),
    hack!("spheremonics", "xscreensaver-gl", 12, "normals, lines over faces"),
    hack!("superquadrics", "xscreensaver-gl-extra", 12, "two-sided lights"),
    hack!("surfaces", "xscreensaver-gl", 12, "strips"),
    case(
        "VTK isosurface",
        "python3-vtk9",
        &["/usr/bin/python3", "SCENES/isosurface.py"],
        How::Rest,
        "OpenGL 3.2 core, multisampled framebuffers",
    ),
    case(
        "PyMOL",
        "pymol",
        &[
            "/usr/bin/python3",
            "-m",
            "pymol",
            "-q",
            "-x",
            "-i",
            "-W",
            "400",
            "-H",
            "300",
            "SCENES/molecule.pml",
        ],
        How::Rest,
        "OpenGL 2, GLSL, framebuffers",
    ),
    case("gmsh", "gmsh", &["gmsh", "SCENES/solids.geo"], How::Rest, "OpenGL 1, arrays, texts as pixels"),
    case(
        "MeshLab",
        "meshlab",
        &["meshlab", "SCENES/spindle.off"],
        How::Rest,
        "OpenGL 2, lists, Qt's texts by OpenGL",
    ),
    case("Neverball", "neverball", &["/usr/games/neverball"], How::Picture(30), "OpenGL 1.5, buffers, SDL"),
    case(
        "Extreme Tux Racer",
        "extremetuxracer",
        &["/usr/games/etr"],
        How::Picture(20),
        "OpenGL 1, arrays in memory, SFML",
    ),
    case(
        "glmark2 build",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "build:use-vbo=false:duration=900"],
        How::Picture(10),
        "GLSL, arrays in memory",
    ),
    case(
        "glmark2 texture",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "texture:texture-filter=mipmap:duration=900"],
        How::Picture(10),
        "GLSL, buffers, mipmaps",
    ),
    case(
        "glmark2 shading",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "shading:shading=phong:duration=900"],
        How::Picture(10),
        "GLSL",
    ),
    case(
        "glmark2 bump",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "bump:bump-render=height:duration=900"],
        How::Picture(10),
        "GLSL",
    ),
    case(
        "glmark2 effect2d",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "effect2d:duration=900"],
        How::Picture(5),
        "framebuffers",
    ),
    case(
        "glmark2 desktop",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "desktop:effect=shadow:windows=4:duration=900"],
        How::Picture(5),
        "framebuffers, blending",
    ),
    case(
        "glmark2 buffer",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "buffer:update-method=map:interleave=true:duration=900"],
        How::Picture(10),
        "mapped buffers",
    ),
    case(
        "glmark2 ideas",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "ideas:speed=1.0:duration=900"],
        // It is black for some seconds.
        How::Picture(600),
        "many small draws",
    ),
    case(
        "glmark2 jellyfish",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "jellyfish:duration=900"],
        How::Picture(10),
        "blending, large textures",
    ),
    case(
        "glmark2 terrain",
        "glmark2-x11",
        &["glmark2", "-s", "200x160", "-b", "terrain:duration=900"],
        How::Picture(3),
        "framebuffers, noise by shader",
    ),
    case(
        "glmark2 shadow",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "shadow:duration=900"],
        How::Picture(5),
        "depth textures",
    ),
    case(
        "glmark2 refract",
        "glmark2-x11",
        &["glmark2", "-s", "200x160", "-b", "refract:duration=900"],
        How::Picture(3),
        "depth and colour textures",
    ),
    case(
        "glmark2 pulsar",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "pulsar:quads=10:texture=true:duration=900"],
        How::Picture(60),
        "GLSL, textures, blending",
    ),
    case(
        "glmark2 conditionals",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "conditionals:duration=900"],
        How::Picture(5),
        "GLSL with conditions",
    ),
    case(
        "glmark2 function",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "function:duration=900"],
        How::Picture(5),
        "GLSL with functions",
    ),
    case(
        "glmark2 loop",
        "glmark2-x11",
        &["glmark2", "-s", "300x240", "-b", "loop:duration=900"],
        How::Picture(5),
        "GLSL with loops",
    ),
    case(
        "glmark2-es2 shading",
        "glmark2-es2-x11",
        &["glmark2-es2", "-s", "300x240", "-b", "shading:shading=phong:duration=900"],
        How::Picture(10),
        "EGL, OpenGL ES 2",
    ),
    case(
        "glmark2-es2 buffer",
        "glmark2-es2-x11",
        &["glmark2-es2", "-s", "300x240", "-b", "buffer:update-method=map:duration=900"],
        How::Picture(10),
        "EGL, OpenGL ES 2, mapped buffers",
    ),
    case(
        "glmark2-es2 terrain",
        "glmark2-es2-x11",
        &["glmark2-es2", "-s", "200x160", "-b", "terrain:duration=900"],
        How::Picture(3),
        "EGL, OpenGL ES 2, framebuffers",
    ),
];
