//! Every bound on what another site may make this one do, in one place.
//!
//! Invariant: none of these is ever raised by what a peer says, and none is "unlimited" at zero.
//! What each is for is told in `docs/threat-model.md`.

use std::time::Duration;

/// Time for the peer's hello, from before its first byte: a login's shell, and a keeper that has to be started, take their time
/// on a slow machine.
pub const HELLO: Duration = Duration::from_secs(60);
/// A dial that has brought no hello by then may be lost: another one is made beside it.
pub const DIAL_QUIET: Duration = Duration::from_secs(20);
/// Dials to a site beside each other, until one brings its hello.
pub const DIALS_MAX: usize = 3;
/// Longest JSON of a hello, in bytes.
pub const HELLO_MAX: u32 = 16 << 10;
/// Longest name of a program's version in a hello, in bytes.
pub const PROGRAM_MAX: usize = 64;

/// A ping is sent this often.
pub const PING: Duration = Duration::from_secs(5);
/// A session is dead when not a byte came for this long.
pub const SILENCE: Duration = Duration::from_secs(20);
/// A frame takes no longer than this to come, from the end of the one before it: a peer that hands out a byte now and
/// then holds nothing. (Pings come between the pieces of whatever is long, so this is 64 KiB of patience.)
pub const FRAME: Duration = Duration::from_secs(60);
/// A frame takes no longer than this to be taken off our hands.
pub const FRAME_TAKEN: Duration = Duration::from_secs(60);
/// How long an ended session tries to send what it has begun, and why it ended.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// A talk about the site itself ends after this time at the latest.
pub const LOBBY: Duration = Duration::from_secs(60);

/// Longest content (head and body) of one frame in bytes: what a frame that somebody waits for may have to wait for.
pub const FRAME_MAX: usize = 64 << 10;
/// Longest head of a message in bytes.
pub const HEAD_MAX: usize = FRAME_MAX;
/// Longest body of a message in bytes. It holds a chunk (4 MiB at most) or a part of a table.
pub const BODY_MAX: usize = (4 << 20) + (64 << 10);
/// Longest head of a refusal in bytes.
pub const REFUSAL_MAX: usize = 16 << 10;
/// Longest head of progress in bytes.
pub const PROGRESS_MAX: usize = 4 << 10;
/// Longest head of a bye in bytes.
pub const BYE_MAX: usize = 1 << 10;
/// Longest sentence of a peer that is shown to people, in characters.
pub const SENTENCE_MAX: usize = 1000;
/// Messages that come in pieces at a time: one that somebody waits for, one that nobody does.
pub const JOINING_MAX: usize = 2;

/// Longest content of a message that is packed, in bytes: a chunk and its head. What does not give way at all grows by less
/// than what is left up to [`BODY_MAX`].
pub const PACKED_MAX: usize = (4 << 20) + (32 << 10);
/// A packed stream's window, as a power of two: what a peer makes us keep of each session, and what each of ours takes.
pub const WINDOW_LOG: u32 = 23;
/// Streams packed at a time, of all sessions: each takes its window and up to 20 MiB of tables.
pub const PACKERS_MAX: usize = 8;
/// A stream into which nothing was packed for this long gives its memory back.
pub const PACKER_IDLE: Duration = Duration::from_secs(10);

/// Requests of the peer worked on at a time; it may have no more outstanding.
pub const ASKED_MAX: usize = 512;
/// Their heads and bodies in bytes.
pub const ASKED_BYTES_MAX: usize = 64 << 20;
/// Our own requests outstanding at a time: below the peer's limit, so that it is never broken.
pub const ASKING_MAX: usize = 384;
/// Bytes of answers made or waiting to be sent, of each class; a request waits for room before it is worked on.
pub const ANSWERS_MAX: usize = 32 << 20;
/// Room for an answer that is no chunk and no part of a table.
pub const SMALL_ANSWER: usize = 64 << 10;
/// Messages waiting to be sent, of each class.
pub const QUEUE: usize = 32;

/// Connections that are dialled to one site at a time, while the line takes more than fewer of them carry.
pub const LINK_WIDTH_FULL: usize = 6;
/// Connections that are dialled to one site at a time, while somebody waits for chunks of a far one.
pub const LINK_WIDTH_MAX: usize = 10;
/// Sessions of one site kept at most: those that either end dialled, and some left over from before a cut.
pub const SESSIONS_A_SITE: usize = 24;
/// Sessions that peers opened, of all sites.
pub const SESSIONS_MAX: usize = 96;
/// Sites that a request may have passed.
pub const PATH_MAX: usize = 8;

/// Rows in one message at most.
pub const ROWS_MAX: usize = 32 << 10;
/// Ranges in one message at most.
pub const RANGES_MAX: usize = 1 << 20;
/// Longest address of a site that a peer tells, in bytes.
pub const ADDRESS_MAX: usize = 512;
/// Longest time that a peer may hold writes.
pub const LEASE_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(ASKING_MAX < ASKED_MAX);
const _: () = assert!(PACKED_MAX + PACKED_MAX / 256 + 1024 <= BODY_MAX && BODY_MAX <= u32::MAX as usize);
const _: () = assert!(SESSIONS_A_SITE > 2 * LINK_WIDTH_MAX && SESSIONS_MAX >= 4 * SESSIONS_A_SITE);
const _: () = assert!(ANSWERS_MAX >= BODY_MAX && ANSWERS_MAX / 1024 <= u32::MAX as usize);
const _: () = assert!(ASKED_BYTES_MAX >= 8 * BODY_MAX);
// A site asks with the description of a basis: so many of the longest fit.
const _: () = assert!(ASKING_MAX * (80 << 10) <= ASKED_BYTES_MAX);
const _: () = assert!(REFUSAL_MAX <= FRAME_MAX && PROGRESS_MAX <= FRAME_MAX && BYE_MAX <= FRAME_MAX);
