//! Makes `fakes.rs` for tests: functions of OpenGL that draw nothing and look at what they are given, by the registry's plans.
//!
//! What a plan says of an array is what OpenGL would read or write there: a fake does that, and no more.

use std::fmt::Write as _;

use anyhow::Result;
use vmgl_gl_spec::{Arg, ByHand, Entry, Kind, Len, Plan, Registry};

use super::{short, wanted};

/// All of them, and `all`, the table in which they stand.
pub(super) fn fakes(registry: &Registry) -> Result<String> {
    let mut out = String::new();
    let entries = || registry.entries.iter().filter(wanted);
    for entry in entries() {
        let plan = entry.plan.and_then(|index| registry.commands.get(index));
        one(entry, plan, &mut out)?;
    }
    out.push_str("/// A fake of each.\npub(super) fn all() -> Gl {\n    Gl {\n");
    for entry in entries() {
        let name = short(&entry.name);
        writeln!(out, "        {name}: Some({name}),")?;
    }
    out.push_str("    }\n}\n");
    Ok(out)
}

fn one(entry: &Entry, plan: Option<&Plan>, out: &mut String) -> Result<()> {
    let params: Vec<String> =
        entry.params.iter().map(|param| format!("{}: {}", param.name, param.c_type())).collect();
    let ret = entry.ret.as_ref().map(|ret| format!(" -> {ret}")).unwrap_or_default();
    writeln!(out, "unsafe extern \"system\" fn {}({}){ret} {{", short(&entry.name), params.join(", "))?;
    // A plan whose arguments are not those of C says nothing of them here.
    let args = plan.filter(|plan| plan.by_hand == ByHand::No).map(|plan| &plan.args);
    let looks: Vec<String> = args.into_iter().flatten().filter_map(|arg| look(entry, arg)).collect();
    if !looks.is_empty() {
        out.push_str("    // SAFETY: arrays are as long as the plan says, or a tool that watches memory says that they are not.\n");
        writeln!(out, "    unsafe {{\n        {};\n    }}", looks.join(";\n        "))?;
    }
    match entry.ret.as_deref() {
        None => {}
        Some(pointer) if pointer.starts_with('*') => out.push_str("    std::ptr::null()\n"),
        Some(_) => out.push_str("    0\n"),
    }
    out.push_str("}\n\n");
    Ok(())
}

/// What is done with an argument.
fn look(entry: &Entry, arg: &Arg) -> Option<String> {
    let name = &arg.name;
    Some(match &arg.kind {
        Kind::Scalar(_) | Kind::Extra(_) => return None,
        Kind::Name(class) => format!("look::named(Class::{class:?}, {name})"),
        Kind::Names(class, len) => format!("look::names(Class::{class:?}, {name}, {})", elements(len)?),
        Kind::Array(_, len) => format!("look::array({name}, {})", elements(len)?),
        Kind::Data(_, len) if entry.name.starts_with("glBuffer") => {
            format!("look::contents({name}, {})", elements(len)?)
        }
        Kind::Data(_, len) => format!("look::pixels({name}, {})", elements(len)?),
        Kind::Text => format!("look::text({name})"),
        Kind::Out(_, len) => format!("look::write({name}, {})", elements(len)?),
    })
}

/// An expression for the elements that an array has; none where only the sender knows.
fn elements(len: &Len) -> Option<String> {
    Some(match len {
        Len::Fixed(count) => format!("Some({count})"),
        Len::Times(name, factor) => format!("size::times({name}, {factor})"),
        Len::Function(function, args) => format!("size::{function}({})", args.join(", ")),
        Len::Free => return None,
    })
}
