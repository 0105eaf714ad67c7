//! Installations below folders of their own.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::layout::{with_lines, without_lines};
use super::*;

/// All files below a folder, with their bytes; a link's is where it leads.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            all.extend(files(&path));
        } else if kind.is_symlink() {
            all.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn parts<'a>(library: &'a Path, to: Option<&'a str>) -> Parts<'a> {
    Parts { library, to, proxy: None }
}

/// A library, and a system with an environment of its own.
fn system() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (library, root) = (dir.path().join("built.so"), dir.path().join("root"));
    fs::write(&library, b"library").unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/environment"), "PATH=/bin\nLANG=C").unwrap();
    (dir, library, root)
}

#[test]
fn what_was_installed_twice_is_removed_to_what_was_there_before() {
    let (_dir, library, root) = system();
    let before = files(&root);
    let layout = Layout::new(&For::Everybody(root.clone()), parts(&library, Some("tcp:desk:7000"))).unwrap();
    let first = install(&layout).unwrap();
    assert!(first.iter().all(|(_, done)| *done == Done::Written), "{first:?}");
    let installed = files(&root);
    let again = install(&layout).unwrap();
    assert!(again.iter().all(|(_, done)| *done == Done::AsItWas), "{again:?}");
    assert_eq!(files(&root), installed);

    let environment = fs::read_to_string(root.join("etc/environment")).unwrap();
    assert!(environment.starts_with("PATH=/bin\nLANG=C\n# vmgl: begin"), "{environment}");
    assert!(environment.contains("\n__GLX_VENDOR_LIBRARY_NAME=vmgl\nVMGL_GL=tcp:desk:7000\n# vmgl: end\n"));

    remove(&layout).unwrap();
    let mut left = files(&root);
    let environment = left.remove(&root.join("etc/environment")).unwrap();
    assert_eq!(environment, b"PATH=/bin\nLANG=C\n");
    assert_eq!(left.len() + 1, before.len(), "{left:?}");
    assert!(!root.join("usr/local/lib/vmgl").exists());
    // And there is nothing to remove any more.
    assert!(remove(&layout).unwrap().iter().all(|(_, done)| *done == Done::AsItWas));
}

#[test]
fn another_library_or_renderer_takes_the_place_of_the_one_before() {
    let (_dir, library, root) = system();
    let whom = For::Everybody(root.clone());
    install(&Layout::new(&whom, parts(&library, Some("tcp:desk:7000"))).unwrap()).unwrap();
    fs::write(&library, b"a newer library").unwrap();
    install(&Layout::new(&whom, parts(&library, None)).unwrap()).unwrap();
    assert_eq!(fs::read(root.join("usr/local/lib/vmgl/libGLX_vmgl.so.0")).unwrap(), b"a newer library");
    let environment = fs::read_to_string(root.join("etc/environment")).unwrap();
    assert!(!environment.contains("VMGL_GL"), "{environment}");
    assert_eq!(environment.matches("vmgl: begin").count(), 1);
}

#[test]
fn a_prefix_holds_all_of_it_and_a_script_that_turns_it_on() {
    let (dir, library, _) = system();
    let prefix = dir.path().join("mine");
    let layout = Layout::new(&For::Prefix(prefix.clone()), parts(&library, Some("unix:/run/it's"))).unwrap();
    install(&layout).unwrap();
    let script = fs::read_to_string(prefix.join("share/vmgl/env.sh")).unwrap();
    assert!(script.contains(r"export VMGL_GL='unix:/run/it'\''s'"), "{script}");
    assert_eq!(renderer_of(&script).as_deref(), Some("unix:/run/it's"));
    let told = std::process::Command::new("sh")
        .args(["-c", ". \"$0\" && printf '%s %s' \"$LD_LIBRARY_PATH\" \"$VMGL_GL\""])
        .arg(prefix.join("share/vmgl/env.sh"))
        .env("LD_LIBRARY_PATH", "/else")
        .output()
        .unwrap();
    let lib = prefix.join("lib/vmgl");
    assert_eq!(String::from_utf8(told.stdout).unwrap(), format!("{}:/else unix:/run/it's", lib.display()));
    let vendor = fs::read_to_string(prefix.join("share/vmgl/egl_vendor.d/10_vmgl.json")).unwrap();
    let vendor: serde_json::Value = serde_json::from_str(&vendor).unwrap();
    let names = Path::new(vendor["ICD"]["library_path"].as_str().unwrap());
    assert_eq!(fs::read(names).unwrap(), b"library", "the link leads to the library");
    remove(&layout).unwrap();
    assert_eq!(files(&prefix), BTreeMap::new());
}

