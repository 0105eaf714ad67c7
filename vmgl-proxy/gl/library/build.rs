//! Generates the entry points that programs call, and the table of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use vmgl_gl_spec::{Base, Entry, Kind, Len, Plan, Registry, Treatment, rules};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // It has no name of its own (SONAME): ldconfig then knows it by each of the names that it is installed under, and libGL.so.1 may be one.
    // Names of OpenGL's are exported here, and so are they by libglvnd, which may come first: ours call ours.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // A thread of ours is in its code for as long as the process lives.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    let registry = Registry::load()?;
    let mut text = String::new();
    let o = &mut text;
    let mut names = BTreeMap::new();
    let mut others = BTreeSet::new();
    for entry in &registry.entries {
        let plan = entry.plan.and_then(|index| registry.commands.get(index));
        function(o, entry, plan)?;
        for name in entry.aliases.iter().filter(|name| others.insert((*name).clone())) {
            other_name(o, entry, name)?;
        }
        for name in entry.aliases.iter().chain([&entry.name]) {
            names.insert(name.clone(), format!("{} as *const ()", identifier(&entry.name)));
        }
    }
    let absent: Vec<_> = registry.known.iter().filter(|name| !names.contains_key(*name)).cloned().collect();
    writeln!(o, "/// Functions of the registry that nobody has written.")?;
    writeln!(o, "pub(crate) static ABSENT: &[&str] = &{absent:?};")?;
    for (index, name) in absent.iter().enumerate() {
        // Whoever is linked with it starts, and may never call it.
        writeln!(o, "#[unsafe(export_name = {name:?})]")?;
        writeln!(o, "unsafe extern \"C\" fn {name}() -> usize {{")?;
        writeln!(o, "// SAFETY: it takes nothing of the program's.\nunsafe {{ absent::<{index}>() }}\n}}")?;
        names.insert(name.clone(), format!("absent::<{index}> as *const ()"));
    }
    writeln!(o, "/// All functions by name, sorted.")?;
    writeln!(o, "pub(crate) static TABLE: &[(&str, Address)] = &[")?;
    for (name, address) in &names {
        writeln!(o, "({name:?}, Address({address})),")?;
    }
    writeln!(o, "];")?;
    let there = |name: &String| registry.entry(name).is_some_and(|it| it.treatment != Treatment::Missing);
    writeln!(o, "/// Extensions all of whose commands are there.")?;
    writeln!(o, "pub(crate) static COMPLETE: &[&str] = &[")?;
    for (name, _) in registry.extensions.iter().filter(|(_, commands)| commands.iter().all(there)) {
        writeln!(o, "{name:?},")?;
    }
    writeln!(o, "];")?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("entries.rs"), text)?;
    fs::write(Path::new(&out).join("attributes.rs"), attributes(&registry)?)?;
    Ok(())
}

/// Of commands that set a current attribute: which, and to what.
fn attributes(registry: &Registry) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let o = &mut text;
    writeln!(o, "/// Which current attribute a command sets, and to what.")?;
    writeln!(o, "pub(crate) fn attribute(command: &Command<'_>) -> Option<(Slot, [f64; 4])> {{")?;
    writeln!(o, "Some(match command {{")?;
    for plan in &registry.commands {
        let Some(form) = Form::of(plan) else { continue };
        let values: Vec<_> = plan.args.iter().skip(form.index.into()).collect();
        let index = plan.args.first().filter(|_| form.index).map(|arg| arg.name.as_str());
        let slot = match index {
            Some(name) => format!("Slot::{}(*{name})", form.slot),
            None if form.slot == "Texture" => "Slot::Texture(0x84c0)".to_owned(),
            None => format!("Slot::{}", form.slot),
        };
        let mut fields: Vec<_> = index.into_iter().collect();
        fields.extend(values.iter().map(|arg| arg.name.as_str()));
        let mut numbers: Vec<String> = (0..form.count)
            .map(|n| match values.first() {
                Some(arg) if form.vector => {
                    format!("element({}, {n}, {:?}, {})", arg.name, form.letter, form.normalized)
                }
                _ => {
                    let name = values.get(n).map(|arg| arg.name.as_str()).unwrap_or_default();
                    let value =
                        if form.letter == "d" { format!("*{name}") } else { format!("f64::from(*{name})") };
                    format!("scalar({value}, {:?}, {})", form.letter, form.normalized)
                }
            })
            .collect();
        while numbers.len() < 4 {
            numbers.push(if numbers.len() == 3 { "1.0" } else { "0.0" }.to_owned());
        }
        writeln!(
            o,
            "Command::{} {{ {} }} => ({slot}, [{}]),",
            plan.variant,
            fields.join(", "),
            numbers.join(", ")
        )?;
    }
    writeln!(o, "_ => return None, }}) }}")?;
    writeln!(o, "/// What numbers a command gives to a generic attribute.")?;
    writeln!(o, "pub(crate) fn numbers(command: &Command<'_>) -> Numbers {{")?;
    writeln!(o, "match command {{")?;
    for plan in &registry.commands {
        let Some(form) = Form::of(plan).filter(|_| plan.variant.starts_with("VertexAttribI")) else {
            continue;
        };
        let numbers = if form.letter.starts_with('u') { "Unsigned" } else { "Signed" };
        writeln!(o, "Command::{} {{ .. }} => Numbers::{numbers},", plan.variant)?;
    }
    writeln!(o, "_ => Numbers::Floats, }} }}")?;
    Ok(text)
}

