//! Bad input: sites that cannot have the agent, images that do not boot, orders that contradict each other. Each is answered by a
//! sentence that says what and what next, before anything moves, and the agent goes on where it was.

use std::process::Stdio;

use serde_json::Value;

use crate::world::{AGENT, World, eventually, kill, script, shown};

/// What the link to `b` does where snowbird is run there: shell, with `$@` the command. (The disk's own links are as ever.)
fn far(world: &World, shell: &str) {
    let link = format!(
        "export SNOWBIRD_WANDISK={}\ncase \"$*\" in *' host --stdio'*) {shell};; esac\nexec \"$@\"",
        world.file("wandisk-b").display()
    );
    script(&world.file("link"), &link);
    // The next supervisor there begins with that.
    let there = world.home("b").display().to_string();
    eventually("nobody supervises it there", || {
        let of_site = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&there)
        };
        let left: Vec<i32> = world.processes("supervise").into_iter().filter(of_site).collect();
        left.iter().copied().for_each(kill);
        left.is_empty()
    });
}

/// The command, where so many MiB can be had of memory, and one of swap.
fn with_memory(world: &World, mib: u64) -> String {
    let meminfo = world.file("meminfo");
    std::fs::write(&meminfo, format!("MemAvailable: {} kB\nSwapFree: 1024 kB\n", mib << 10)).unwrap();
    let little = format!("mount --bind {} /proc/meminfo && exec \"$@\"", meminfo.display());
    format!("unshare --user --map-root-user --mount sh -c '{little}' sh \"$@\"")
}

/// What stands for QEMU at `b`.
fn qemu_that(world: &World, shell: &str) -> String {
    let folder = world.file("odd");
    std::fs::create_dir_all(&folder).unwrap();
    let find =
        std::process::Command::new("sh").args(["-c", "command -v qemu-system-x86_64"]).output().unwrap();
    let real = String::from_utf8(find.stdout).unwrap();
    script(&folder.join("qemu-system-x86_64"), &format!("real={}\n{shell}\nexec $real \"$@\"", real.trim()));
    format!("export PATH={}:/usr/bin:/bin", folder.display())
}

#[test]
fn a_site_that_cannot_have_it_says_why_and_the_agent_goes_on() {
    let world = World::with_agent();
    let older = qemu_that(
        &world,
        "case \"$*\" in *\"-machine help\"*) printf 'Supported:\\nq35  x (alias of pc-q35-6.2)\\npc-q35-6.2  x\\n'; exit;; esac",
    );
    far(&world, "export PATH=/nowhere");
    refused(&world, "is not to be found in the PATH", "install the package qemu-system-x86");
    far(&world, &older);
    refused(&world, "(the newest is pc-q35-6.2)", "install a newer QEMU at site \"b\"");
    let features = "case \"$*\" in *-incoming*) echo \"qemu: TCG doesn't support requested feature: CPUID.01H:ECX.avx\" >&2; exit 1;; esac";
    far(&world, &qemu_that(&world, features));
    refused(&world, "doesn't support requested feature", "`snowbird log` at site \"b\"");
    // No room for its memory in that of the site.
    far(&world, &format!("exec {}", with_memory(&world, 200)));
    refused(&world, "201 MiB of memory can be had, and the agent needs 320 MiB", "free memory at site \"b\"");
    // Another version of snowbird.
    far(&world, "sed -u 's/\"snowbird\":[0-9]*,/\"snowbird\":9,/' | \"$@\"; exit");
    refused(&world, "and not 9", "use one version at all sites");
    // What another site says steers no terminal, and is no longer than a sentence.
    let loud = "read -r line; printf '{\"error\":{\"message\":\"no\\\\u001b[2J%0999d\\\\nroom\",\"hint\":\"make\\\\u0007 some\"}}\\n' 0; exit";
    far(&world, loud);
    let sentence = refused(&world, "at site \"b\", no [2J0000", "make  some");
    assert!(sentence.chars().count() < 1200 && !sentence.contains("room"), "{sentence}");
    // No room for its memory: what comes is refused when the file would grow.
    world.ok("a", &["suspend", AGENT]);
    let small = "trap '' XFSZ; ulimit -f 1024";
    far(&world, small);
    let (sentence, hint) = world.refused("a", &["resume", AGENT, "--at", "b"]);
    assert!(sentence.contains("at site \"b\", its memory could not be kept"), "{sentence}");
    assert!(hint.contains("make room"), "{hint}");
    assert_eq!(world.state("a"), "suspended");
    world.ok("a", &["resume", AGENT]);
    world.judge.goes_on_at("a");
    // Nor here: it is not suspended, and goes on. (The next supervisor is the one that the command begins.)
    for process in ["supervise", "switch"] {
        world.processes(process).into_iter().for_each(kill);
    }
    let suspend = world.command("a", &["suspend", AGENT]);
    script(&world.file("small"), &format!("{small}; exec \"$@\""));
    let mut small = std::process::Command::new(world.file("small"));
    small.arg(suspend.get_program()).args(suspend.get_args()).stdin(Stdio::null());
    let output = small.env_remove("SNOWBIRD_HOME").output().unwrap();
    let said = shown(&output);
    assert!(said.contains("was not suspended") && said.contains("make room"), "{said}");
    world.judge.goes_on_at("a");
    goes_on_while_a_login_hangs(&world);
    far(&world, ":");
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    // What is said there about what is wished here has that site's name, too.
    let (sentence, hint) = world.refused("a", &["resume", AGENT]);
    assert!(
        sentence.starts_with("at site \"b\", the agent is not suspended") && !hint.is_empty(),
        "{sentence} {hint}"
    );
    world.end_at("b");
}

