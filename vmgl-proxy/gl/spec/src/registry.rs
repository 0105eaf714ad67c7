//! The registry's XML to plans.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

use crate::{Arg, Base, ByHand, Class, Entry, Kind, Len, Param, Plan, Treatment, rules};

/// The first opcode of OpenGL's; those below are the stream's own.
pub const FIRST_OPCODE: u16 = 256;

/// Why there are no plans.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SpecError {
    #[error("the registry is not text")]
    Text(#[from] std::str::Utf8Error),
    #[error("the registry is no XML")]
    Xml(#[from] roxmltree::Error),
    #[error("the registry has no {0}")]
    Absent(String),
    #[error("{command}: {what}")]
    Command { command: String, what: String },
}

/// All commands in the set.
#[derive(Debug)]
pub struct Registry {
    /// Those on the wire, in the order of their opcodes.
    pub commands: Vec<Plan>,
    /// All that a program can ask for, by name.
    pub entries: Vec<Entry>,
    /// The values of OpenGL's names, without `GL_`; those of 32 bits.
    pub enums: BTreeMap<String, u32>,
    /// Extensions and the commands each has.
    pub extensions: BTreeMap<String, Vec<String>>,
    /// Every function that the registry names, in the set or not.
    pub known: BTreeSet<String>,
}

/// A command as the registry has it.
struct Prototype {
    params: Vec<(Param, Option<String>)>,
    ret: Option<(Base, u8)>,
    alias: Option<String>,
}

impl Registry {
    /// Reads the registry that was shipped with the crate `khronos_api`, and applies [`rules`].
    ///
    /// # Errors
    /// [`SpecError`] if a row of the rules fits no command, or a command has a pointer that no rule tells about.
    pub fn load() -> Result<Self, SpecError> {
        Self::parse(std::str::from_utf8(khronos_api::GL_XML)?)
    }

    fn parse(xml: &str) -> Result<Self, SpecError> {
        let options = ParsingOptions { nodes_limit: 1_000_000, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml, options)?;
        let root = document.root_element();
        let prototypes = prototypes(root)?;
        let since = set(root);
        let known = prototypes.keys().cloned().collect();
        refuse_idle_rules(&prototypes, &since)?;

        let mut aliases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let by_hand = rules::ALIASES.iter().map(|&(name, of)| (name, of));
        let registered =
            prototypes.iter().filter_map(|(name, it)| Some((name.as_str(), it.alias.as_deref()?)));
        for (name, of) in registered.chain(by_hand) {
            if since.contains_key(of) && !since.contains_key(name) {
                aliases.entry(of).or_default().push(name.to_owned());
            }
        }

        let mut commands = Vec::new();
        let mut entries = Vec::new();
        for (name, since) in &since {
            let prototype =
                prototypes.get(name).ok_or_else(|| SpecError::Absent(format!("command {name}")))?;
            let treatment = treatment(name);
            let aliases = aliases.remove(name.as_str()).unwrap_or_default();
            let travels = matches!(treatment, Treatment::Generated | Treatment::Hand);
            if travels {
                commands.push(plan(name, prototype, since, aliases.clone(), commands.len())?);
            }
            entries.push(Entry {
                name: name.clone(),
                params: prototype.params.iter().map(|(param, _)| param.clone()).collect(),
                ret: prototype.ret.map(|(base, pointers)| match pointers {
                    0 => base.c_type().to_owned(),
                    _ => "*const u8".to_owned(),
                }),
                since: since.clone(),
                treatment,
                plan: travels.then(|| commands.len() - 1),
                aliases,
            });
        }
        Ok(Self { commands, entries, enums: enums(root), extensions: extensions(root), known })
    }

    /// The command that this function of that name is, by its own name or another.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.name == name || entry.aliases.iter().any(|alias| alias == name))
    }

    /// A number that changes when what is on the wire does.
    pub fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for byte in format!("{:?}", self.commands).bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        digest
    }
}

fn treatment(name: &str) -> Treatment {
    if rules::MISSING.contains(&name) {
        Treatment::Missing
    } else if rules::LOCAL.contains(&name) {
        Treatment::Local
    } else if rules::HAND.contains(&name) {
        Treatment::Hand
    } else {
        Treatment::Generated
    }
}

