//! The payloads of handshake options, checked as wholes: lengths inside must add up to the length outside.

use super::constants::BASE_ALLOCATION;
use super::cursor::Cursor;
use crate::limits::MAX_NAME;

/// Why an option's payload is refused; the option's answer says so, and the handshake goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The fields do not fit the length.
    Shape,
    /// A string is longer than the protocol allows.
    TooBig,
}

/// `INFO` or `GO`: which export, and whether its name is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a [u8],
    pub(super) wants_name: bool,
}

/// `LIST_META_CONTEXT` or `SET_META_CONTEXT`: which export, and whether the queries name `base:allocation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetaRequest<'a> {
    pub(super) name: &'a [u8],
    pub(super) queries: u32,
    /// A query is exactly the context's name.
    pub(super) allocation: bool,
    /// A query is its namespace, `base:`, which lists what is in it.
    pub(super) namespace: bool,
}

fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let name = cursor.string().ok_or(Malformed::Shape)?;
    if name.len() > MAX_NAME { Err(Malformed::TooBig) } else { Ok(name) }
}

fn end(cursor: Cursor<'_>) -> Result<(), Malformed> {
    if cursor.is_empty() { Ok(()) } else { Err(Malformed::Shape) }
}

pub(super) fn info(payload: &[u8]) -> Result<InfoRequest<'_>, Malformed> {
    let mut cursor = Cursor(payload);
    let name = name(&mut cursor)?;
    let count = cursor.u16().ok_or(Malformed::Shape)?;
    let mut wants_name = false;
    for _ in 0..count {
        let item = cursor.u16().ok_or(Malformed::Shape)?;
        wants_name |= item == super::constants::info::NAME;
    }
    end(cursor)?;
    Ok(InfoRequest { name, wants_name })
}

pub(super) fn meta(payload: &[u8]) -> Result<MetaRequest<'_>, Malformed> {
    let mut cursor = Cursor(payload);
    let name = name(&mut cursor)?;
    let queries = cursor.u32().ok_or(Malformed::Shape)?;
    let mut request = MetaRequest { name, queries, allocation: false, namespace: false };
    // Each query takes four bytes at least, so a false count ends at the payload's end.
    for _ in 0..queries {
        let query = cursor.string().ok_or(Malformed::Shape)?;
        if query.len() > MAX_NAME {
            return Err(Malformed::TooBig);
        }
        request.allocation |= query == BASE_ALLOCATION;
        request.namespace |= query == b"base:";
    }
    end(cursor)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn lengths_inside_must_add_up() {
        let good = payload(&[&3u32.to_be_bytes(), b"abc", &2u16.to_be_bytes(), &[0, 1, 0, 3]]);
        assert_eq!(info(&good), Ok(InfoRequest { name: b"abc", wants_name: true }));
        for cut in 0..good.len() {
            assert_eq!(info(&good[..cut]), Err(Malformed::Shape), "cut at {cut}");
        }
        assert_eq!(info(&payload(&[&good, &[0]])), Err(Malformed::Shape));
        assert_eq!(info(&u32::MAX.to_be_bytes()), Err(Malformed::Shape));
    }

    #[test]
    fn a_count_of_queries_that_are_not_there_is_malformed() {
        assert_eq!(meta(&payload(&[&0u32.to_be_bytes(), &u32::MAX.to_be_bytes()])), Err(Malformed::Shape));
    }

    #[test]
    fn a_name_may_be_as_long_as_the_protocol_says_and_no_longer() {
        let with = |n: u32| payload(&[&n.to_be_bytes(), &vec![b'x'; n as usize], &0u16.to_be_bytes()]);
        assert!(info(&with(4096)).is_ok());
        assert_eq!(info(&with(4097)), Err(Malformed::TooBig));
    }
}