/// The way for its memory is not there before the other site answers: until then the agent runs.
fn goes_on_while_a_login_hangs(world: &World) {
    let (hangs, go) = (world.file("hangs"), world.file("go"));
    let memory =
        format!(": > {}; while [ ! -e {} ]; do sleep 0.05; done; exit 1", hangs.display(), go.display());
    far(
        world,
        &format!(
            "read -r line; case \"$line\" in *'\"open\":\"memory\"'*) {memory};; esac
             {{ printf '%s\\n' \"$line\"; cat; }} | \"$@\"; exit"
        ),
    );
    let mut moving =
        world.command("a", &["migrate", AGENT, "--to", "b"]).stdout(Stdio::null()).spawn().unwrap();
    eventually("memory's way hangs", || hangs.exists());
    let before = world.judge.newest();
    eventually("the agent goes on meanwhile", || world.judge.newest() >= before + 5);
    assert!(moving.try_wait().unwrap().is_none(), "the move was given up at once");
    std::fs::write(go, "").unwrap();
    assert_eq!(moving.wait().unwrap().code(), Some(1));
    world.judge.goes_on_at("a");
}

/// Its sentence names the site that cannot have it, and its hint what to do and where the agent is.
#[track_caller]
fn refused(world: &World, words: &str, todo: &str) -> String {
    let (sentence, hint) = world.refused("a", &["migrate", AGENT, "--to", "b"]);
    assert!(sentence.starts_with("the agent was not moved: at site \"b\", "), "{sentence}");
    assert!(sentence.contains(words) && !sentence.contains("this site"), "{words}: {sentence}");
    assert!(hint.contains(todo) && hint.ends_with("the agent is running at site \"a\""), "{todo}: {hint}");
    assert_eq!(world.state("a"), "running");
    world.judge.goes_on_at("a");
    sentence
}

#[test]
fn of_two_agents_that_come_to_a_site_with_memory_for_one_the_second_is_refused_until_the_first_runs() {
    let world = World::with_agent();
    let machine = ["--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    world.ok("a", &[&["create", "other"][..], &machine].concat());
    world.ok("a", &["launch", "other"]);
    // Enough for either of them; of the first one's memory a part goes over, and the rest when it is let go.
    world.hold(true);
    far(
        &world,
        &format!(
            "{{ read -r line; printf '%s\\n' \"$line\"
             hold={}
             [ -e $hold ] && case \"$line\" in
             *'\"open\":\"memory\"'*) head -c 1048576; while [ -e $hold ]; do sleep 0.05; done;; esac
             exec cat; }} | {}; exit",
            world.file("hold").display(),
            with_memory(&world, 330)
        ),
    );
    let moving = world.command("a", &["migrate", AGENT, "--to", "b"]).stdout(Stdio::piped()).spawn().unwrap();
    let reserved = world.home("b").join("agents").join(AGENT).join("arriving.memory");
    eventually("memory is set aside for the first", || {
        std::fs::metadata(&reserved).is_ok_and(|file| file.len() > 0)
    });
    let (sentence, hint) = world.refused("a", &["migrate", "other", "--to", "b"]);
    assert!(sentence.starts_with("the agent was not moved: at site \"b\", "), "{sentence}");
    assert!(
        sentence.contains("for agents that are on their way there), and the agent needs 256 MiB"),
        "{sentence}"
    );
    assert!(
        hint.contains("free memory at site \"b\"") && hint.ends_with("the agent is running at site \"a\""),
        "{hint}"
    );
    world.hold(false);
    let output = moving.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    world.judge.goes_on_at("b");
    world.ok("a", &["migrate", "other", "--to", "b"]);
    world.ok("b", &["kill", "other"]);
    world.end_at("b");
}

