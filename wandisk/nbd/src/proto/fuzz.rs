//! A client's bytes, from the first of the handshake to requests, in whatever parts they come.

use super::constants::{BASE_ALLOCATION, MAGIC, OPTION_MAGIC, REQUEST_MAGIC, cmd, opt};
use super::handshake::{Handshake, Next, Violation};
use super::request::{Plan, REQUEST_HEADER, Request, plan};
use super::{Export, Session};
use crate::limits::{MAX_OPTION, MAX_REQUEST, MAX_STATUS_RANGE};

fn export() -> Export {
    Export { name: "disk".into(), size: 1 << 30, read_only: false }
}

fn option(number: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    [&OPTION_MAGIC.to_be_bytes()[..], &number.to_be_bytes(), &len.to_be_bytes(), payload].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

fn request(command: u16, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(command.to_be_bytes());
    bytes.extend(7u64.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let meta =
        [string(b"disk"), 2u32.to_be_bytes().to_vec(), string(BASE_ALLOCATION), string(b"x:y")].concat();
    let go = [string(b"disk"), vec![0, 1, 0, 3]].concat();
    let requests = [
        request(cmd::READ, 0, 4096),
        [request(cmd::WRITE, 4096, 4), b"data".to_vec()].concat(),
        request(cmd::TRIM, (1 << 30) - 512, 512),
        request(cmd::BLOCK_STATUS, 0, 1 << 20),
        request(cmd::FLUSH, 0, 0),
        request(cmd::DISC, 0, 0),
    ]
    .concat();
    let flags = 3u32.to_be_bytes().to_vec();
    vec![
        [flags.clone(), option(opt::EXPORT_NAME, b"disk"), requests.clone()].concat(),
        [
            flags.clone(),
            option(opt::STRUCTURED_REPLY, b""),
            option(opt::SET_META_CONTEXT, &meta),
            option(opt::GO, &go),
            requests,
        ]
        .concat(),
        [flags.clone(), option(opt::LIST, b""), option(opt::INFO, &go), option(opt::ABORT, b"")].concat(),
        [
            flags,
            option(99, &[0; 20_000]),
            option(opt::LIST_META_CONTEXT, &meta),
            MAGIC.to_be_bytes().to_vec(),
        ]
        .concat(),
    ]
}

/// What came of a handshake: the answers, and the bytes that were taken.
type Outcome = (Vec<u8>, usize, Result<Next, Violation>);

/// Hands the bytes over in parts of `part`, as a connection does: what is not taken is shown again with more behind it.
fn shake(export: &Export, bytes: &[u8], part: usize) -> Outcome {
    let mut out = Vec::new();
    let mut handshake = Handshake::greet(export, &mut out);
    let (mut used, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = (shown + part).min(bytes.len());
        match handshake.input(&bytes[used..shown], &mut out) {
            Err(violation) => return (out, used, Err(violation)),
            Ok((taken, next)) => {
                used += taken;
                assert!(used <= shown);
                assert!(
                    shown - used <= 16 + MAX_OPTION as usize || next != Next::More,
                    "it waits for too much"
                );
                if next != Next::More {
                    return (out, used, Ok(next));
                }
            }
        }
    }
    (out, used, Ok(Next::More))
}

fn judge(mut bytes: &[u8], session: Session, export: &Export) {
    while let Some((header, rest)) = bytes.split_first_chunk::<REQUEST_HEADER>() {
        let Some(request) = Request::parse(header) else { return };
        if request.ends_connection() {
            return;
        }
        let inside =
            || request.offset.checked_add(u64::from(request.len)).is_some_and(|end| end <= export.size);
        match plan(&request, session, export) {
            Plan::Read | Plan::Write { .. } => assert!(inside() && request.len <= MAX_REQUEST),
            Plan::Zero { .. } => assert!(inside() && request.len > 0),
            Plan::Status { len, .. } => assert!(inside() && (1..=MAX_STATUS_RANGE).contains(&len)),
            Plan::Flush | Plan::Nothing | Plan::Refuse(_) => {}
            Plan::Disconnect => return,
        }
        bytes = rest.get(request.payload() as usize..).unwrap_or_default();
    }
}

wandisk_fuzz::target!(handshake_and_requests, 5_000, seeds(), |bytes: &[u8]| {
    let export = export();
    let whole = shake(&export, bytes, usize::MAX / 2);
    let part = 1 + bytes.first().map_or(0, |b| usize::from(b % 61));
    let parts = shake(&export, bytes, part);
    if whole.2.is_ok() {
        assert_eq!(whole, parts, "in parts of {part}");
    } else {
        assert_eq!(whole.2, parts.2, "in parts of {part}");
    }
    let answered = whole.0.len();
    assert!(answered <= 18 + 16 * (64 + bytes.len()), "{answered} bytes of answers to {}", bytes.len());
    if let Ok(Next::Serve(session)) = whole.2 {
        judge(&bytes[whole.1..], session, &export);
    }
});
