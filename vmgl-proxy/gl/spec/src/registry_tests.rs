//! The registry that is shipped makes the plans that it should.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

use super::{FIRST_OPCODE, Registry, identifier};
use crate::{Base, ByHand, Class, Kind, Len, Treatment, rules};

fn plan<'a>(registry: &'a Registry, name: &str) -> &'a crate::Plan {
    registry.commands.iter().find(|plan| plan.name == name).unwrap()
}

#[test]
fn opcodes_go_by_name_and_leave_no_gap() {
    let registry = Registry::load().unwrap();
    for (index, plan) in registry.commands.iter().enumerate() {
        assert_eq!(usize::from(plan.opcode), usize::from(FIRST_OPCODE) + index, "{}", plan.name);
    }
    assert!(registry.commands.is_sorted_by(|a, b| a.name < b.name));
    assert!(registry.commands.len() > 550, "{} on the wire", registry.commands.len());
}

#[test]
fn the_registrys_lengths_and_the_rules_make_plans() {
    let registry = Registry::load().unwrap();
    let image = plan(&registry, "glTexImage2D");
    let size = ["format", "type_", "width", "height"].map(str::to_owned).to_vec();
    assert_eq!(image.args[8].kind, Kind::Data(Base::Void, Len::Function("image_2d", size)));
    assert!(!image.answers);

    let bind = plan(&registry, "glBindTexture");
    assert_eq!(bind.args[1].kind, Kind::Name(Class::Texture));
    assert!(bind.aliases.iter().any(|alias| alias == "glBindTextureEXT"));

    let uniform = plan(&registry, "glUniform4fv");
    assert_eq!(uniform.args[2].kind, Kind::Array(Base::F32, Len::Times("count".to_owned(), 4)));
}

#[test]
fn names_that_are_generated_travel_as_names_that_are_read() {
    let registry = Registry::load().unwrap();
    let generate = plan(&registry, "glGenTextures");
    assert_eq!(generate.args[1].kind, Kind::Names(Class::Texture, Len::Times("n".to_owned(), 1)));
    assert!(!generate.answers);
    let shader = plan(&registry, "glCreateShader");
    assert_eq!(shader.args[1].kind, Kind::Extra(Base::U32));
    assert!(shader.ret.is_none() && !shader.answers && shader.by_hand == ByHand::Renderer);
}

#[test]
fn what_returns_something_and_travels_is_answered() {
    let registry = Registry::load().unwrap();
    let light = plan(&registry, "glGetLightfv");
    assert!(light.answers && light.ret.is_none());
    assert!(matches!(light.args[2].kind, Kind::Out(Base::F32, _)));
    let wait = plan(&registry, "glClientWaitSync");
    assert_eq!(wait.ret, Some(Base::Enum));
}

#[test]
fn a_command_is_in_one_table_of_treatments_only() {
    let mut all: Vec<_> = [rules::LOCAL, rules::HAND, rules::MISSING].into_iter().flatten().collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn functions_are_found_by_their_other_names() {
    let registry = Registry::load().unwrap();
    assert_eq!(registry.entry("glBindBufferARB").unwrap().name, "glBindBuffer");
    assert_eq!(registry.entry("glBindFramebufferEXT").unwrap().name, "glBindFramebuffer");
    assert_eq!(registry.entry("glGetError").unwrap().treatment, Treatment::Local);
    assert!(registry.entry("glDispatchCompute").is_none());
    assert!(registry.known.contains("glDispatchCompute"));
    assert_eq!(registry.enums["TEXTURE_2D"], 0x0de1);
}

#[test]
fn the_digest_is_the_same_each_time() {
    assert_eq!(Registry::load().unwrap().digest(), Registry::load().unwrap().digest());
}

#[test]
fn identifiers_are_rusts() {
    assert_eq!(identifier("bufSize"), "buf_size");
    assert_eq!(identifier("type"), "type_");
}
