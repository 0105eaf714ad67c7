//! A user who types at the agent, line after line.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A user who types line after line.
#[derive(Debug)]
pub(super) struct Typist {
    end: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Typist {
    /// Each line by a command of its own, until stopped.
    pub(super) fn start(line: impl Fn() -> Command) -> Typist {
        let end = Arc::new(AtomicBool::new(false));
        let mut command = line();
        let mine = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            while !mine.load(Ordering::SeqCst) {
                let typed = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                wait(typed.ok(), &mine);
            }
        });
        Typist { end, thread: Some(thread) }
    }

    pub(super) fn stop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Waits until it has typed, or shall not any more.
fn wait(child: Option<Child>, end: &AtomicBool) {
    let Some(mut child) = child else { return std::thread::sleep(Duration::from_millis(200)) };
    while !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
        if end.load(Ordering::SeqCst) {
            child.kill().ok();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
