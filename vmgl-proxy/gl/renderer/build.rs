//! Makes `calls.rs` of the registry's plans: a table of OpenGL's functions, and the call for each command that needs no rule of
//! the renderer's own.
//!
//! Invariant: what is called has the C signature of the registry, and its arguments are those that the plan names, in
//! its order; a kind of argument for which nothing is written here fails the build.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use vmgl_gl_spec::{Base, ByHand, Entry, Kind, Plan, Registry};

#[path = "build/fakes.rs"]
mod fakes;

/// What the renderer asks and tells OpenGL itself; programs ask it of the agent's side.
const ASKED: &[&str] = &[
    "glFlush",
    "glGetActiveAttrib",
    "glGetActiveUniform",
    "glGetActiveUniformBlockName",
    "glGetActiveUniformBlockiv",
    "glGetActiveUniformsiv",
    "glGetAttribLocation",
    "glGetError",
    "glGetPointerv",
    "glGetProgramInfoLog",
    "glGetProgramiv",
    "glGetShaderInfoLog",
    "glGetShaderiv",
    "glGetString",
    "glGetStringi",
    "glGetTransformFeedbackVarying",
    "glGetUniformLocation",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let registry = Registry::load()?;
    let mut out = String::new();
    table(&registry, &mut out)?;
    calls(&registry, &mut out)?;
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR")?);
    std::fs::write(folder.join("calls.rs"), out).context("writing calls.rs")?;
    std::fs::write(folder.join("fakes.rs"), fakes::fakes(&registry)?).context("writing fakes.rs")
}

/// The functions that the renderer may call.
fn wanted(entry: &&Entry) -> bool {
    entry.plan.is_some() || ASKED.contains(&entry.name.as_str())
}

/// The functions, and how they are found.
fn table(registry: &Registry, out: &mut String) -> Result<()> {
    out.push_str("/// OpenGL's functions; those that the implementation has.\n");
    out.push_str("#[derive(Clone, Default)]\npub(crate) struct Gl {\n");
    for entry in registry.entries.iter().filter(wanted) {
        writeln!(out, "    pub(crate) {}: Option<{}>,", short(&entry.name), signature(entry))?;
    }
    out.push_str("}\n\nimpl Gl {\n    pub(crate) fn load(find: impl Fn(&str) -> Option<Found>) -> Self {\n");
    out.push_str("        // SAFETY: each has the signature that OpenGL's registry gives for the name it was found by.\n");
    out.push_str("        unsafe { Self {\n");
    for entry in registry.entries.iter().filter(wanted) {
        let names: Vec<&str> =
            std::iter::once(entry.name.as_str()).chain(entry.aliases.iter().map(String::as_str)).collect();
        writeln!(
            out,
            "            {}: {names:?}.into_iter().find_map(&find).map(|f| std::mem::transmute::<Found, {}>(f)),",
            short(&entry.name),
            signature(entry)
        )?;
    }
    out.push_str("        } }\n    }\n}\n\n");
    Ok(())
}

fn signature(entry: &Entry) -> String {
    let types: Vec<String> = entry.params.iter().map(vmgl_gl_spec::Param::c_type).collect();
    let ret = entry.ret.as_ref().map(|ret| format!(" -> {ret}")).unwrap_or_default();
    format!("unsafe extern \"system\" fn({}){ret}", types.join(", "))
}

fn short(name: &str) -> &str {
    name.strip_prefix("gl").unwrap_or(name)
}

/// The calls.
fn calls(registry: &Registry, out: &mut String) -> Result<()> {
    out.push_str("/// Makes the call for a command; none is made for those that are written by hand.\n");
    out.push_str("pub(crate) fn call(hands: &mut Hands<'_>, command: Command<'_>) -> Result<Option<Answer>, Fault> {\n");
    out.push_str("    match command {\n");
    for plan in registry.commands.iter().filter(|plan| plan.by_hand == ByHand::No) {
        one(registry, plan, out)?;
    }
    out.push_str("        _ => Err(Fault::NotHere),\n    }\n}\n");
    Ok(())
}