#[test]
fn orders_from_two_homes_and_twice_at_once_leave_one_agent() {
    let world = World::with_agent();
    // The other site believes that it is the home, too, and says so while this one does.
    let asked = |site: &str, args: &[&str]| {
        let mut command = world.command(site, args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    for round in 0..2 {
        let all = [
            asked("a", &["migrate", AGENT, "--to", "a"]),
            asked("b", &["migrate", AGENT, "--to", "a"]),
            asked("b", &["suspend", AGENT]),
            asked("a", &["migrate", AGENT, "--to", "b"]),
            asked("b", &["launch", AGENT]),
            asked("a", &["resume", AGENT]),
            asked("a", &["home", AGENT, "--to", "b"]),
            asked("b", &["home", AGENT, "--to", "a"]),
        ];
        let mut told = Vec::new();
        for child in all {
            let output = child.wait_with_output().unwrap();
            let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{}", shown(&output));
            let sentence = value["error"].as_str();
            assert!(output.status.success() || sentence.is_some_and(|s| s.len() > 10), "{}", shown(&output));
            told.push(sentence.map(str::to_owned));
        }
        eprintln!("{round}: {told:#?}");
        let mut at = "";
        eventually("it is decided how the agent stands", || {
            let status: Value =
                serde_json::from_slice(&world.run("a", &["status", AGENT]).stdout).unwrap_or_default();
            at = if status["site"] == "b" { "b" } else { "a" };
            match status["state"].as_str() {
                Some("suspended") => {
                    world.run(at, &["resume", AGENT]);
                    false
                }
                state => state == Some("running"),
            }
        });
        world.judge.goes_on_at(at);
        assert_eq!(world.processes("qemu-system").len(), 1);
        if at == "a" {
            world.ok("a", &["migrate", AGENT, "--to", "b"]);
        }
    }
    world.judge.goes_on_at("b");
    world.end_at("b");
}

#[test]
fn what_does_not_boot_is_said_where_it_can_be_known() {
    let world = World::new();
    let garbage = world.file("garbage");
    std::fs::write(&garbage, vec![7; 1 << 20]).unwrap();
    let garbage = garbage.to_str().unwrap();
    let machine = ["--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    // A kernel that is none: QEMU says so, and the agent is off.
    let nothing = world.file("nothing");
    std::fs::write(&nothing, "").unwrap();
    let nothing = nothing.to_str().unwrap();
    world.ok("a", &[&["create", AGENT, "--size", "1M", "--kernel", nothing][..], &machine].concat());
    let (sentence, hint) = world.refused("a", &["launch", AGENT]);
    assert!(
        sentence.contains("kernel") && hint.contains("`snowbird log` at site \"a\""),
        "{sentence} {hint}"
    );
    assert_eq!(world.state("a"), "off");
    world.ok("a", &["purge", AGENT, "--yes"]);
    // An image that is damaged, or not there.
    let damaged = world.file("damaged.qcow2");
    std::fs::write(&damaged, [&b"QFI\xfb\0\0\0\x03"[..], &[0xff; 4096]].concat()).unwrap();
    for image in [damaged.to_str().unwrap(), "/nowhere.qcow2"] {
        let (sentence, hint) =
            world.refused("a", &[&["create", AGENT, "--image", image][..], &machine].concat());
        assert!(sentence.contains(image) && !hint.is_empty(), "{sentence} {hint}");
        assert_eq!(world.ok("a", &["ls"])["agents"].as_array().unwrap().len(), 0);
    }
    // A disk without a system: the machine runs, as one of iron would, and is ended by its plug.
    world.ok("a", &[&["create", AGENT, "--image", garbage][..], &machine].concat());
    world.ok("a", &["launch", AGENT]);
    assert_eq!(world.state("a"), "running");
    world.ok("a", &["kill", AGENT]);
    // A profile with a role that nobody has: it is said, and who says a role that the profile has not is refused.
    let profile = world.file("odd.toml");
    let text = "version = 1\n[states.a]\nplace = \"home\"\n[states.b]\nplace = \"data:moon\"\n[[transitions]]\nfrom = \"a\"\nto = \"b\"\nwhen = \"cpu > 0.5\"\n";
    std::fs::write(&profile, text).unwrap();
    let profile = profile.to_str().unwrap();
    let told = world.ok("a", &["auto", AGENT, "advise", "--profile", profile]);
    assert_eq!(told["roles_without_site"], serde_json::json!(["data:moon"]), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("--role data:moon=SITE"), "{told}");
    let (sentence, hint) = world.refused("a", &["auto", AGENT, "advise", "--role", "comptue=b"]);
    assert!(
        sentence.contains("has no role \"comptue\"") && hint.contains("snowbird profile show"),
        "{sentence} {hint}"
    );
    world.ok("a", &["auto", AGENT, "off"]);
}