/// A rule for a command that is not there would be one that nobody keeps.
fn refuse_idle_rules(
    prototypes: &BTreeMap<String, Prototype>,
    since: &BTreeMap<String, String>,
) -> Result<(), SpecError> {
    let lists = [rules::LOCAL, rules::HAND, rules::MISSING, rules::RENDERER];
    for name in lists.into_iter().flatten() {
        if !since.contains_key(*name) {
            return Err(SpecError::Absent(format!("command {name}, which a rule names")));
        }
    }
    let pointers = rules::DATA
        .iter()
        .chain(rules::DROPPED)
        .copied()
        .chain(rules::LENGTHS.iter().map(|row| (row.0, row.1)));
    for (name, pointer) in pointers {
        let there = prototypes.get(name).is_some_and(|it| it.params.iter().any(|(p, _)| p.name == pointer));
        if !there {
            return Err(SpecError::Absent(format!("pointer {pointer} of {name}, which a rule names")));
        }
    }
    Ok(())
}

fn plan(
    name: &str,
    prototype: &Prototype,
    since: &str,
    aliases: Vec<String>,
    index: usize,
) -> Result<Plan, SpecError> {
    let wrong = |what: String| SpecError::Command { command: name.to_owned(), what };
    let extra = rules::EXTRA.iter().find(|row| row.0 == name);
    let mut args = Vec::new();
    for (param, len) in &prototype.params {
        if rules::DROPPED.contains(&(name, param.name.as_str())) {
            continue;
        }
        let kind = kind(name, param, len.as_deref()).map_err(&wrong)?;
        args.push(Arg { name: param.name.clone(), kind });
    }
    if let Some(&(_, field, base)) = extra {
        args.push(Arg { name: field.to_owned(), kind: Kind::Extra(base) });
    }
    let names: BTreeSet<_> = args.iter().map(|arg| arg.name.clone()).collect();
    for arg in &args {
        if let Kind::Names(_, len) | Kind::Array(_, len) | Kind::Data(_, len) | Kind::Out(_, len) = &arg.kind
            && let Some(absent) = len.needs().into_iter().find(|need| !names.contains(*need))
        {
            return Err(wrong(format!("the length of {} needs {absent}", arg.name)));
        }
    }
    // What the agent's side allocates is not told by the renderer.
    let ret = match prototype.ret {
        Some((base, 0)) if extra.is_none() => Some(base),
        Some((_, 0)) | None => None,
        Some(_) => return Err(wrong("it returns a pointer and is on the wire".to_owned())),
    };
    let answers = ret.is_some() || args.iter().any(|arg| matches!(arg.kind, Kind::Out(..)));
    let opcode = u16::try_from(index).ok().and_then(|index| FIRST_OPCODE.checked_add(index));
    Ok(Plan {
        name: name.to_owned(),
        variant: name.trim_start_matches("gl").to_owned(),
        opcode: opcode.ok_or_else(|| wrong("there are too many commands".to_owned()))?,
        args,
        ret,
        answers,
        since: since.to_owned(),
        aliases,
        by_hand: if rules::RENDERER.contains(&name) { ByHand::Renderer } else { ByHand::No },
    })
}

fn kind(command: &str, param: &Param, len: Option<&str>) -> Result<Kind, String> {
    if param.pointers == 0 {
        let named = matches!(param.base, Base::U32 | Base::Handle);
        return Ok(match rules::class_of(command, &param.name) {
            Some(class) if named => Kind::Name(class),
            _ => Kind::Scalar(param.base),
        });
    }
    let pointer = param.name.as_str();
    if rules::is_text(command, pointer) {
        return Ok(Kind::Text);
    }
    if param.pointers > 1 {
        return Err(format!("{pointer} points to pointers"));
    }
    let function = rules::LENGTHS.iter().find(|row| (row.0, row.1) == (command, pointer));
    let length = match function {
        Some(row) => Some(Len::Function(row.2, row.3.iter().map(|name| identifier(name)).collect())),
        None => rules::plain_length(command, pointer).or_else(|| {
            Len::parse(len?).map(|len| match len {
                Len::Times(name, factor) => Len::Times(identifier(&name), factor),
                len => len,
            })
        }),
    };
    let length = length.ok_or_else(|| format!("nothing tells how long {pointer} is"))?;
    let is_data = rules::DATA.contains(&(command, pointer));
    // Names that are generated are allocated in the agent: an array that is written in C is read here.
    let class = rules::class_of(command, pointer).filter(|_| param.base == Base::U32);
    Ok(match class {
        Some(class) if param.constant || command.starts_with("glGen") => Kind::Names(class, length),
        _ if command == "glCallLists" => Kind::Names(Class::List, length),
        _ if is_data => Kind::Data(param.base, length),
        _ if param.constant => Kind::Array(param.base, length),
        _ => Kind::Out(param.base, length),
    })
}

