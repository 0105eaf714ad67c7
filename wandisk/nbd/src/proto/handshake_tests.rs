//! The handshake, option by option.

use proptest::prelude::*;

use super::*;

fn export() -> Export {
    Export { name: "disk".into(), size: 1 << 30, read_only: false }
}

fn option(number: u32, payload: &[u8]) -> Vec<u8> {
    [&OPTION_MAGIC.to_be_bytes()[..], &number.to_be_bytes(), &len32(payload), payload].concat()
}

fn info_payload(name: &[u8]) -> Vec<u8> {
    [&len32(name)[..], name, &[0, 0]].concat()
}

fn meta_payload(name: &[u8], queries: &[&[u8]]) -> Vec<u8> {
    let mut payload = [&len32(name)[..], name, &u32::try_from(queries.len()).unwrap().to_be_bytes()].concat();
    queries.iter().for_each(|q| payload.extend([&len32(q)[..], q].concat()));
    payload
}

/// What a client gets that sends these options after flags 3: the kinds of the answers, and what came of it.
fn talk(options: &[Vec<u8>]) -> (Vec<u32>, Result<Next, Violation>) {
    let export = export();
    let mut out = Vec::new();
    let mut handshake = Handshake::greet(&export, &mut out);
    out.clear();
    let bytes = [&3u32.to_be_bytes()[..], &options.concat()].concat();
    let result = handshake.input(&bytes, &mut out).map(|(_, next)| next);
    (kinds(&out), result)
}

fn kinds(mut out: &[u8]) -> Vec<u32> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = out.split_at_checked(20) {
        let mut cursor = Cursor(head);
        assert_eq!(cursor.u64(), Some(OPTION_REPLY_MAGIC));
        cursor.u32();
        kinds.extend(cursor.u32());
        out = &rest[cursor.u32().unwrap() as usize..];
    }
    kinds
}

const ALLOCATED: Session = Session { structured: true, allocation: true };

#[test]
fn go_serves_what_was_agreed() {
    let (kinds, next) = talk(&[
        option(opt::STRUCTURED_REPLY, b""),
        option(opt::SET_META_CONTEXT, &meta_payload(b"", &[b"x:y", BASE_ALLOCATION])),
        option(opt::GO, &info_payload(b"")),
    ]);
    assert_eq!(kinds, [rep::ACK, rep::META_CONTEXT, rep::ACK, rep::INFO, rep::INFO, rep::ACK]);
    assert_eq!(next, Ok(Next::Serve(ALLOCATED)));
}

#[test]
fn contexts_hold_for_the_name_they_were_asked_for() {
    let set = |name| option(opt::SET_META_CONTEXT, &meta_payload(name, &[BASE_ALLOCATION]));
    let structured = option(opt::STRUCTURED_REPLY, b"");
    let go = |name| option(opt::GO, &info_payload(name));
    let without = Session { allocation: false, ..ALLOCATED };
    assert_eq!(talk(&[structured.clone(), set(b"disk"), go(b"disk")]).1, Ok(Next::Serve(ALLOCATED)));
    assert_eq!(talk(&[structured.clone(), set(b"disk"), go(b"")]).1, Ok(Next::Serve(without)));
    // A refused choice withdraws the earlier one.
    assert_eq!(talk(&[structured.clone(), set(b""), set(b"other"), go(b"")]).1, Ok(Next::Serve(without)));
    assert_eq!(talk(&[set(b""), structured, go(b"")]).1, Ok(Next::Serve(without)));
}

#[test]
fn contexts_need_structured_replies_first() {
    let (kinds, next) = talk(&[option(opt::LIST_META_CONTEXT, &meta_payload(b"", &[]))]);
    assert_eq!((kinds, next), (vec![rep::ERR_INVALID], Ok(Next::More)));
}

#[test]
fn a_namespace_lists_its_contexts_and_chooses_none() {
    let ask = |number| {
        let queries = option(number, &meta_payload(b"", &[b"base:"]));
        talk(&[option(opt::STRUCTURED_REPLY, b""), queries]).0
    };
    assert_eq!(ask(opt::LIST_META_CONTEXT), [rep::ACK, rep::META_CONTEXT, rep::ACK]);
    assert_eq!(ask(opt::SET_META_CONTEXT), [rep::ACK, rep::ACK]);
}

