//! The agent's side of a desk: the library as `vmgl-proxy gl install` puts it in place, and programs that get it.

use std::path::{Path, PathBuf};
use std::process::Command;

use vmgl_proxy::gl::install::{self, For, Layout, Parts};

use crate::desk::Desk;
use crate::peers::unix;

/// The library as it was built.
pub(crate) fn built() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
    install::library_beside(program).expect("the library is built with the tests")
}

/// An installation for whoever takes its environment.
pub(crate) struct Agent {
    environment: Vec<(String, String)>,
}

impl Agent {
    pub(crate) fn installed(desk: &Desk) -> Self {
        Self::with(desk, |layout| layout)
    }

    /// The library stands in for libGL, libEGL and their like.
    pub(crate) fn standing_in(desk: &Desk) -> Self {
        Self::with(desk, Layout::with_own_libgl)
    }

    fn with(desk: &Desk, change: impl FnOnce(Layout) -> Layout) -> Self {
        let prefix = desk.door.parent().unwrap().join("agent");
        let (library, to) = (built(), unix(&desk.door));
        // The program stays where it is: it is large as tests have it.
        let parts = Parts { library: &library, to: Some(&to), proxy: None };
        let layout = change(Layout::new(&For::Prefix(prefix), parts).unwrap());
        install::install(&layout).unwrap();
        let mut environment = layout.environment;
        environment.push(("VMGL_PROXY".to_owned(), env!("CARGO_BIN_EXE_vmgl-proxy").to_owned()));
        environment.push(("DISPLAY".to_owned(), desk.server.display.clone()));
        Self { environment }
    }

    /// A command whose OpenGL travels to the desk.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}
