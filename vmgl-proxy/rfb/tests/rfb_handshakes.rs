//! Both roles' handshakes against each other, a byte at a time; and hostile servers and viewers.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bytes::BytesMut;
use vmgl_rfb::{
    ClientHandshake, Framebuffer, FromServer, HandshakeError, PixelFormat, ProtocolError, Security,
    ServerHandshake, ServerInit, Version,
};

type Ends = (Result<Option<ServerInit>, HandshakeError>, Option<HandshakeError>);

fn meet(mut server: ServerHandshake, mut client: ClientHandshake) -> Ends {
    let init = ServerInit { width: 640, height: 480, format: PixelFormat::XRGB, name: "a desk".into() };
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let mut refused = None;
    let mut let_in = false;
    for _ in 0..20 {
        let mut out = Vec::new();
        if refused.is_none() && !let_in {
            match server.step(&mut to_server, &mut out) {
                Ok(Some(viewer)) => {
                    assert!(viewer.shared);
                    init.write(&mut out);
                    let_in = true;
                }
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        let mut answer = Vec::new();
        for byte in out {
            to_client.extend_from_slice(&[byte]);
            match client.step(&mut to_client, &mut answer) {
                Ok(None) => {}
                end => return (end, refused),
            }
        }
        to_server.extend_from_slice(&answer);
    }
    (Ok(None), refused)
}

#[test]
fn every_version_and_security_meets_every_other() {
    let versions = [Version::V3_3, Version::V3_7, Version::V3_8];
    let auth = || Security::VncAuth { password: b"secret".to_vec(), challenge: *b"0123456789abcdef" };
    for server in versions {
        for client in versions {
            for security in [Security::None, auth()] {
                let ours = ClientHandshake::new(Some(b"secret".to_vec()), true).at_most(client);
                let (end, refused) = meet(ServerHandshake::new(security).at_most(server), ours);
                assert_eq!(end.unwrap().unwrap().name, "a desk", "{server:?} {client:?}");
                assert_eq!(refused, None);
            }
            let wrong = ClientHandshake::new(Some(b"wrong".to_vec()), true).at_most(client);
            let (end, refused) = meet(ServerHandshake::new(auth()).at_most(server), wrong);
            assert_eq!(refused, Some(HandshakeError::WrongPassword));
            assert_eq!(end, Err(HandshakeError::Refused("authentication failed".into())));
            let ours = ClientHandshake::new(None, true).at_most(client);
            let (end, _) = meet(ServerHandshake::refusing("full").at_most(server), ours);
            assert_eq!(end, Err(HandshakeError::Refused("full".into())));
        }
    }
}

fn refused(number: i32, rect: [u16; 4], body: &[u8]) -> ProtocolError {
    let mut bytes = vec![0, 0, 0, 1];
    bytes.extend(rect.into_iter().flat_map(u16::to_be_bytes));
    bytes.extend(number.to_be_bytes());
    bytes.extend_from_slice(body);
    let mut fb = Framebuffer::new(64, 64).unwrap();
    let mut server = FromServer::new(PixelFormat::XRGB);
    let mut input = BytesMut::from(&bytes[..]);
    loop {
        match server.step(&mut input, &mut fb) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("{number} {rect:?} is taken"),
            Err(error) => return error,
        }
    }
}

#[test]
fn hostile_servers_are_refused_with_a_reason() {
    let all = [0, 0, 64, 64];
    assert!(matches!(refused(0, [60, 0, 5, 1], &[]), ProtocolError::Outside(_)));
    assert!(matches!(refused(0, [65535, 65535, 65535, 65535], &[]), ProtocolError::Outside(_)));
    assert!(matches!(refused(1, [0, 0, 8, 8], &[0, 60, 0, 0]), ProtocolError::Outside(_)));
    assert!(matches!(refused(2, all, &[255; 8]), ProtocolError::TooLong { .. }));
    assert!(matches!(refused(5, [0, 0, 8, 8], &[24, 1, 0, 0, 0, 0, 0x77, 0x11]), ProtocolError::Outside(_)));
    assert!(matches!(refused(6, all, &[255; 4]), ProtocolError::TooLong { .. }));
    assert!(matches!(refused(6, all, &[0, 0, 0, 2, 7, 7]), ProtocolError::Zlib(_)));
    assert!(matches!(refused(7, all, &[0xf0]), ProtocolError::Sub { .. }));
    assert!(matches!(refused(7, all, &[0x90, 2, 0, 0]), ProtocolError::Jpeg { .. }));
    assert!(matches!(refused(-239, [0, 0, 1025, 1], &[]), ProtocolError::Cursor(_)));
    assert!(matches!(refused(-223, [0, 0, 16385, 1], &[]), ProtocolError::Size { .. }));
    assert!(matches!(refused(-223, [0, 0, 16384, 16384], &[]), ProtocolError::Size { .. }));
    assert!(matches!(refused(99, all, &[]), ProtocolError::Encoding(99)));
}
