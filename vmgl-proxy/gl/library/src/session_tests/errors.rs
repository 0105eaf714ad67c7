//! What goes wrong at the renderer, and is told late.

use super::{FAILS, flush, function, session, waits};

#[test]
fn an_error_of_the_renderers_is_heard_by_the_context_that_made_it_once_it_is_there() {
    let (_seen, _folder) = session(&[]);
    assert_eq!(gl!("glGetError"() -> u32), 0);
    gl!("glStencilMask"(FAILS => u32));
    flush();
    // Its answer comes behind what went wrong before it; asking for errors waits for nothing.
    gl!("glBindFramebuffer"(0x8d40 => u32, 1 => u32));
    gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32);
    assert_eq!(gl!("glGetError"() -> u32), 0x0500);
    assert_eq!(gl!("glGetError"() -> u32), 0, "that of another context is not this one's");
    assert_eq!(waits(), 1);
}