/// `glColor3ub`, `glTexCoord2fv`, `glVertexAttrib4Nub`: what the name says.
struct Form {
    slot: &'static str,
    index: bool,
    count: usize,
    letter: String,
    vector: bool,
    normalized: bool,
}

impl Form {
    fn of(plan: &Plan) -> Option<Self> {
        const STEMS: &[(&str, &str, bool, bool)] = &[
            ("SecondaryColor", "Secondary", false, true),
            ("Color", "Color", false, true),
            ("Normal", "Normal", false, true),
            ("MultiTexCoord", "Texture", true, false),
            ("TexCoord", "Texture", false, false),
            ("FogCoord", "Fog", false, false),
            ("Index", "Index", false, false),
            ("VertexAttrib", "Generic", true, false),
        ];
        let (rest, stem) =
            STEMS.iter().find_map(|stem| plan.variant.strip_prefix(stem.0).map(|rest| (rest, stem)))?;
        let rest = rest.strip_prefix('I').unwrap_or(rest);
        let (count, rest) = match rest.chars().next()?.to_digit(10) {
            Some(digit) => (usize::try_from(digit).ok()?, rest.get(1..)?),
            None => (1, rest),
        };
        let (normal, rest) = rest.strip_prefix('N').map_or((false, rest), |rest| (true, rest));
        let (vector, letter) = rest.strip_suffix('v').map_or((false, rest), |letter| (true, letter));
        let is_type = matches!(letter, "b" | "s" | "i" | "ub" | "us" | "ui" | "f" | "d");
        let normalized = (stem.3 || normal) && !matches!(letter, "f" | "d");
        (is_type && (1..=4).contains(&count)).then(|| Self {
            slot: stem.1,
            index: stem.2,
            count,
            letter: letter.to_owned(),
            vector,
            normalized,
        })
    }
}