#[test]
fn what_is_not_supported_is_refused_and_the_talk_goes_on() {
    let starttls = 5;
    let (kinds, next) = talk(&[
        option(starttls, b""),
        option(0xdead_beef, b"some data"),
        option(opt::LIST, b"data"),
        option(opt::GO, &info_payload(b"no such export")),
        option(opt::GO, &info_payload(b"disk")),
    ]);
    assert_eq!(kinds[..4], [rep::ERR_UNSUP, rep::ERR_UNSUP, rep::ERR_INVALID, rep::ERR_UNKNOWN]);
    assert_eq!(next, Ok(Next::Serve(Session::default())));
}

#[test]
fn a_long_option_is_skipped_and_a_longer_one_ends_it() {
    let long = vec![0; MAX_OPTION as usize + 1];
    let (kinds, next) = talk(&[option(opt::INFO, &long), option(opt::ABORT, b"")]);
    assert_eq!((kinds, next), (vec![rep::ERR_TOO_BIG, rep::ACK], Ok(Next::Close)));

    let header = |len: u32| [&option(opt::INFO, b"")[..12], &len.to_be_bytes()].concat();
    assert_eq!(talk(&[header(MAX_SKIPPED_OPTION)]).1, Ok(Next::More));
    let violation = Violation::OptionTooLong { option: opt::INFO, len: MAX_SKIPPED_OPTION + 1 };
    assert_eq!(talk(&[header(MAX_SKIPPED_OPTION + 1)]).1, Err(violation));
    let name = |len: u32| [&option(opt::EXPORT_NAME, b"")[..12], &len.to_be_bytes()].concat();
    assert_eq!(talk(&[name(4096)]).1, Ok(Next::More));
    assert_eq!(talk(&[name(4097)]).1, Err(Violation::OptionTooLong { option: opt::EXPORT_NAME, len: 4097 }));
}

#[test]
fn a_handshake_has_so_many_options_and_no_more() {
    let many = vec![option(opt::LIST, b""); MAX_OPTIONS as usize];
    assert_eq!(talk(&many).1, Ok(Next::More));
    let more = vec![option(opt::LIST, b""); MAX_OPTIONS as usize + 1];
    assert_eq!(talk(&more).1, Err(Violation::TooManyOptions));
}

#[test]
fn an_old_client_may_name_its_export_and_nothing_else() {
    let export = export();
    let run = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut handshake = Handshake::greet(&export, &mut out);
        out.clear();
        let result = handshake.input(bytes, &mut out).map(|(_, next)| next);
        (out.len(), result)
    };
    let old = |options: &[u8]| run(&[&[0; 4], options].concat());
    assert_eq!(old(&option(opt::EXPORT_NAME, b"disk")), (134, Ok(Next::Serve(Session::default()))));
    assert_eq!(old(&option(opt::EXPORT_NAME, b"other")).1, Err(Violation::UnknownExport));
    assert_eq!(old(&option(opt::LIST, b"")).1, Err(Violation::NotFixed(opt::LIST)));
    assert_eq!(run(&[0, 0, 0, 4]).1, Err(Violation::ClientFlags(4)));
    let spared = run(&[&[0, 0, 0, 3][..], &option(opt::EXPORT_NAME, b"")].concat());
    assert_eq!(spared, (10, Ok(Next::Serve(Session::default()))));
}

/// Options that look right, with every length and number at risk.
fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0u32..12, any::<u32>()];
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        Just(info_payload(b"")),
        Just(meta_payload(b"disk", &[BASE_ALLOCATION, b"base:"])),
        (0usize..40).prop_map(|cut| meta_payload(b"", &[BASE_ALLOCATION])[..cut.min(27)].to_vec()),
    ];
    (number, payload, proptest::option::weighted(0.1, any::<u32>())).prop_map(|(number, payload, lie)| {
        let mut bytes = option(number, &payload);
        if let Some(lie) = lie {
            bytes[12..16].copy_from_slice(&lie.to_be_bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_mean_the_same(
        options in proptest::collection::vec(any_option(), 0..8),
        tail in proptest::collection::vec(any::<u8>(), 0..32),
        piece in 1usize..48,
    ) {
        let export = export();
        let bytes = [&[0, 0, 0, 3][..], &options.concat(), &tail].concat();
        let run = |piece: usize| {
            let mut out = Vec::new();
            let mut handshake = Handshake::greet(&export, &mut out);
            let (mut shown, mut used) = (0, 0);
            loop {
                shown = (shown + piece).min(bytes.len());
                match handshake.input(&bytes[used..shown], &mut out) {
                    Ok((n, next)) => {
                        used += n;
                        if next != Next::More || shown == bytes.len() {
                            return (Ok((used, next)), out);
                        }
                    }
                    Err(e) => return (Err(e), out),
                }
            }
        };
        prop_assert_eq!(run(piece), run(usize::MAX / 2));
    }
}
