//! Query objects: who asks once a picture waits for nothing, who asks without end is told in the end.

use super::*;

const TIMESTAMP: u32 = 0x8e28;
const SAMPLES: u32 = 0x8914;
const RESULT: u32 = 0x8866;

fn available(id: u32) -> i32 {
    let mut value = -1;
    gl!("glGetQueryObjectiv"(id => u32, 0x8867 => u32, &raw mut value => *mut i32));
    value
}

/// The program completes a picture.
fn picture() {
    with_program(|program| program.wire.pictures += 1);
    flush();
}

fn counts(id: u32) {
    gl!("glBeginQuery"(SAMPLES => u32, id => u32));
    gl!("glEndQuery"(SAMPLES => u32));
}

/// Asks once a picture until the result is there.
fn until_available(id: u32) {
    let deadline = Instant::now() + PATIENCE;
    while available(id) == 0 {
        assert!(Instant::now() < deadline, "the query does not end");
        picture();
        std::thread::yield_now();
    }
}

fn asked(commands: &[String]) -> usize {
    commands.iter().filter(|it| it.starts_with("GetQueryObject")).count()
}

#[test]
fn who_asks_for_a_query_once_a_picture_never_waits() {
    let (_seen, _folder) = session(&[]);
    gl!("glQueryCounter"(1 => u32, TIMESTAMP => u32));
    assert_eq!(available(1), 0, "nobody can know yet");
    picture();
    until_available(1);
    let (mut long, mut signed) = (0_u64, 0_i64);
    gl!("glGetQueryObjectui64v"(1 => u32, RESULT => u32, &raw mut long => *mut u64));
    gl!("glGetQueryObjecti64v"(1 => u32, RESULT => u32, &raw mut signed => *mut i64));
    assert_eq!((long, signed), (5_000_000_001, 5_000_000_001));
    // What does not fit is the largest number that does.
    let (mut short, mut unsigned) = (0_i32, 0_u32);
    gl!("glGetQueryObjectiv"(1 => u32, RESULT => u32, &raw mut short => *mut i32));
    gl!("glGetQueryObjectuiv"(1 => u32, RESULT => u32, &raw mut unsigned => *mut u32));
    assert_eq!((short, unsigned), (i32::MAX, u32::MAX));
    assert_eq!(waits(), 0);
}

#[test]
fn who_asks_again_within_a_picture_waits_for_the_truth() {
    let (_seen, _folder) = session(&[]);
    counts(1);
    assert_eq!(available(1), 0);
    assert_eq!(waits(), 0);
    assert_eq!(available(1), 1);
    assert_eq!(waits(), 2, "whether it is there, and what it is");
    let mut samples = 0;
    gl!("glGetQueryObjectuiv"(1 => u32, RESULT => u32, &raw mut samples => *mut u32));
    assert_eq!((samples, waits()), (7, 2));
    // One that does not end: each question is a new one, and waits.
    counts(2);
    for waited in 2..5 {
        assert_eq!((available(2), waits()), (0, waited));
    }
}

#[test]
fn who_wants_the_result_at_once_waits_for_it_once() {
    let (_seen, _folder) = session(&[]);
    counts(2);
    assert_eq!(available(2), 0);
    for _ in 0..3 {
        let mut samples = 0;
        gl!("glGetQueryObjectuiv"(2 => u32, RESULT => u32, &raw mut samples => *mut u32));
        assert_eq!((samples, waits()), (7, 1));
    }
    assert_eq!(available(2), 1, "it was seen");
}

#[test]
fn an_answer_about_an_earlier_use_of_a_query_is_not_taken_for_a_later_one() {
    let (seen, _folder) = session(&[]);
    counts(1);
    picture();
    until_available(1);
    counts(1);
    assert_eq!(available(1), 0, "it was used anew");
    picture();
    // Its answer is on its way, or there, when the query is used once more.
    seen.until("GetQueryObjectuiv");
    counts(1);
    picture();
    assert_eq!(available(1), 0);
    picture();
    until_available(1);
    gl!("glStencilMask"(9 => u32));
    flush();
    // Of the first and the last use the result, too.
    let commands = seen.until("StencilMask { mask: 9 }");
    assert_eq!(asked(&commands), 5, "{commands:?}");
    // Nothing is kept that nobody will look for.
    let replies = with_program(|program| {
        program.contexts.values_mut().next().map(|it| it.state.query_results.give_up())
    });
    assert_eq!(replies, Some(Vec::new()));
    assert_eq!(waits(), 0);
}

#[test]
fn a_name_that_is_no_query_is_the_renderers_to_judge() {
    let (seen, _folder) = session(&[]);
    available(9);
    // One that goes on has no result, either.
    gl!("glBeginQuery"(SAMPLES => u32, 3 => u32));
    available(3);
    assert_eq!(waits(), 2);
    assert_eq!(asked(&seen.until("GetQueryObjectiv")), 2);
}

#[test]
fn a_query_whose_renderer_is_lost_is_asked_of_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gl.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Seen::default());
    let sees = Arc::clone(&seen);
    std::thread::spawn(move || forgetful(&listener, &sees));
    begun(path);
    counts(1);
    assert_eq!(available(1), 0);
    // The first renderer dies with this, and has answered nothing.
    assert_eq!(gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32), 0x8cd5);
    gl!("glBindFramebuffer"(0x8d40 => u32, 1 => u32));
    assert_eq!(gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32), 0x8cd5);
    until_available(1);
    let commands = seen.until("GetQueryObject");
    assert_eq!(asked(&commands), 3, "{commands:?}");
}
