//! `docs/gl-coverage.md`: what is there of each command, made from the same tables as the code.

use std::fmt::Write as _;

use crate::{Registry, Treatment};

/// The whole document.
pub fn document(registry: &Registry) -> String {
    let count = |treatment| registry.entries.iter().filter(|entry| entry.treatment == treatment).count();
    let mut text = format!(
        "# OpenGL commands that VMGL has\n\n\
         Made from the tables in `vmgl-proxy/gl/spec` (`cargo run -p vmgl-gl-spec --example coverage`, which a test holds to them).\n\
         The set is OpenGL 1.0 to {}.{} with its compatibility profile, OpenGL ES 1.1, 2.0 and 3.0, and a few commands of extensions.\n\n\
         - *generated*: {} commands, encoded, decoded and called as the registry tells;\n\
         - *hand-written*: {} that travel, whose entry in the agent is written by hand;\n\
         - *local*: {} that are answered in the agent and never travel;\n\
         - *missing*: {}; calling one is an error of OpenGL's (`GL_INVALID_OPERATION`) and a line in the log.\n\n\
         GLX is 1.4 and EGL 1.4, with all their functions. What is drawn on a pixmap of GLX's comes into X's when it is finished \
         (`glFinish`, `glFlush`, `glXWaitGL`, another drawable, `glXSwapBuffers`), for which the program waits; what X had drawn there \
         before is not seen by OpenGL. EGL has no pixmaps, and nothing is copied to them, and \
         `glXCopyContext` leaves the other context as it is (as Mesa's does) and a line in the log. Of EGL 1.5 there are neither syncs nor images; \
         where the library is itself `libEGL.so.1` their functions are there to be linked with, and fail. EGL draws on X11, and gives no display of another platform.\n\n\
         Other names of the same function (`glBindBufferARB`) are not listed. *waits*: the caller waits for the renderer's answer.\n\n\
         | Command | Since | How |\n| --- | --- | --- |\n",
        crate::rules::NEWEST.0,
        crate::rules::NEWEST.1,
        count(Treatment::Generated),
        count(Treatment::Hand),
        count(Treatment::Local),
        count(Treatment::Missing),
    );
    for entry in &registry.entries {
        let how = match entry.treatment {
            Treatment::Generated => "generated",
            Treatment::Hand => "hand-written",
            Treatment::Local => "local",
            Treatment::Missing => "**missing**",
        };
        let plan = entry.plan.and_then(|index| registry.commands.get(index));
        let waits = plan.is_some_and(|plan| plan.answers) && entry.treatment == Treatment::Generated;
        // Writing to a string does not fail.
        let _done = writeln!(
            text,
            "| `{}` | {} | {how}{} |",
            entry.name,
            entry.since,
            if waits { ", waits" } else { "" }
        );
    }
    text
}
