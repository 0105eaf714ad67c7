//! Results of queries: whether one is there is asked of the renderer, and then what it is; a program that asks once a picture,
//! to take the result when it is there, waits for neither.
//!
//! "Not yet" is a right answer for as long as the result has not come here. A program that asks again within the same picture
//! has nothing else to do: it waits, for what is then the truth.

use vmgl_gl_stream::Command;

use crate::core::Cx;
use crate::link::Answer;
use crate::raw;
use crate::shadow::queries::Step;

const RESULT: u32 = 0x8866;
const AVAILABLE: u32 = 0x8867;
const TIME_ELAPSED: u32 = 0x88bf;
const TIMESTAMP: u32 = 0x8e28;
/// OpenGL ES, as the shadow has it.
const ES: u32 = 2;

/// What the program is told.
enum Told {
    Value(u64),
    /// The question is none of those, or makes no sense: the renderer says what is wrong with it.
    Ask,
    /// The renderer is lost: the call is made again.
    Nothing,
}

macro_rules! forms {
    ($($function:ident, $Command:ident, $number:ty, $params_cap:literal;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, id: u32, pname: u32, params: *mut $number) {
            match told(cx, id, pname) {
                // SAFETY: the caller's. What does not fit is the largest that does.
                Told::Value(value) => unsafe {
                    raw::set(params, <$number>::try_from(value).unwrap_or(<$number>::MAX));
                },
                Told::Ask => {
                    let params_cap = $params_cap;
                    if let Some(answer) = cx.ask(|reply| Command::$Command { reply, id, pname, params_cap }) {
                        // SAFETY: the caller's.
                        unsafe { raw::put(params.cast(), answer.outs().next(), params_cap) };
                    }
                }
                Told::Nothing => {}
            }
        }
    )*};
}

forms! {
    get_query_objectiv, GetQueryObjectiv, i32, 4;
    get_query_objectuiv, GetQueryObjectuiv, u32, 4;
    get_query_objecti64v, GetQueryObjecti64v, i64, 8;
    get_query_objectui64v, GetQueryObjectui64v, u64, 8;
}

fn told(cx: &mut Cx<'_>, id: u32, pname: u32) -> Told {
    for reply in cx.state.query_results.stale() {
        cx.wire.link.disregard(reply);
    }
    let Some(target) = cx.state.ended_query(id) else { return Told::Ask };
    match pname {
        AVAILABLE => available(cx, id, target),
        RESULT => result(cx, id, target),
        _ => Told::Ask,
    }
}

fn available(cx: &mut Cx<'_>, id: u32, target: u32) -> Told {
    let picture = cx.wire.pictures;
    let Some((mut step, last)) = cx.state.query_results.get(id) else {
        let step = ask_availability(cx, id);
        cx.state.query_results.set(id, step, picture);
        return Told::Value(0);
    };
    loop {
        // What has come of it so far is kept, whatever comes next.
        cx.state.query_results.set(id, step, picture);
        let (Step::Availability(reply) | Step::Result(reply)) = step else { return Told::Value(1) };
        let answer = match cx.wire.link.answered(reply) {
            Some(answer) => answer,
            None if last != picture => return Told::Value(0),
            None => match wait(cx, reply) {
                Some(answer) => answer,
                None => return Told::Nothing,
            },
        };
        step = match (step, number(&answer)) {
            (Step::Availability(_), Some(0)) => {
                let again = ask_availability(cx, id);
                cx.state.query_results.set(id, again, picture);
                return Told::Value(0);
            }
            (Step::Availability(_), Some(_)) => ask_result(cx, id, target),
            // Who cannot say it now never can: nobody shall go on asking.
            (_, value) => Step::Known(value.unwrap_or(0)),
        };
    }
}

fn result(cx: &mut Cx<'_>, id: u32, target: u32) -> Told {
    let before = cx.state.query_results.get(id);
    let reply = match before.map(|(step, _)| step) {
        Some(Step::Known(value)) => return Told::Value(value),
        Some(Step::Result(reply)) => reply,
        Some(Step::Availability(reply)) => {
            cx.wire.link.disregard(reply);
            asked(cx, id, target)
        }
        None => asked(cx, id, target),
    };
    let Some(answer) = wait(cx, reply) else { return Told::Nothing };
    let value = number(&answer).unwrap_or(0);
    cx.state.query_results.set(id, Step::Known(value), cx.wire.pictures);
    Told::Value(value)
}

/// Asks for the result, and keeps that it was asked.
fn asked(cx: &mut Cx<'_>, id: u32, target: u32) -> u32 {
    let reply = put_result(cx, id, target);
    cx.state.query_results.set(id, Step::Result(reply), cx.wire.pictures);
    reply
}

/// Waits for an answer; none if the call is made again. A renderer that is gone for good answers with nothing.
fn wait(cx: &mut Cx<'_>, reply: u32) -> Option<Answer> {
    // Which of the two forms it was makes no difference to whoever looks what is waited for.
    let opcode = Command::GetQueryObjectuiv { reply, id: 0, pname: 0, params_cap: 0 }.opcode();
    let answer = cx.wire.wait(reply, opcode);
    if cx.wire.is_unanswered() { None } else { Some(answer.unwrap_or_default()) }
}

fn ask_availability(cx: &mut Cx<'_>, id: u32) -> Step {
    let reply = cx.wire.reply();
    cx.wire.put(&Command::GetQueryObjectuiv { reply, id, pname: AVAILABLE, params_cap: 4 });
    Step::Availability(reply)
}

fn ask_result(cx: &mut Cx<'_>, id: u32, target: u32) -> Step {
    Step::Result(put_result(cx, id, target))
}

/// Results are asked for in all their bits where the renderer has a function for that.
fn put_result(cx: &mut Cx<'_>, id: u32, target: u32) -> u32 {
    let (reply, pname) = (cx.wire.reply(), RESULT);
    let has = || cx.caps.extensions.iter().any(|name| name == "GL_ARB_timer_query");
    let is_wide = cx.state.api != ES && (matches!(target, TIME_ELAPSED | TIMESTAMP) || has());
    cx.wire.put(&if is_wide {
        Command::GetQueryObjectui64v { reply, id, pname, params_cap: 8 }
    } else {
        Command::GetQueryObjectuiv { reply, id, pname, params_cap: 4 }
    });
    reply
}

/// The number of an answer; none if the renderer could not carry the question out.
fn number(answer: &Answer) -> Option<u64> {
    let bytes = answer.outs().next()?;
    let short = || bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes).into());
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).or_else(short)
}
