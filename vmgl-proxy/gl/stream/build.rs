//! Generates `Command` from the registry: the enum, its encoder and its decoder.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use vmgl_gl_spec::{Arg, Base, FIRST_OPCODE, Kind, Len, Plan, Registry};

/// Changes of the stream's own commands, which are not in the registry.
const CONTROLS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let registry = Registry::load()?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("command.rs"), commands(&registry)?)?;
    fs::write(Path::new(&out).join("sample.rs"), samples(&registry)?)?;
    Ok(())
}

/// The fields of a variant and their types: `reply` before the arguments of what is answered.
fn fields(plan: &Plan) -> Vec<(&str, &'static str)> {
    let reply = plan.answers.then_some(("reply", "u32"));
    reply.into_iter().chain(plan.args.iter().map(|arg| (arg.name.as_str(), field_type(arg)))).collect()
}

fn field_type(arg: &Arg) -> &'static str {
    match &arg.kind {
        Kind::Scalar(base) | Kind::Extra(base) => base.wire_type(),
        Kind::Name(vmgl_gl_spec::Class::Sync) => "u64",
        Kind::Name(_) | Kind::Out(..) => "u32",
        Kind::Names(..) | Kind::Array(..) | Kind::Text => "&'a [u8]",
        Kind::Data(..) => "Data<'a>",
    }
}

/// What a field is called: an array that is written travels as its capacity.
fn field_name(arg_name: &str, kind: Option<&Kind>) -> String {
    match kind {
        Some(Kind::Out(..)) => format!("{arg_name}_cap"),
        _ => arg_name.to_owned(),
    }
}

fn named_fields(plan: &Plan) -> Vec<(String, &'static str)> {
    let kinds = plan.answers.then_some(None).into_iter().chain(plan.args.iter().map(|arg| Some(&arg.kind)));
    fields(plan).into_iter().zip(kinds).map(|((name, type_), kind)| (field_name(name, kind), type_)).collect()
}

/// An expression for the bytes that an array must have.
fn wanted(base: Base, len: &Len) -> Option<String> {
    let elements = match len {
        Len::Fixed(count) => format!("Some({count})"),
        Len::Times(name, factor) => format!("size::times({name}, {factor})"),
        Len::Function(function, args) => format!("size::{function}({})", args.join(", ")),
        Len::Free => return None,
    };
    Some(match base.c_bytes() {
        1 => elements,
        each => format!("size::bytes({elements}, {each})"),
    })
}

fn commands(registry: &Registry) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let o = &mut text;
    writeln!(o, "/// A number that changes when the commands on the wire do.")?;
    writeln!(o, "pub const SPEC: u64 = {:#x};", registry.digest().wrapping_add(CONTROLS))?;
    writeln!(o, "const FIRST_OPCODE: u16 = {FIRST_OPCODE};")?;
    writeln!(o, "/// The commands' names, from the first opcode on.")?;
    writeln!(o, "pub const COMMANDS: &[&str] = &[")?;
    for plan in &registry.commands {
        writeln!(o, "{:?},", plan.name)?;
    }
    writeln!(o, "];")?;

    writeln!(o, "/// A command to the renderer.\n#[derive(Debug, Clone, Copy, PartialEq)]")?;
    writeln!(o, "#[allow(missing_docs, non_camel_case_types, reason = \"OpenGL's own words\")]")?;
    writeln!(o, "pub enum Command<'a> {{")?;
    writeln!(o, "/// One of the stream's own.\nControl(Control<'a>),")?;
    for plan in &registry.commands {
        let fields: Vec<_> =
            named_fields(plan).iter().map(|(name, type_)| format!("{name}: {type_}")).collect();
        match fields.is_empty() {
            true => writeln!(o, "{},", plan.variant)?,
            false => writeln!(o, "{} {{ {} }},", plan.variant, fields.join(", "))?,
        }
    }
    writeln!(o, "}}")?;

    writeln!(o, "impl<'a> Command<'a> {{")?;
    writeln!(o, "/// Its number on the wire.\npub fn opcode(&self) -> u16 {{ match self {{")?;
    writeln!(o, "Self::Control(control) => control.opcode(),")?;
    for plan in &registry.commands {
        writeln!(o, "Self::{} {{ .. }} => {},", plan.variant, plan.opcode)?;
    }
    writeln!(o, "}} }}")?;
    writeln!(
        o,
        "/// By which reply it is answered, if it is.\npub fn reply(&self) -> Option<u32> {{ match self {{"
    )?;
    writeln!(o, "Self::Control(control) => control.reply(),")?;
    for plan in registry.commands.iter().filter(|plan| plan.answers) {
        writeln!(o, "Self::{} {{ reply, .. }} => Some(*reply),", plan.variant)?;
    }
    writeln!(o, "_ => None, }} }}")?;
    encoder(o, registry)?;
    decoder(o, registry)?;
    writeln!(o, "}}")?;
    Ok(text)
}

