//! All that is served as a file: the page, which is in the program, and noVNC's modules, which the display proxy's shelf reads
//! once from where they are installed.
//!
//! Invariant: a request chooses among what was there at the start and opens no file.

use bytes::Bytes;
use vmgl_proxy::web::shelf::{self as modules, ADVICE, Item};

const JS: &str = "text/javascript; charset=utf-8";

/// The page's files, by the path of their address.
const PAGE: [(&str, &[u8], &str); 12] = [
    ("/", include_bytes!("page/index.html"), "text/html; charset=utf-8"),
    ("/page.css", include_bytes!("page/page.css"), "text/css; charset=utf-8"),
    ("/icon.svg", include_bytes!("page/icon.svg"), "image/svg+xml"),
    ("/js/main.js", include_bytes!("page/main.js"), JS),
    ("/js/live.js", include_bytes!("page/live.js"), JS),
    ("/js/dom.js", include_bytes!("page/dom.js"), JS),
    ("/js/chart.js", include_bytes!("page/chart.js"), JS),
    ("/js/agents.js", include_bytes!("page/agents.js"), JS),
    ("/js/agent.js", include_bytes!("page/agent.js"), JS),
    ("/js/disk.js", include_bytes!("page/disk.js"), JS),
    ("/js/log.js", include_bytes!("page/log.js"), JS),
    ("/js/screen.js", include_bytes!("page/screen.js"), JS),
];

/// See the module.
#[derive(Debug)]
pub struct Shelf {
    modules: modules::Shelf,
}

impl Shelf {
    /// The page, and noVNC where it is to be found.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn fill() -> Result<Shelf, modules::ShelfError> {
        let folder = modules::find();
        Ok(Shelf {
            modules: folder.map_or_else(
                || Ok(modules::Shelf::default()),
                |folder| modules::Shelf::with_modules(&folder),
            )?,
        })
    }

    /// What to do about noVNC, if it was not found.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        (!self.modules.is_whole()).then_some(ADVICE)
    }

    /// What stands at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Item> {
        let own = PAGE.iter().find(|(at, ..)| *at == path);
        let own = own.map(|(_, bytes, kind)| Item { bytes: Bytes::from_static(bytes), kind });
        own.or_else(|| path.starts_with("/novnc/").then(|| self.modules.get(path).cloned()).flatten())
    }
}
