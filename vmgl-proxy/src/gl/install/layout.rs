//! What an installation consists of (pure): files, their places and their contents.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::InstallError;

/// Before our lines in a file of somebody else's.
const BEGIN: &str = "# vmgl: begin (`vmgl-proxy gl install --remove` takes these lines away)";
/// Behind them.
const END: &str = "# vmgl: end";
/// The program's name beside the library.
const PROGRAM: &str = "vmgl-proxy";
/// The library's folder for everybody.
const LIB: &str = "/usr/local/lib/vmgl";
/// What a text of ours has in it.
const MARK: &str = "vmgl";
/// The library's name among vendors of GLX, under which its file is kept.
const LIBRARY: &str = "libGLX_vmgl.so.0";
/// What programs are linked with for OpenGL, OpenGL ES, GLX and EGL. The library exports all of it.
const STAND_INS: [&str; 6] =
    ["libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libGLESv1_CM.so.1", "libOpenGL.so.0", "libGLX.so.0"];

/// Whom an installation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum For {
    /// All users of the machine, whose files are below this folder: `/`, or a system that does not run.
    Everybody(PathBuf),
    /// Whoever reads `env.sh` in this folder.
    Prefix(PathBuf),
}

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The library.
    pub library: &'a Path,
    /// Where the renderer is; none: at the usual place, or as each session says.
    pub to: Option<&'a str>,
    /// The program, which the library starts as a watcher, or where a program has to be drawn for in the agent: a copy beside the
    /// library, as where it is now may be gone tomorrow. None: that in `PATH`.
    pub proxy: Option<&'a Path>,
}

impl Parts<'_> {
    /// What is the same for all kinds of installations whose library is in this folder, as programs see it.
    fn environment(&self, lib: &str) -> Vec<(String, String)> {
        let mut environment = vec![("__GLX_VENDOR_LIBRARY_NAME".to_owned(), "vmgl".to_owned())];
        environment.extend(self.to.map(|to| ("VMGL_GL".to_owned(), to.to_owned())));
        environment.extend(self.proxy.map(|_| ("VMGL_PROXY".to_owned(), format!("{lib}/{PROGRAM}"))));
        environment
    }

    /// The library under its names, and the program, in this folder.
    fn files(&self, lib: &Path) -> Vec<Entry> {
        let entry = |name: &str, content| Entry { path: lib.join(name), content };
        let mut entries = vec![
            entry(LIBRARY, Content::Copy(self.library.to_owned())),
            entry("libEGL_vmgl.so.0", Content::Link(LIBRARY.to_owned())),
        ];
        entries.extend(self.proxy.map(|program| entry(PROGRAM, Content::Copy(program.to_owned()))));
        entries
    }
}

/// What needs no quoting anywhere.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+".contains(c)
}

/// What a place gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a file.
    Copy(PathBuf),
    /// A text.
    Text(String),
    /// A symbolic link.
    Link(String),
    /// Lines between our marks in a file that others write, too.
    Lines(Vec<String>),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub content: Content,
}

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Its files, in the order in which they are put there.
    pub entries: Vec<Entry>,
    /// Folders that are its own, the inner ones first.
    pub folders: Vec<PathBuf>,
    /// The environment of programs that use it, as far as a running session does not have it yet.
    pub environment: Vec<(String, String)>,
    /// The dynamic linker's cache is to be made anew, below this folder.
    pub linker: Option<PathBuf>,
}

impl Layout {
    /// The library is `libGL.so.1`, `libEGL.so.1` and their like, too: for systems without libglvnd, whose programs would not look
    /// for a vendor's.
    #[must_use]
    pub fn with_own_libgl(mut self) -> Self {
        let library = self.entries.iter().find(|entry| matches!(entry.content, Content::Copy(_)));
        if let Some(library) = library.map(|entry| entry.path.clone()) {
            let content = Content::Link(LIBRARY.to_owned());
            let link = |name| Entry { path: library.with_file_name(name), content: content.clone() };
            self.entries.extend(STAND_INS.map(link));
        }
        self
    }