/// `glGetTexImage` to `get_tex_image`.
fn identifier(name: &str) -> String {
    let mut snake = String::new();
    let mut last = 'A';
    for c in name.trim_start_matches("gl").chars() {
        let splits = last.is_ascii_lowercase() || (last.is_ascii_digit() && c != 'D');
        if c.is_ascii_uppercase() && splits {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        last = c;
    }
    snake
}

/// What a function returns, as its declaration has it.
fn returns(entry: &Entry) -> String {
    match entry.ret.as_deref() {
        None => String::new(),
        Some("*const u8") => " -> Address".to_owned(),
        Some(ret) => format!(" -> {ret}"),
    }
}

/// A function under another of its names, for programs that are linked with it by that.
fn other_name(o: &mut String, entry: &Entry, name: &str) -> Result<(), Box<dyn Error>> {
    let params: Vec<_> = entry.params.iter().map(|p| format!("{}: {}", p.name, p.c_type())).collect();
    let names: Vec<_> = entry.params.iter().map(|p| p.name.as_str()).collect();
    writeln!(o, "#[unsafe(export_name = {name:?})]")?;
    writeln!(o, "unsafe extern \"C\" fn {name}({}){} {{", params.join(", "), returns(entry))?;
    writeln!(o, "// SAFETY: the program gives what OpenGL asks of it.")?;
    writeln!(o, "unsafe {{ {}({}) }}\n}}", identifier(&entry.name), names.join(", "))?;
    Ok(())
}

fn function(o: &mut String, entry: &Entry, plan: Option<&Plan>) -> Result<(), Box<dyn Error>> {
    let params: Vec<_> = entry.params.iter().map(|p| format!("{}: {}", p.name, p.c_type())).collect();
    let ret = returns(entry);
    let underscore = if entry.treatment == Treatment::Missing { "_" } else { "" };
    let params: Vec<_> = params.iter().map(|p| format!("{underscore}{p}")).collect();
    // Where libglvnd is missing, programs are linked with this library by these names.
    writeln!(o, "#[unsafe(export_name = {:?})]", entry.name)?;
    writeln!(o, "unsafe extern \"C\" fn {}({}){ret} {{", identifier(&entry.name), params.join(", "))?;
    let names: Vec<_> = entry.params.iter().map(|p| p.name.as_str()).collect();
    match (entry.treatment, plan) {
        (Treatment::Generated, Some(plan)) => generated(o, entry, plan)?,
        (Treatment::Missing, _) => writeln!(o, "enter(|cx| cx.unsupported({:?}))", entry.name)?,
        _ => {
            writeln!(o, "// SAFETY: the program gives what OpenGL asks of it.")?;
            let args: Vec<_> = std::iter::once("cx").chain(names).collect();
            writeln!(o, "enter(|cx| unsafe {{ hand::{}({}) }})", identifier(&entry.name), args.join(", "))?;
        }
    }
    writeln!(o, "}}")?;
    Ok(())
}

fn wanted(base: Base, len: &Len) -> Result<String, Box<dyn Error>> {
    let elements = match len {
        Len::Fixed(count) => format!("Some({count})"),
        Len::Times(name, factor) => format!("size::times({name}, {factor})"),
        Len::Function(function, args) => format!("size::{function}({})", args.join(", ")),
        Len::Free => return Err("a length that only the sender knows needs an entry by hand".into()),
    };
    Ok(match base.c_bytes() {
        1 => elements,
        each => format!("size::bytes({elements}, {each})"),
    })
}

fn generated(o: &mut String, entry: &Entry, plan: &Plan) -> Result<(), Box<dyn Error>> {
    for param in entry.params.iter().filter(|param| param.pointers == 0) {
        let (c, wire) = (param.base.c_type(), param.base.wire_type());
        if c != wire {
            writeln!(o, "let {0} = {wire}::from({0});", param.name)?;
        }
    }
    writeln!(o, "enter(|cx| {{")?;
    let mut fields = Vec::new();
    let mut outs = Vec::new();
    for arg in &plan.args {
        let name = &arg.name;
        let array = |base: Base, len: &Len| -> Result<String, Box<dyn Error>> {
            Ok(format!(
                "// SAFETY: the program's array is as long as OpenGL asks.\n\
                 let Some({name}) = (unsafe {{ raw::bytes({name}.cast(), {}) }}) else {{ \
                 cx.error(INVALID_VALUE); return Default::default(); }};",
                wanted(base, len)?
            ))
        };
        match &arg.kind {
            Kind::Scalar(_) | Kind::Name(_) => {}
            Kind::Names(_, len) => writeln!(o, "{}", array(Base::U32, len)?)?,
            Kind::Array(base, len) => writeln!(o, "{}", array(*base, len)?)?,
            Kind::Data(base, len) => writeln!(
                o,
                "// SAFETY: the program's memory is as long as OpenGL asks.\n\
                 let Some({name}) = (unsafe {{ cx.data({name}.cast(), {}, {}) }}) else {{ \
                 cx.error(INVALID_VALUE); return Default::default(); }};",
                wanted(*base, len)?,
                rules::unpacks(&plan.name)
            )?,
            Kind::Text => writeln!(
                o,
                "// SAFETY: the program's text ends with a NUL.\nlet {name} = unsafe {{ raw::text({name}.cast()) }};"
            )?,
            Kind::Out(base, len) => {
                writeln!(
                    o,
                    "let Some({name}_cap) = {}.and_then(|bytes| u32::try_from(bytes).ok()) else {{ \
                     cx.error(INVALID_ENUM); return Default::default(); }};",
                    wanted(*base, len)?
                )?;
                fields.push(format!("{name}_cap"));
                outs.push(name.clone());
                continue;
            }
            Kind::Extra(_) => return Err(format!("{} needs an entry by hand", plan.name).into()),
        }
        fields.push(name.clone());
    }
    if plan.answers {
        fields.insert(0, "reply".to_owned());
        writeln!(
            o,
            "let Some(answer) = cx.ask(|reply| Command::{} {{ {} }}) else {{ return Default::default() }};",
            plan.variant,
            fields.join(", ")
        )?;
        if !outs.is_empty() {
            writeln!(o, "let mut outs = answer.outs();")?;
        }
        for name in outs {
            writeln!(
                o,
                "// SAFETY: the program's array is as long as OpenGL asks.\n\
                 unsafe {{ raw::put({name}.cast(), outs.next(), {name}_cap) }};"
            )?;
        }
        if let Some(base) = plan.ret {
            let value = match base.c_type() {
                "u64" => "answer.value".to_owned(),
                "u8" => "answer.value.to_le_bytes()[0]".to_owned(),
                "u32" => "answer.low()".to_owned(),
                _ => "answer.low().cast_signed()".to_owned(),
            };
            writeln!(o, "{value}")?;
        }
    } else {
        let body = if fields.is_empty() { String::new() } else { format!(" {{ {} }}", fields.join(", ")) };
        writeln!(o, "cx.send(Command::{}{body});", plan.variant)?;
    }
    writeln!(o, "}})")?;
    Ok(())
}