/// The commands of the set, and since when OpenGL has them.
fn set(root: Node<'_, '_>) -> BTreeMap<String, String> {
    let mut since = BTreeMap::new();
    for feature in children(root, "feature").filter(|feature| feature.attribute("api") == Some("gl")) {
        let number = feature.attribute("number").unwrap_or_default();
        let version = number.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if version.is_some_and(|version: (u32, u32)| version <= rules::NEWEST) {
            for name in required(feature) {
                since.entry(name).or_insert_with(|| number.to_owned());
            }
        }
    }
    since.extend(rules::MORE.iter().map(|&(name, from)| (name.to_owned(), from.to_owned())));
    since
}

fn extensions(root: Node<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let all = children(root, "extensions").flat_map(|node| children(node, "extension"));
    all.filter_map(|extension| Some((extension.attribute("name")?.to_owned(), required(extension).collect())))
        .collect()
}

fn required<'a>(node: Node<'a, '_>) -> impl Iterator<Item = String> + 'a {
    let commands = children(node, "require").flat_map(|require| children(require, "command"));
    commands.filter_map(|command| command.attribute("name")).map(str::to_owned)
}

fn enums(root: Node<'_, '_>) -> BTreeMap<String, u32> {
    let all = children(root, "enums").flat_map(|group| children(group, "enum"));
    let read = |node: Node<'_, '_>| {
        let text = node.attribute("value")?;
        let value = match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => text.parse().ok()?,
        };
        Some((node.attribute("name")?.trim_start_matches("GL_").to_owned(), value))
    };
    all.filter_map(read).collect()
}

fn prototypes(root: Node<'_, '_>) -> Result<BTreeMap<String, Prototype>, SpecError> {
    let mut all = BTreeMap::new();
    for command in children(root, "commands").flat_map(|node| children(node, "command")) {
        let absent = |what: &str| SpecError::Absent(what.to_owned());
        let proto = children(command, "proto").next().ok_or_else(|| absent("prototype of a command"))?;
        let name = text_of(proto, "name").ok_or_else(|| absent("name of a command"))?;
        let params: Option<Vec<_>> = children(command, "param").map(parameter).collect();
        // Types that no command of the set has (callbacks, handles of other interfaces) are none of ours.
        let Some(params) = params else { continue };
        let (base, pointers) = match kind_of(proto) {
            Some((base, pointers, _)) => (base, pointers),
            None => continue,
        };
        let ret = (base != Base::Void || pointers > 0).then_some((base, pointers));
        let alias = children(command, "alias").next().and_then(|it| it.attribute("name")).map(str::to_owned);
        all.insert(name, Prototype { params, ret, alias });
    }
    Ok(all)
}

fn parameter(node: Node<'_, '_>) -> Option<(Param, Option<String>)> {
    let (base, pointers, constant) = kind_of(node)?;
    let name = identifier(&text_of(node, "name")?);
    Some((Param { name, base, pointers, constant }, node.attribute("len").map(str::to_owned)))
}

/// What is before the name: the type, the number of pointers, and whether what they point to is constant.
fn kind_of(node: Node<'_, '_>) -> Option<(Base, u8, bool)> {
    let mut words = String::new();
    for part in node.children().take_while(|part| !part.has_tag_name("name")) {
        let text = part.text().unwrap_or_default();
        words.push_str(text);
        words.push(' ');
    }
    let pointers = u8::try_from(words.matches('*').count()).ok()?;
    let spaced = words.replace('*', " ");
    let mut names = spaced.split_whitespace().filter(|word| !matches!(*word, "const" | "struct"));
    let base = Base::named(names.next()?)?;
    Some((base, pointers, words.trim_start().starts_with("const")))
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn text_of(node: Node<'_, '_>, name: &'static str) -> Option<String> {
    children(node, name).next()?.text().map(str::to_owned)
}

/// The registry's name as an identifier in Rust.
fn identifier(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    if matches!(snake.as_str(), "type" | "ref" | "in" | "box" | "move" | "loop") {
        snake.push('_');
    }
    snake
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
