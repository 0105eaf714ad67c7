//! What programs send, as it goes over the line: fuzz targets begin with it (`gl/stream/corpus/programs`, ours: it is what the
//! library says for commands of glxgears and of the programs of this folder). `WANDISK_FUZZ_KEEP=1` keeps it anew.

use std::path::Path;
use std::process::Stdio;

use vmgl_gl_stream::{Assembler, ClientHello, Command, Commands, Control, HEADER, Incoming};

use crate::agent::Agent;
use crate::desk::Desk;
use crate::peers::{Running, eventually};
use crate::relay::Relay;
use crate::unmodified::build;

/// Most pictures of a program that are kept.
const PICTURES: usize = 5;

/// The hello and the first frames of a line, whole ones, and how many pictures they end.
fn first(line: &[u8]) -> Option<(&[u8], usize)> {
    let (_, hello) = ClientHello::parse(line).unwrap()?;
    let (mut end, mut pictures) = (hello, 0);
    let (mut incoming, mut assembler) = (Incoming::new().unwrap(), Assembler::new());
    while let Some(header) = line.get(end..end + HEADER) {
        let stored = u32::from_le_bytes(*header.first_chunk().unwrap()) as usize;
        let Some(frame) = line.get(end..end + HEADER + stored) else { break };
        incoming.feed(frame);
        end += frame.len();
        let Some(frame) = incoming.next_frame().unwrap() else { continue };
        let mut commands = Commands::new(&frame.payload);
        while let Some(command) = assembler.next(&mut commands).unwrap() {
            let shows = matches!(command, Command::Control(Control::Swap { .. } | Control::Front { .. }));
            pictures += usize::from(shows);
        }
        if pictures >= PICTURES {
            break;
        }
    }
    Some((&line[..end], pictures))
}

#[test]
fn what_programs_send_are_whole_frames_of_commands_that_end_in_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let old = build(dir.path(), "draw", &["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    let new = build(dir.path(), "draw_egl", &["-l:libEGL.so.1", "-l:libX11.so.6"]);
    let keep = std::env::var_os("WANDISK_FUZZ_KEEP").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("gl/stream/corpus/programs");
    let desk = Desk::new("320x240");
    let agent = Agent::installed(&desk);
    let programs: [(&Path, &str, usize); 8] = [
        (Path::new("glxgears"), "", PICTURES),
        (old.as_path(), "lists", 1),
        (old.as_path(), "arrays", 1),
        (old.as_path(), "letters", 1),
        (old.as_path(), "shaders", 1),
        (new.as_path(), "es1", 1),
        (new.as_path(), "es3", 1),
        (new.as_path(), "select", 1),
    ];
    for (program, how, wanted) in programs {
        let relay = Relay::to(&desk.door);
        let mut command = agent.command(program);
        command.args(Some(how).filter(|how| !how.is_empty())).env("VMGL_GL", &relay.address);
        let running = Running(command.stdout(Stdio::null()).spawn().unwrap());
        let line = eventually("pictures that were sent", || {
            let said = relay.said();
            let (line, pictures) = first(&said)?;
            (pictures >= wanted).then(|| line.to_vec())
        });
        drop(running);
        if keep {
            let name = if how.is_empty() { "gears" } else { how };
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), line).unwrap();
        }
    }
}
