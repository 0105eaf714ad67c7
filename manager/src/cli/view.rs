//! `snowbird view`: starts what leads to an agent's screen, and becomes the viewer.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::args_agents::ViewArgs;
use super::told::{Told, print};
use crate::agent::store::Kept;
use crate::control::{Here, folder};
use crate::display::guest::{self, Screen};
use crate::display::{self, OpenError, ProxyError, opengl};
use crate::sites::Sites;

/// The viewer, unless another one is named.
const VIEWER: &str = "vncviewer";

pub(super) async fn view(here: &Here, kept: &Kept, args: &ViewArgs, json: bool) -> Result<()> {
    let name = &kept.agent.name;
    if args.gl.is_some() {
        drawn_at_home(here, kept)?;
    }
    let wanted = match args.guest {
        // The machine must run for anybody to answer; whether it does is said by what opens its screen.
        Some(port) => {
            let told = |error: &guest::GuestError| match error.hint() {
                Some(hint) => Told::from(error).hint(hint),
                None => Told::from(error),
            };
            let named = Some(port).filter(|port| *port > 0);
            Some(Screen::Guest { port: guest::find(here, name, named).await.map_err(|e| told(&e))? })
        }
        None => args.machine.then_some(Screen::Machine),
    };
    let folder = folder(&here.home, name);
    if let Some(wanted) = wanted {
        wanted.keep(&folder).context("which screen is wanted could not be noted")?;
    }
    let address = display::open(here, name).await.map_err(|error| match &error {
        OpenError::Proxy(ProxyError::Missing) => {
            Told::from(&error).hint("put vmgl-proxy beside snowbird, or into the PATH")
        }
        _ => Told::from(&error).hint(format!("`snowbird status {name}` tells how it stands")),
    })?;
    let gl = door(&folder, args).await?;
    if args.print || json {
        let screen = Screen::read(&folder);
        let mut told =
            json!({ "agent": name, "address": address, "uri": format!("vnc://{address}"), "screen": screen });
        if let Some(gl) = &gl {
            told["gl"] = gl.as_str().into();
        }
        print(json, &told, || gl.iter().fold(address.clone(), |text, gl| format!("{text}\n{gl}")))?;
    } else if let Some(gl) = &gl {
        print(false, &Value::Null, || for_the_agent(gl))?;
    }
    if args.print {
        return Ok(());
    }
    let named = std::env::var("SNOWBIRD_VIEWER").unwrap_or_else(|_| VIEWER.to_owned());
    let words = shell_words::split(&named).context("$SNOWBIRD_VIEWER cannot be taken apart into words")?;
    let (program, more) = words.split_first().context("$SNOWBIRD_VIEWER is empty")?;
    // It takes this process's place: whoever ends the one ends the other, and nothing else.
    let error = Command::new(program).args(more).arg(for_viewers(&address)).exec();
    let told = Told::new(format!("the viewer {program:?} cannot be started: {error}"));
    Err(told.hint("name another one with $SNOWBIRD_VIEWER, or use --print").into())
}

/// The agent's programs reach the loopback of its home, and no other.
fn drawn_at_home(here: &Here, kept: &Kept) -> Result<(), Told> {
    let own = Sites::read(&here.home).map_err(Told::of_site)?.name;
    let (name, home) = (&kept.agent.name, &kept.agent.home);
    if *home == own {
        return Ok(());
    }
    let told =
        Told::new(format!("what {name} draws with OpenGL is drawn at its home, which is site {home:?}"));
    Err(told.hint(format!("say it there, or make this site its home: snowbird home {name} --to {own}")))
}

/// Opens or shuts the door for the agent's OpenGL, as is said; where the agent finds it, if it was opened.
async fn door(folder: &Path, args: &ViewArgs) -> Result<Option<String>, Told> {
    if args.no_gl {
        opengl::shut(folder).await.map_err(|error| Told::from(&error))?;
    }
    let Some(port) = args.gl else { return Ok(None) };
    match opengl::open(folder, Some(port).filter(|port| *port > 0)).await {
        Ok(port) => Ok(Some(opengl::inside(port))),
        Err(error) => {
            Err(Told::from(&error).hint("if the port is somebody else's, name another one: --gl=PORT"))
        }
    }
}

/// What is to be done in the agent.
fn for_the_agent(gl: &str) -> String {
    format!("its OpenGL programs are drawn here; once, as root in the agent: vmgl-proxy gl install --to {gl}")
}

/// VNC's programs take a number after one colon for a display's, after two for a port's.
fn for_viewers(address: &str) -> String {
    address.replacen(':', "::", 1)
}

/// A display that is kept, for people.
pub(super) fn line(view: &Value) -> String {
    let viewers = view["viewers"].as_u64().unwrap_or(0);
    let mut words = vec![
        view["address"].as_str().unwrap_or("-").to_owned(),
        format!("{viewers} viewer{}", if viewers == 1 { "" } else { "s" }),
    ];
    if view["phase"] == "away" {
        words.push("its screen cannot be reached now".to_owned());
    }
    if let Some(gl) = view["gl"].as_str() {
        words.push(format!("OpenGL by {gl}"));
    }
    for (name, unit) in [("inputs", "inputs in 10 s"), ("fps", "frames/s"), ("response", "ms to an answer")] {
        if let Some(value) = view[name].as_f64() {
            words.push(format!("{value:.0} {unit}"));
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_so_that_no_viewer_takes_it_for_a_display() {
        assert_eq!(for_viewers("127.0.0.1:40123"), "127.0.0.1::40123");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let view = json!({ "address": "127.0.0.1:1", "viewers": 1, "phase": "attached", "inputs": 12.4, "fps": null });
        assert_eq!(line(&view), "127.0.0.1:1, 1 viewer, 12 inputs in 10 s");
    }
}
