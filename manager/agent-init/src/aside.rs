//! What the same file is when it is not PID 1: programs that agents of benches run.
//!
//! ```text
//! agent-init surfaces FROM TO PASSES   surfaces in a dataset, smoothed so often, to a file of points; FROM is ADDRESS:/PATH, by NFS
//! agent-init look FILE                 those points on this terminal, by keys; nothing is drawn while no key is typed
//! ```

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use agent_init::field::{SIDE, STEP_BYTES};
use agent_init::look::{Look, steps};
use agent_init::surface::{Mesh, extract};

/// Where the dataset is mounted.
const DATA: &str = "/data";
/// The ground moves that fast there.
const LEVEL: u16 = 37_000;
/// Points of a step that are shown.
const SHOWN: usize = 500;
/// A key's motion: so many frames, one each.
const FRAMES: u32 = 18;
const FRAME: Duration = Duration::from_millis(33);

/// Does what the words of the command line say.
pub(crate) fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["surfaces", from, to, passes] => surfaces(from, Path::new(to), passes),
        ["look", file] => look(Path::new(file)),
        _ => Err(io::Error::other("the words are: surfaces FROM TO PASSES, or look FILE")),
    }
}

fn surfaces(from: &str, to: &Path, passes: &str) -> io::Result<()> {
    let passes = passes.parse().map_err(io::Error::other)?;
    mount(from)?;
    let mut files: Vec<_> = std::fs::read_dir(DATA)?.collect::<io::Result<_>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut text = String::new();
    for file in files {
        let mut bytes = Vec::with_capacity(STEP_BYTES);
        std::fs::File::open(file.path())?.take(STEP_BYTES as u64).read_to_end(&mut bytes)?;
        let samples: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let mut mesh = extract(&samples, SIDE, LEVEL);
        mesh.smooth(passes);
        text.push_str(&points(&mesh));
        text.push('\n');
    }
    rustix::mount::unmount(DATA, rustix::mount::UnmountFlags::empty())?;
    std::fs::write(to, text)
}

/// Some of a surface's points, within the unit cube around 0; those that are seen edge-on from the front are left out.
fn points(mesh: &Mesh) -> String {
    let middle = SIDE as f32 / 2.0;
    let seen = mesh.points.iter().zip(mesh.normals()).filter(|(_, normal)| normal[2].abs() > 0.1);
    let seen: Vec<_> = seen.map(|(point, _)| point.map(|part| (part - middle) / middle * 0.6)).collect();
    let shown = seen.iter().step_by(seen.len().div_ceil(SHOWN).max(1));
    shown.map(|[x, y, z]| format!("{x:.3} {y:.3} {z:.3}\n")).collect()
}

/// Mounts ADDRESS:/PATH.
fn mount(from: &str) -> io::Result<()> {
    let (address, _) = from.split_once(":/").ok_or_else(|| io::Error::other("FROM is ADDRESS:/PATH"))?;
    let options = format!("vers=4.1,addr={address},clientaddr=10.0.2.15,proto=tcp,sec=sys,ro");
    let options = std::ffi::CString::new(options)?;
    let flags = rustix::mount::MountFlags::RDONLY;
    Ok(rustix::mount::mount(from, DATA, "nfs4", flags, &*options)?)
}

fn look(file: &Path) -> io::Result<()> {
    // Keys as they come, and nothing shown that this did not draw.
    let raw = std::process::Command::new("stty").args(["raw", "-echo"]).status()?;
    if !raw.success() {
        return Err(io::Error::other(format!("stty: {raw}")));
    }
    let keys = keys();
    let mut out = io::stdout().lock();
    out.write_all(b"\x1b[2J\x1b[?25l")?;
    let (mut look, mut points) = (Look::default(), Vec::new());
    while let Ok(mut key) = keys.recv() {
        if points.is_empty() || key == b'n' {
            points = std::fs::read_to_string(file).map(|text| steps(&text)).unwrap_or_default();
        }
        look = look.stepped(key, points.len());
        let mut rest = FRAMES;
        let mut due = Instant::now();
        while rest > 0 {
            look = look.turned(key);
            out.write_all(look.frame(points.get(look.step).map_or(&[], Vec::as_slice)).as_bytes())?;
            out.flush()?;
            rest -= 1;
            // A frame that is late is not made up for.
            due = Instant::max(due + FRAME, Instant::now());
            match keys.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(next) => {
                    look = look.stepped(next, points.len());
                    (key, rest) = (next, FRAMES);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
    Ok(())
}

fn keys() -> Receiver<u8> {
    let (tell, keys) = channel();
    std::thread::spawn(move || {
        io::stdin().lock().bytes().map_while(Result::ok).try_for_each(|key| tell.send(key).ok())
    });
    keys
}
