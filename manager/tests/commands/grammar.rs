//! Commands whose words each make sense alone, and often not together: they get past the parser, to what must say why not.

use std::ffi::OsString;

use fastrand::Rng;

use crate::world::AGENT;

/// Names each kind of what may stand in a place, once, with the words that may stand there.
macro_rules! kinds {
    ($($kind:ident => $words:expr,)*) => {
        /// What may stand in a place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Kind {
            $($kind,)*
        }
        use Kind::{$($kind),*};

        const KINDS: &[Kind] = &[$($kind),*];

        impl Kind {
            fn words(self) -> &'static [&'static str] {
                match self {
                    $($kind => &$words,)*
                }
            }
        }
    };
}

kinds! {
    Agent => [AGENT, AGENT, AGENT, AGENT, AGENT, "nobody", "x"],
    New => ["x", "x", "y", AGENT],
    Site => ["a", "b", "b", "nowhere"],
    Size => ["64M", "1M", "512M", "1T", "33M", "4096", "8T"],
    Count => ["1", "2", "256", "257", "0"],
    Time => ["10s", "2h", "0s", "30d", "5min"],
    File => ["junk", "/dev/null", "/nowhere", ".", "trace.jsonl", "empty", "qemu-system-x86_64"],
    Mode => ["off", "off", "advise", "auto"],
    Role => ["compute", "desk", "home", "data:x"],
    RoleAtSite => ["compute=b", "desk=a", "compute=nowhere", "home=b", "compute=a", "nothing=b"],
    Profile => ["builtin", "tuned", "junk", "nothing"],
    Forward => ["8022:22", "127.0.0.1:8022:22", "0.0.0.0:1:1", "10.9.9.9:99:99"],
    Port => ["8022", "1", "65535"],
    Anchor => ["10.1.0.0/16=b", "10.1.0.0/16=a", "10.0.0.0/8=nowhere", "0.0.0.0/0=b", "fd00:1::/64=b"],
    Gateway => ["slirp", "slirp", "tap"],
    Text => ["console=ttyS0", "", "x"],
    Cpu => ["Nehalem", "qemu64", "host", "nothing"],
    Accelerator => ["tcg", "kvm", "auto"],
}

/// A part of a command.
#[derive(Debug)]
enum Part {
    Said(&'static str),
    Of(Kind),
}
use Part::{Of, Said};

/// An option, and what it is given.
type Choice = (&'static str, Option<Kind>);

/// A command: its words, what belongs to it, what may be said.
type Form = (&'static [Part], &'static [Choice], &'static [Choice]);

const FORMS: &[Form] = &[
    (&[Said("launch"), Of(Agent)], &[], &[("--here", None)]),
    (&[Said("shutdown"), Of(Agent)], &[], &[]),
    (&[Said("kill"), Of(Agent)], &[], &[]),
    (&[Said("purge"), Of(Agent)], &[("--yes", None)], &[("--here", None)]),
    (&[Said("sync"), Of(Agent)], &[("--site", Some(Site))], &[]),
    (&[Said("stay"), Of(Agent)], &[], &[("--for", Some(Time))]),
    (&[Said("home"), Of(Agent)], &[("--to", Some(Site))], &[("--force", None)]),
    (&[Said("ls")], &[], &[]),
    (&[Said("status")], &[], &[]),
    (&[Said("status"), Of(Agent)], &[], &[]),
    (&[Said("view"), Of(Agent)], &[], &[("--print", None), ("--guest", None), ("--machine", None)]),
    (&[Said("migrate"), Of(Agent)], &[("--to", Some(Site))], &[]),
    (&[Said("suspend"), Of(Agent)], &[], &[]),
    (&[Said("resume"), Of(Agent)], &[], &[("--at", Some(Site)), ("--force", None)]),
    (&[Said("cancel"), Of(Agent)], &[], &[]),
    (
        &[Said("auto"), Of(Agent), Of(Mode)],
        &[],
        &[("--role", Some(RoleAtSite)), ("--role", Some(RoleAtSite)), ("--profile", Some(Profile))],
    ),
    (&[Said("log"), Of(Agent)], &[], &[("--lines", Some(Count))]),
    (&[Said("net"), Of(Agent), Said("ls")], &[], &[]),
    (&[Said("net"), Of(Agent), Said("forward"), Said("tcp"), Of(Forward)], &[], &[]),
    (&[Said("net"), Of(Agent), Said("unforward"), Said("tcp"), Of(Port)], &[], &[]),
    (&[Said("net"), Of(Agent), Said("anchor"), Of(Anchor)], &[], &[]),
    (&[Said("net"), Of(Agent), Said("gateway"), Of(Gateway)], &[], &[("--at", Some(Site))]),
    (&[Said("cd"), Of(Agent), Said("eject")], &[], &[("--force", None)]),
    (&[Said("cd"), Of(Agent), Said("insert"), Of(File)], &[], &[("--force", None)]),
    (
        &[Said("create"), Of(New)],
        &[("--memory", Some(Size)), ("--vcpus", Some(Count)), ("--size", Some(Size))],
        &[
            ("--image", Some(File)),
            ("--disk", Some(Agent)),
            ("--kernel", Some(File)),
            ("--cdrom", Some(File)),
            ("--uefi", None),
            ("--initrd", Some(File)),
            ("--append", Some(Text)),
            ("--cpu", Some(Cpu)),
            ("--accelerator", Some(Accelerator)),
            ("--profile", Some(Profile)),
        ],
    ),
    (&[Said("profile"), Said("check"), Of(File)], &[], &[("--strict", None)]),
    (&[Said("profile"), Said("show"), Of(Profile)], &[], &[("--toml", None)]),
    (
        &[Said("profile"), Said("replay"), Of(Profile), Of(File)],
        &[],
        &[
            ("--map", Some(RoleAtSite)),
            ("--at", Some(Role)),
            ("--migration", Some(Time)),
            ("--speedup", Some(Count)),
            ("--svg", Some(File)),
        ],
    ),
    (&[Said("site"), Said("check"), Of(Site)], &[], &[]),
    (&[Said("site"), Said("ls")], &[], &[]),
];

fn of<T: Copy>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())]
}

/// What stands in a place: most often what belongs there.
fn word(random: &mut Rng, kind: Kind) -> OsString {
    let kind = if random.u8(..20) == 0 { of(random, KINDS) } else { kind };
    of(random, kind.words()).into()
}

/// A command.
pub fn line(random: &mut Rng) -> Vec<OsString> {
    let (parts, must, may) = &FORMS[random.usize(..FORMS.len())];
    let mut words = Vec::new();
    for part in *parts {
        words.push(match part {
            Said(said) => (*said).into(),
            Of(kind) => word(random, *kind),
        });
    }
    let given = must.iter().filter(|_| random.u8(..20) > 0).collect::<Vec<_>>();
    let more = may.iter().filter(|_| random.u8(..3) == 0).collect::<Vec<_>>();
    for (option, kind) in given.into_iter().chain(more) {
        words.push((*option).into());
        words.extend(kind.map(|kind| word(random, kind)));
    }
    words
}