    /// Where everything goes.
    ///
    /// # Errors
    /// [`InstallError::Path`] where a folder's name would have to be quoted differently by each who reads it.
    pub fn new(whom: &For, parts: Parts<'_>) -> Result<Self, InstallError> {
        let (For::Everybody(folder) | For::Prefix(folder)) = whom;
        if !folder.is_absolute() || !folder.to_str().is_some_and(|path| path.chars().all(is_plain)) {
            return Err(InstallError::Path(folder.clone()));
        }
        Ok(match whom {
            For::Everybody(root) => Self::everybody(root, parts),
            For::Prefix(prefix) => Self::prefix(prefix, parts),
        })
    }

    fn everybody(root: &Path, parts: Parts<'_>) -> Self {
        let entry = |path: &str, content| Entry { path: root.join(path), content };
        let lib = root.join(LIB.trim_start_matches('/'));
        let environment = parts.environment(LIB);
        let lines = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut entries = parts.files(&lib);
        entries.extend([
            entry("etc/ld.so.conf.d/vmgl.conf", Content::Text(format!("{LIB}\n"))),
            entry(
                "etc/glvnd/egl_vendor.d/10_vmgl.json",
                Content::Text(vendor(&format!("{LIB}/libEGL_vmgl.so.0"))),
            ),
            entry("etc/environment", Content::Lines(lines)),
        ]);
        let folders = vec![lib];
        Self { entries, folders, environment, linker: Some(root.to_owned()) }
    }

    fn prefix(prefix: &Path, parts: Parts<'_>) -> Self {
        let (lib, vendors) = (prefix.join("lib/vmgl"), prefix.join("share/vmgl/egl_vendor.d"));
        let entry = |path: PathBuf, content| Entry { path, content };
        let shown = |path: &Path| path.display().to_string();
        let dirs = format!("{}:/etc/glvnd/egl_vendor.d:/usr/share/glvnd/egl_vendor.d", shown(&vendors));
        let mut environment = parts.environment(&shown(&lib));
        environment.push(("__EGL_VENDOR_LIBRARY_DIRS".to_owned(), dirs));
        environment.push(("LD_LIBRARY_PATH".to_owned(), shown(&lib)));
        let mut script = "# OpenGL programs that are started from here on draw by vmgl.\n".to_owned();
        for (name, value) in &environment {
            let kept = if name == "LD_LIBRARY_PATH" { "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" } else { "" };
            script.push_str(&format!("export {name}={}{kept}\n", quoted(value)));
        }
        let egl = lib.join("libEGL_vmgl.so.0");
        let mut entries = parts.files(&lib);
        entries.extend([
            entry(vendors.join("10_vmgl.json"), Content::Text(vendor(&shown(&egl)))),
            entry(prefix.join("share/vmgl/env.sh"), Content::Text(script)),
        ]);
        let folders = vec![lib, vendors, prefix.join("share/vmgl")];
        Self { entries, folders, environment, linker: None }
    }
}

/// A word of a shell's.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The renderer's address that a script of ours sets, if it sets one.
#[must_use]
pub fn renderer_of(script: &str) -> Option<String> {
    let value = script.lines().find_map(|line| line.strip_prefix("export VMGL_GL="))?;
    Some(value.strip_prefix('\'')?.strip_suffix('\'')?.replace(r"'\''", "'"))
}

/// What libglvnd reads of a vendor of EGL.
fn vendor(library: &str) -> String {
    format!("{:#}\n", json!({ "file_format_version": "1.0.0", "ICD": { "library_path": library } }))
}

/// Whether a text is one that we write.
pub(super) fn is_ours(text: &str) -> bool {
    text.contains(MARK)
}

/// A file's text with our lines, once, at its end.
pub(super) fn with_lines(text: &str, lines: &[String]) -> String {
    let mut text = without_lines(text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in [BEGIN].into_iter().chain(lines.iter().map(String::as_str)).chain([END]) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A file's text without them. Where the end mark was lost, only the mark before them goes: what follows may be anybody's.
pub(super) fn without_lines(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is = |line: &&str, mark: &str| line.trim_end() == mark;
    let Some(begin) = lines.iter().position(|line| is(line, BEGIN)) else { return text.to_owned() };
    let length = lines[begin..].iter().position(|line| is(line, END)).unwrap_or(0);
    lines[..begin].iter().chain(&lines[begin + length + 1..]).copied().collect()
}