fn pattern(plan: &Plan) -> String {
    let names: Vec<_> = named_fields(plan).into_iter().map(|(name, _)| name).collect();
    format!("{} {{ {} }}", plan.variant, names.join(", "))
}

fn encoder(o: &mut String, registry: &Registry) -> Result<(), Box<dyn Error>> {
    writeln!(o, "/// Puts it, header and all, after what it needs ahead of it.")?;
    writeln!(o, "#[inline]\npub fn encode(&self, out: &mut Vec<u8>) {{ match *self {{")?;
    writeln!(o, "Self::Control(control) => control.encode(out),")?;
    for plan in &registry.commands {
        let fields = named_fields(plan);
        writeln!(o, "Self::{} => {{", pattern(plan))?;
        if fields.iter().any(|(_, type_)| type_.starts_with('&') || type_.starts_with("Data")) {
            for (name, type_) in &fields {
                match *type_ {
                    "&'a [u8]" => writeln!(o, "wire::put_parts(out, {name});")?,
                    "Data<'a>" => writeln!(o, "wire::put_parts(out, {name}.memory().unwrap_or_default());")?,
                    _ => {}
                }
            }
            writeln!(o, "let command_start = wire::begin(out, {});", plan.opcode)?;
            for (name, type_) in &fields {
                match *type_ {
                    "&'a [u8]" => writeln!(o, "wire::put_command_array(out, {name});")?,
                    "Data<'a>" => writeln!(o, "wire::put_data(out, &{name});")?,
                    scalar => writeln!(o, "wire::put_{scalar}(out, {name});")?,
                }
            }
            writeln!(o, "wire::end(out, command_start);")?;
        } else {
            let mut words = Vec::new();
            for (name, type_) in &fields {
                match *type_ {
                    "u32" => words.push(name.clone()),
                    "i32" => words.push(format!("{name}.cast_unsigned()")),
                    "f32" => words.push(format!("{name}.to_bits()")),
                    wide => {
                        let bits = match wide {
                            "f64" => format!("{name}.to_bits()"),
                            "i64" => format!("{name}.cast_unsigned()"),
                            _ => name.clone(),
                        };
                        writeln!(o, "let {name} = halves({bits});")?;
                        words.extend([format!("{name}.0"), format!("{name}.1")]);
                    }
                }
            }
            let header = u32::from(plan.opcode) | u32::try_from(words.len())? << 16;
            words.insert(0, format!("{header:#x}"));
            writeln!(o, "wire::put_words(out, [{}]);", words.join(", "))?;
        }
        writeln!(o, "}}")?;
    }
    writeln!(o, "}} }}")?;
    Ok(())
}

