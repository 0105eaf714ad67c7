//! The agent's serial port: it starts jobs and hears when they end, at whichever site that is.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The agent's serial port, heard at both sites.
#[derive(Debug)]
pub(crate) struct Console {
    lines: Receiver<(Instant, String)>,
    typed: [Sender<String>; 2],
    end: Arc<AtomicBool>,
}

impl Console {
    /// Hears an agent whose sites' folders are below this one.
    pub(crate) fn hear(folder: &Path, agent: &str) -> Console {
        let (sender, lines) = channel();
        let end = Arc::new(AtomicBool::new(false));
        let typed = ["a", "b"].map(|site| {
            let (typed, words) = channel();
            let (end, sender) = (Arc::clone(&end), sender.clone());
            let folder = folder.join(site).join("agents").join(agent);
            std::thread::spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    if let Ok(stream) = connect(&folder) {
                        listen(stream, &sender, &words);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            typed
        });
        Console { lines, typed, end }
    }

    /// What was said so far is of no interest.
    pub(crate) fn forget(&self) {
        self.lines.try_iter().for_each(drop);
    }

    /// All lines that were said so far.
    pub(crate) fn heard(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter().map(|(_, line)| line)
    }

    /// The next line, whatever it says.
    pub(crate) fn next(&self, patience: Duration) -> Result<String> {
        let (_, line) =
            self.lines.recv_timeout(patience).context("the agent does not say what was waited for")?;
        Ok(line)
    }

    /// Waits for a line; gives when it was heard.
    pub(crate) fn wait(&self, patience: Duration, is_it: impl Fn(&str) -> bool) -> Result<(Instant, String)> {
        let end = Instant::now() + patience;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let heard =
                self.lines.recv_timeout(rest).context("the agent does not say what was waited for")?;
            if heard.1.starts_with("bad ") {
                bail!("the agent says: {}", heard.1);
            }
            if is_it(&heard.1) {
                return Ok(heard);
            }
        }
    }

    /// Types a word at it, at this site.
    pub(crate) fn say(&self, site: &str, word: &str) -> Result<()> {
        self.typed[usize::from(site == "b")].send(word.to_owned()).context("nobody hears the agent")
    }

    /// Has it do its job, which may end at another site; the seconds that took.
    pub(crate) fn job(&self, site: &str, patience: Duration) -> Result<f64> {
        let began = self.begins(site, patience)?;
        self.ends(began, patience)
    }

    /// Has it begin its job; gives when it did.
    pub(crate) fn begins(&self, site: &str, patience: Duration) -> Result<Instant> {
        self.say(site, "job")?;
        Ok(self.wait(patience, |line| line == "job begins")?.0)
    }

    /// Waits for the end of the job that began then; the seconds that it took.
    pub(crate) fn ends(&self, began: Instant, patience: Duration) -> Result<f64> {
        let (ended, said) = self.wait(patience, |line| line.starts_with("job ends"))?;
        if said != "job ends: exit status: 0" {
            bail!("the agent's job failed: {said}");
        }
        Ok((ended - began).as_secs_f64())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
    }
}

/// However long the folder's name is: a socket's address holds 107 bytes.
fn connect(folder: &PathBuf) -> std::io::Result<UnixStream> {
    let open = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/console.sock", open.as_raw_fd()))
}

/// Until the port closes.
fn listen(stream: UnixStream, sender: &Sender<(Instant, String)>, words: &Receiver<String>) {
    if stream.set_read_timeout(Some(Duration::from_millis(20))).is_err() {
        return;
    }
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        if let Ok(word) = words.try_recv()
            && writeln!(writer, "{word}").is_err()
        {
            return;
        }
        match reader.read_line(&mut line) {
            // The rest of a line that was begun here is said at the other site.
            Ok(_) if !line.ends_with('\n') => return,
            Ok(_) => {
                sender.send((Instant::now(), line.trim().to_owned())).ok();
                line.clear();
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