#[test]
fn the_library_has_the_names_of_the_systems_where_that_is_wanted_and_no_longer_when_it_is_removed() {
    let (_dir, library, root) = system();
    let without = Layout::new(&For::Everybody(root.clone()), parts(&library, None)).unwrap();
    let layout = without.clone().with_own_libgl();
    let folder = root.join("usr/local/lib/vmgl");
    install(&without).unwrap();
    assert!(!folder.join("libGL.so.1").exists() && !folder.join("libEGL.so.1").exists());
    install(&layout).unwrap();
    for name in ["libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libGLESv1_CM.so.1", "libOpenGL.so.0"] {
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"library", "{name}");
    }
    remove(&layout).unwrap();
    assert!(!folder.exists());
}

#[test]
fn what_was_unpacked_to_install_from_is_not_needed_any_more() {
    let (dir, library, root) = system();
    let program = dir.path().join("un packed");
    fs::write(&program, b"program").unwrap();
    let prefix = dir.path().join("mine");
    let mine = prefix.join("lib/vmgl/vmgl-proxy");
    for (whom, named, there) in [
        (
            For::Everybody(root.clone()),
            "/usr/local/lib/vmgl/vmgl-proxy",
            root.join("usr/local/lib/vmgl/vmgl-proxy"),
        ),
        (For::Prefix(prefix), mine.to_str().unwrap(), mine.clone()),
    ] {
        let parts = Parts { proxy: Some(&program), ..parts(&library, None) };
        let layout = Layout::new(&whom, parts).unwrap();
        install(&layout).unwrap();
        assert!(layout.environment.contains(&("VMGL_PROXY".to_owned(), named.to_owned())), "{layout:?}");
        assert_eq!(fs::read(&there).unwrap(), b"program");
        remove(&layout).unwrap();
        assert!(!there.parent().unwrap().exists());
    }
    let without = Layout::new(&For::Everybody(root), parts(&library, None)).unwrap();
    assert!(without.environment.iter().all(|(name, _)| name != "VMGL_PROXY"), "that in PATH");
}

#[test]
fn files_of_others_are_left_and_said() {
    let (_dir, library, root) = system();
    let layout = Layout::new(&For::Everybody(root.clone()), parts(&library, None)).unwrap();
    install(&layout).unwrap();
    let json = root.join("etc/glvnd/egl_vendor.d/10_vmgl.json");
    fs::write(&json, "somebody's").unwrap();
    assert!(matches!(remove(&layout), Err(InstallError::Foreign(path)) if path == json));
    assert_eq!(fs::read(&json).unwrap(), b"somebody's");
}

#[test]
fn a_folder_that_an_environment_cannot_name_is_refused() {
    for odd in ["/with a blank", "/with:colon", "relative", "/quo'te", "/new\nline"] {
        let made = Layout::new(&For::Prefix(PathBuf::from(odd)), parts(Path::new("/l"), None));
        assert!(matches!(made, Err(InstallError::Path(_))), "{odd}");
    }
}

#[test]
fn lines_whose_end_was_lost_take_nothing_with_them() {
    let text = with_lines("A=1\n", &["B=2".to_owned()]);
    assert_eq!(without_lines(&text), "A=1\n");
    let lost = text.replace("# vmgl: end\n", "C=3\n");
    assert_eq!(without_lines(&lost), "A=1\nB=2\nC=3\n");
}

#[test]
fn the_library_is_found_beside_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("vmgl-proxy");
    assert!(matches!(library_beside(&program), Err(InstallError::NoLibrary(_))));
    let library = dir.path().join("libGLX_vmgl.so");
    fs::write(&library, b"").unwrap();
    assert_eq!(library_beside(&program).unwrap(), library);
}