fn decoder(o: &mut String, registry: &Registry) -> Result<(), Box<dyn Error>> {
    writeln!(
        o,
        "pub(crate) fn decode_body(opcode: u16, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {{"
    )?;
    writeln!(o, "Ok(match opcode {{")?;
    for plan in &registry.commands {
        writeln!(o, "{} => {{", plan.opcode)?;
        if plan.answers {
            writeln!(o, "let reply = reader.u32()?;")?;
        }
        let command = format!("{:?}", plan.name);
        // Lengths may depend on arguments that come later: those are taken first, in a copy of the reader.
        for (index, arg) in plan.args.iter().enumerate() {
            let needs: Vec<_> = match &arg.kind {
                Kind::Names(_, len) | Kind::Array(_, len) | Kind::Data(_, len) | Kind::Out(_, len) => {
                    len.needs()
                }
                _ => Vec::new(),
            };
            if let Some(late) =
                needs.iter().find(|need| !plan.args[..index].iter().any(|arg| arg.name == **need))
            {
                return Err(
                    format!("{}: {} depends on {late}, which comes later", plan.name, arg.name).into()
                );
            }
            let name = field_name(&arg.name, Some(&arg.kind));
            let take = match &arg.kind {
                Kind::Scalar(_) | Kind::Extra(_) | Kind::Name(_) => format!("reader.{}()?", field_type(arg)),
                Kind::Text => "reader.array()?".to_owned(),
                Kind::Names(_, len) => array(&command, Base::U32, len),
                Kind::Array(base, len) => array(&command, *base, len),
                Kind::Data(base, len) => format!("reader.data({command}, {})?", option(wanted(*base, len))),
                Kind::Out(base, len) => {
                    format!("reader.capacity({command}, {})?", option(wanted(*base, len)))
                }
            };
            writeln!(o, "let {name} = {take};")?;
        }
        writeln!(o, "Self::{} }}", pattern(plan))?;
    }
    writeln!(o, "_ => return Err(DecodeError::Opcode(opcode)), }}) }}")?;
    Ok(())
}

fn array(command: &str, base: Base, len: &Len) -> String {
    match wanted(base, len) {
        Some(wanted) => format!("reader.array_of({command}, {wanted})?"),
        None => "reader.array()?".to_owned(),
    }
}

fn option(expression: Option<String>) -> String {
    expression.map_or_else(|| "None".to_owned(), |expression| format!("Some({expression})"))
}

/// For tests: each command with arguments from a source of numbers; none if its lengths make no sense.
fn samples(registry: &Registry) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let o = &mut text;
    writeln!(o, "#[allow(clippy::all, clippy::pedantic, unused_variables)]")?;
    writeln!(o, "fn sample<'a>(opcode: u16, source: &mut Source<'a>) -> Option<Command<'a>> {{")?;
    writeln!(o, "Some(match opcode {{")?;
    for plan in &registry.commands {
        writeln!(o, "{} => {{", plan.opcode)?;
        if plan.answers {
            writeln!(o, "let reply = source.u32();")?;
        }
        for arg in &plan.args {
            let name = field_name(&arg.name, Some(&arg.kind));
            let make = match &arg.kind {
                Kind::Scalar(Base::Enum) => "source.enumerant()".to_owned(),
                Kind::Scalar(_) | Kind::Extra(_) | Kind::Name(_) => format!("source.{}()", field_type(arg)),
                Kind::Text => "source.bytes(None)?".to_owned(),
                Kind::Names(_, len) => format!("source.bytes({})?", option(wanted(Base::U32, len))),
                Kind::Array(base, len) => format!("source.bytes({})?", option(wanted(*base, len))),
                Kind::Data(base, len) => format!("source.data({})?", option(wanted(*base, len))),
                Kind::Out(base, len) => format!("source.capacity({})?", option(wanted(*base, len))),
            };
            writeln!(o, "let {name} = {make};")?;
        }
        writeln!(o, "Command::{} }}", pattern(plan))?;
    }
    writeln!(o, "_ => return None, }}) }}")?;
    Ok(text)
}