fn one(registry: &Registry, plan: &Plan, out: &mut String) -> Result<()> {
    let entry = registry.entry(&plan.name).with_context(|| format!("{} has no entry", plan.name))?;
    let (mut fields, mut before, mut given, mut outs) = (Vec::new(), String::new(), Vec::new(), Vec::new());
    let mut unpacks = false;
    if plan.answers {
        fields.push("reply".to_owned());
    }
    let params = entry.params.iter().map(vmgl_gl_spec::Param::c_type);
    for (arg, c_type) in plan.args.iter().zip(params) {
        let name = &arg.name;
        let deletes = plan.name.starts_with("glDelete");
        match &arg.kind {
            Kind::Scalar(Base::Boolean) => given.push(format!("u8::from({name} != 0)")),
            Kind::Scalar(_) => given.push(format!("{name} as {c_type}")),
            Kind::Name(class) => {
                writeln!(before, "            let {name} = hands.name(Class::{class:?}, {name}.into())?;")?;
                given.push(format!("{name} as {c_type}"));
            }
            Kind::Names(class, _) => {
                let how = if deletes { "forget_all" } else { "names" };
                writeln!(before, "            let {name} = hands.{how}(Class::{class:?}, {name})?;")?;
                given.push(format!("{name}.as_ptr()"));
            }
            Kind::Array(base, _) => {
                writeln!(before, "            let {name} = Aligned::new({name}, {});", base.c_bytes())?;
                given.push(format!("{name}.pointer().cast::<{}>()", base.c_type()));
            }
            Kind::Data(base, _) if plan.name.starts_with("glBuffer") => {
                let allocates = plan.name == "glBufferData";
                writeln!(before, "            let {name} = memory({name}, {allocates})?;")?;
                given.push(format!("{name}.cast::<{}>()", base.c_type()));
            }
            Kind::Data(base, _) => {
                unpacks = true;
                writeln!(before, "            let {name} = hands.unpack({name})?;")?;
                given.push(format!("{name}.cast::<{}>()", base.c_type()));
            }
            Kind::Text => {
                writeln!(before, "            let {name} = text({name})?;")?;
                given.push(format!("{name}.as_ptr().cast::<u8>()"));
            }
            Kind::Out(base, _) => {
                writeln!(before, "            let mut {name} = Scratch::new({name}_cap)?;")?;
                given.push(format!("{name}.pointer().cast::<{}>()", base.c_type()));
                outs.push(name.clone());
            }
            Kind::Extra(_) => {
                bail!("{}: a field of the wire that no rule of the renderer's takes", plan.name)
            }
        }
        fields.push(if matches!(arg.kind, Kind::Out(..)) { format!("{name}_cap") } else { name.clone() });
    }
    if plan.args.len() != entry.params.len() {
        bail!("{} has other arguments on the wire than in C", plan.name);
    }
    writeln!(out, "        Command::{} {{ {} }} => {{", plan.variant, fields.join(", "))?;
    writeln!(out, "            let call = hands.gl.{}.ok_or(Fault::Missing)?;", short(&plan.name))?;
    out.push_str(&before);
    let value = if plan.ret.is_some() { "let value = " } else { "" };
    out.push_str("            // SAFETY: the signature is the registry's; arrays are as long as the decoder has checked.\n");
    writeln!(out, "            {value}unsafe {{ call({}) }};", given.join(", "))?;
    if unpacks {
        out.push_str("            hands.unpacked();\n");
    }
    if plan.answers {
        let value = if plan.ret.is_some() { "value as u64" } else { "0" };
        let outs: Vec<String> = outs.iter().map(|name| format!("{name}.taken()")).collect();
        writeln!(
            out,
            "            Ok(Some(Answer {{ reply, value: {value}, outs: vec![{}] }}))",
            outs.join(", ")
        )?;
    } else {
        out.push_str("            Ok(None)\n");
    }
    out.push_str("        }\n");
    Ok(())
}
