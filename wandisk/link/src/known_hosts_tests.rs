//! What known_hosts lines mean.

use super::*;
use proptest::prelude::*;

/// Two keys; what is in them does not matter here.
const A: &str = "AAAAC3NzaC1lZDI1NTE5AAAA";
const B: &str = "AAAAC3NzaC1lZDI1NTE5BBBB";

fn verdict(text: &str, filed: &Filed) -> Verdict {
    let mut known = Known::default();
    known.add(Path::new("/known"), text, filed);
    known.verdict(&STANDARD.decode(A).unwrap())
}

fn big() -> Filed {
    Filed::new("Big", 22, None)
}

fn changed() -> Verdict {
    Verdict::Changed("/known".into())
}

#[test]
fn only_a_line_with_this_host_and_this_key_makes_it_known() {
    assert_eq!(verdict(&format!("big ssh-ed25519 {A} me@there\n"), &big()), Verdict::Known);
    assert_eq!(verdict(&format!("big ssh-ed25519 {B}\n"), &big()), changed());
    assert_eq!(verdict(&format!("small ssh-ed25519 {A}\n"), &big()), Verdict::Unknown);
    assert_eq!(verdict(&format!("#big ssh-ed25519 {A}\n"), &big()), Verdict::Unknown);
    assert_eq!(verdict("", &big()), Verdict::Unknown);
}

#[test]
fn a_line_that_cannot_be_read_hides_no_other() {
    let text = format!("@strange x y z\nbig\nbig ssh-ed25519 ???\n\u{fffd}\nbig ssh-ed25519 {A}\n");
    assert_eq!(verdict(&text, &big()), Verdict::Known);
}

#[test]
fn a_revoked_key_is_revoked_whatever_else_is_filed() {
    let text = format!("big ssh-ed25519 {A}\n@revoked * ssh-ed25519 {A}\n");
    assert_eq!(verdict(&text, &big()), Verdict::Revoked);
    assert_eq!(
        verdict(&format!("big ssh-ed25519 {A}\n@revoked * ssh-ed25519 {B}\n"), &big()),
        Verdict::Known
    );
}

#[test]
fn an_authority_vouches_for_no_plain_key() {
    let text = format!("@cert-authority *.lan ssh-ed25519 {A}\n");
    let filed = Filed::new("big.lan", 22, None);
    assert_eq!(verdict(&text, &filed), Verdict::Unknown);
    let mut known = Known::default();
    known.add(Path::new("/known"), &text, &filed);
    assert!(known.needs_authority());
}

#[test]
fn another_port_has_a_name_of_its_own_and_may_share_the_bare_hosts_key() {
    let filed = Filed::new("big", 2222, None);
    assert_eq!(verdict(&format!("[big]:2222 ssh-ed25519 {A}"), &filed), Verdict::Known);
    assert_eq!(verdict(&format!("[big]:2222 ssh-ed25519 {B}"), &filed), changed());
    assert_eq!(verdict(&format!("big ssh-ed25519 {A}"), &filed), Verdict::Known);
    assert_eq!(verdict(&format!("big ssh-ed25519 {B}"), &filed), Verdict::Unknown);
    assert_eq!(verdict(&format!("[big]:2222 ssh-ed25519 {A}"), &big()), Verdict::Unknown);
}

#[test]
fn an_alias_stands_for_host_and_port() {
    let filed = Filed::new("10.0.0.7", 2222, Some("Big"));
    assert_eq!(verdict(&format!("big ssh-ed25519 {A}"), &filed), Verdict::Known);
}

#[test]
fn patterns_and_their_negation_are_understood() {
    let filed = Filed::new("a.lan", 22, None);
    assert_eq!(verdict(&format!("x,*.lan ssh-ed25519 {A}"), &filed), Verdict::Known);
    assert_eq!(verdict(&format!("?.l*n ssh-ed25519 {A}"), &filed), Verdict::Known);
    assert_eq!(verdict(&format!("*.lan,!a.lan ssh-ed25519 {A}"), &filed), Verdict::Unknown);
}

#[test]
fn a_hashed_name_is_recognised() {
    let salt = STANDARD.encode([7u8; 20]);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&[7u8; 20]).unwrap();
    mac.update(b"big");
    let hash = STANDARD.encode(mac.finalize().into_bytes());
    let line = format!("|1|{salt}|{hash} ssh-ed25519 {A}");
    assert_eq!(verdict(&line, &big()), Verdict::Known);
    assert_eq!(verdict(&line, &Filed::new("small", 22, None)), Verdict::Unknown);
}

proptest! {
    #[test]
    fn garbage_makes_nobody_known(text in "[ -~\n]{0,200}") {
        let text = text.replace(A, "");
        prop_assert_ne!(verdict(&text, &big()), Verdict::Known);
    }

    #[test]
    fn many_stars_take_no_time(stars in 1usize..200, text in "a{0,60}") {
        let pattern = "*a".repeat(stars) + "b";
        prop_assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
