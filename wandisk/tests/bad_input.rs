//! Bad input: a clear sentence, exit code 1 (2 where the command line itself is wrong), nothing left half made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use framework::*;

/// Folders of disks at a site, half-made ones too.
fn folders(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.home().join("disks")).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}

/// A program that is no wandisk, for a `cmd:` address.
fn script(world: &World, name: &str, body: &str) -> String {
    let path = world.file(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("cmd:{} serve --stdio", path.display())
}

/// A disk that can still be attached and read.
fn is_usable(site: &Site) {
    let export = site.attach("d");
    export.write(6, 0, 4096);
    export.reads(6, 0, 4096);
    site.detach("d");
}

#[test]
fn an_unknown_site_is_named() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    for args in [
        ["move", "d", "--to", "nowhere"],
        ["sync", "d", "--site", "nowhere"],
        ["prepare", "d", "--to", "nowhere"],
    ] {
        let failed = a.fails(args);
        failed.says(&["nowhere", "known", "wandisk site add"]);
        assert_eq!(failed.code, 1);
    }
    assert_eq!(a.fails(["site", "check", "nowhere"]).says(&["nowhere"]).code, 1);
    is_usable(&a);
}

#[test]
fn an_unreachable_site_is_named_with_the_reason() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["site", "add", "gone", "cmd:/no/such/program serve --stdio"]);
    a.ok(["site", "add", "dead", &script(&world, "dead", "echo 'the tunnel is down' >&2; exit 3")]);
    for (site, why) in [("gone", "/no/such/program"), ("dead", "the tunnel is down")] {
        a.fails(["site", "check", site]).says(&[site, "cannot be reached", why]);
        let failed = a.fails(["move", "d", "--to", site]);
        failed.says(&[site, "cannot be reached", why]);
        assert_eq!(failed.code, 1);
        assert!(a.is_resident("d"));
    }
    is_usable(&a);
}

#[test]
fn a_stream_that_is_no_wandisk_is_shown() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["site", "add", "shell", &script(&world, "banner", "echo 'Welcome to Debian'; cat >/dev/null")]);
    for args in [
        ["site", "check", "shell"].as_slice(),
        &["move", "d", "--to", "shell"],
        &["sync", "d", "--site", "shell"],
    ] {
        a.fails(args).says(&["not a wandisk", "Welcome to Debian"]);
    }
    is_usable(&a);
}

#[test]
fn a_peer_of_another_protocol_version_is_named() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    a.ok(["create", "d", "--size", "1M"]);
    // The real program's hello, its version numbers replaced by 999.
    let serve = format!("{} --home {} serve --stdio", program().display(), b.home().display());
    let hello = format!(
        "printf 'x' | {serve} 2>/dev/null | head -c 8; printf '\\347\\003\\347\\003\\002\\000\\000\\000{{}}'; cat >/dev/null"
    );
    a.ok(["site", "add", "new", &script(&world, "new", &hello)]);
    for args in [["site", "check", "new"].as_slice(), &["move", "d", "--to", "new"]] {
        a.fails(args).says(&["protocol version 999", "same release"]);
    }
    is_usable(&a);
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let uuid = a.status("d")["uuid"].clone();
    let failed = a.fails(["create", "d", "--size", "2M"]);
    failed.says(&["\"d\"", "exists", "another name"]);
    assert_eq!(failed.code, 1);
    assert_eq!(a.status("d")["uuid"], uuid);
    assert_eq!(folders(&a), ["d"]);
    a.fails(["init", "--site", "other"]).says(&["site"]);
    assert_eq!(a.status("d")["site"], "a");
}

#[test]
fn one_name_for_two_disks_is_refused_with_both_uuids() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    b.ok(["create", "d", "--size", "1M"]);
    let (ours, theirs) = (a.status("d")["uuid"].clone(), b.status("d")["uuid"].clone());
    for args in [["move", "d", "--to", "b"], ["sync", "d", "--site", "b"]] {
        a.fails(args).says(&[ours.as_str().unwrap(), theirs.as_str().unwrap(), "another disk"]);
    }
    is_usable(&a);
    is_usable(&b);
}

#[test]
fn sizes_that_no_disk_can_have_are_usage_errors() {
    let world = World::new();
    let a = world.site("a");
    for size in ["0", "3", "1G", "5K", "2K", "8M", "x", "-1"] {
        let failed = a.fails(["create", "d", "--size", "1M", &format!("--chunk-size={size}")]);
        failed.says(&["chunk"]);
        assert_eq!(failed.code, 2, "chunk size {size}");
    }
    for size in ["0", "1000", "513", "99999999P", "128P", "a lot", "-5", ""] {
        let failed = a.fails(["create", "d", &format!("--size={size}")]);
        failed.says(&["size"]);
        assert_eq!(failed.code, 2, "size {size:?}");
    }
    assert_eq!(a.fails(["create", "d"]).says(&["--size"]).code, 2);
    assert!(folders(&a).is_empty());

    a.ok(["create", "d", "--size", "1M"]);
    assert_eq!(a.fails(["resize", "d", "1000"]).says(&["512"]).code, 2);
    assert_eq!(a.fails(["resize", "d", "0"]).code, 2);
    a.fails(["resize", "d", "512K"]).says(&["only grow"]);
    assert_eq!(number(&a.status("d")["size"]), MIB);
}

#[test]
fn command_lines_that_are_wrong_exit_with_2() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let wrong: [&[&str]; 9] = [
        &["frobnicate"],
        &["move", "d"],
        &["attach", "d", "--nbd", "--id", "3"],
        &["attach", "d", "--fetch-timeout", "soon"],
        &["attach", "d", "--prefetch", "maybe"],
        &["commit", "d", "--token", "no-uuid"],
        &["create", "../d", "--size", "1M"],
        &["site", "add", "b", "http://example.org"],
        &["init", "--site", "a b"],
    ];
    for args in wrong {
        assert_eq!(a.fails(args).code, 2, "{args:?}");
    }
    assert_eq!(folders(&a), ["d"]);
}

#[test]
fn bad_addresses_of_exports_are_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    for address in ["unix:", "tcp:nowhere", "tcp:127.0.0.1:99999", "sctp:x", "unix:/no/such/folder/s"] {
        let failed = a.fails(["attach", "d", &format!("--nbd={address}")]);
        assert!(failed.text.len() > 20, "{address}: {}", failed.text);
        assert_eq!(a.status("d")["attached"], false);
    }
    is_usable(&a);
}

#[test]
fn missing_and_broken_images_leave_nothing() {
    let world = World::new();
    let a = world.site("a");
    a.fails(["create", "d", "--from", "/no/such/image"]).says(&["/no/such/image", "No such file"]);
    a.fails(["create", "d", "--from", world.path().to_str().unwrap()]).says(&["director"]);

    let empty = Image::sparse(&world, "empty", 0);
    a.fails(["create", "d", "--from", empty.name()]).says(&["size"]);

    let image = Image::noise(&world, "i", 4 * MIB, 4, 6);
    a.fails(["create", "d", "--from", image.name(), "--size", "1M"]).says(&["fit"]);

    let qcow2 = world.file("qcow2");
    tool("qemu-img", &["convert", "-O", "qcow2", image.name(), qcow2.to_str().unwrap()]);
    let whole = std::fs::read(&qcow2).unwrap();
    // Its tables point nowhere; its header is cut; its end is missing.
    let mut crossed = whole.clone();
    crossed[40..48].fill(0x55);
    let broken = [crossed, whole[..60].to_vec(), whole[..whole.len() / 2].to_vec()];
    for (i, bytes) in broken.iter().enumerate() {
        let path = world.file(&format!("broken{i}"));
        std::fs::write(&path, bytes).unwrap();
        let failed = a.fails(["create", "d", "--from", path.to_str().unwrap()]);
        failed.says(&["qemu-img cannot read", path.to_str().unwrap()]);
        assert_eq!(failed.code, 1);
    }
    assert!(folders(&a).is_empty(), "{:?}", folders(&a));
    assert_eq!(a.json(["ls"])["disks"], json!([]));
}

/// A filesystem of so many MiB, unmounted when dropped. (Needs root, as all of these tests' machines give.)
struct Small<'a>(&'a Path);

impl Small<'_> {
    fn mount(at: &Path, mib: u64) -> Small<'_> {
        std::fs::create_dir(at).unwrap();
        tool("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "small", at.to_str().unwrap()]);
        Small(at)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        try_tool("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_full_target_is_an_error_and_no_disk() {
    let world = World::new();
    let at = world.file("small");
    let _small = Small::mount(&at, 4);
    let a = Site::init(at.join("a"), "a");
    let image = Image::noise(&world, "i", 8 * MIB, 8, 7);
    let failed = a.fails(["create", "d", "--from", image.name()]);
    failed.says(&["No space left"]);
    assert_eq!(failed.code, 1);
    assert!(folders(&a).is_empty());

    a.ok(["create", "d", "--size", "1M"]);
    a.attach("d").write(8, 0, MIB);
    a.detach("d");
    let full = world.file("full");
    let _full = Small::mount(&full, 1);
    std::fs::write(full.join("filler"), vec![1u8; 512 << 10]).unwrap();
    let out = full.join("out");
    a.fails(["export", "d", out.to_str().unwrap()]).says(&["No space left"]);
    assert!(!out.exists(), "half an image is worse than none");
    is_usable(&a);
}

#[test]
fn a_full_disk_passes_enospc_on_and_works_again_when_there_is_room() {
    let world = World::new();
    let at = world.file("small");
    let _small = Small::mount(&at, 6);
    let a = Site::init(at.join("a"), "a");
    a.ok(["create", "d", "--size", "64M"]);
    std::fs::write(at.join("filler"), vec![1u8; 2 << 20]).unwrap();
    let export = a.attach("d");
    export.write(1, 0, MIB);
    let said = export.fails(&format!("for i in range(1, 64): h.pwrite(bytes([2]) * {MIB}, i * {MIB})"));
    assert!(said.contains("No space left") || said.contains("ENOSPC"), "{said}");
    export.reads(1, 0, MIB);
    assert_eq!(a.status("d")["poisoned"], false);
    std::fs::remove_file(at.join("filler")).unwrap();
    export.write(3, 60 * MIB, 256 * KIB);
    export.flush();
    export.reads(3, 60 * MIB, 256 * KIB);
    export.reads(1, 0, MIB);
    a.detach("d");
}

#[test]
fn a_sync_to_a_full_site_says_so_and_goes_on_when_there_is_room() {
    let world = World::new();
    let at = world.file("small");
    // Room is kept for the table's commits, beside the data's 4 MiB.
    let _small = Small::mount(&at, 24);
    let a = world.site("a");
    let b = Site::init(at.join("b"), "b");
    a.knows(&b);
    b.knows(&a);
    let image = Image::noise(&world, "i", 4 * MIB, 4, 8);
    a.ok(["create", "d", "--from", image.name()]);
    std::fs::write(at.join("filler"), vec![1u8; 21 << 20]).unwrap();
    let failed = a.fails(["sync", "d", "--site", "b"]);
    assert_eq!(failed.code, 1);
    std::fs::remove_file(at.join("filler")).unwrap();
    a.ok(["sync", "d", "--site", "b", "--verify"]);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), b.data("d").to_str().unwrap()]);
}

/// Writes until nothing more fits.
fn fill(folder: &Path) {
    let mut filler = std::fs::File::create(folder.join("filler")).unwrap();
    while std::io::Write::write(&mut filler, &[1; 4096]).is_ok_and(|n| n > 0) {}
}

/// A keeper's log gives its room back when it ends: none could begin on a filesystem that others had filled since.
#[test]
fn a_site_whose_filesystem_was_filled_while_no_keeper_ran_answers_and_hands_over() {
    let world = World::new();
    let at = world.file("small");
    let _small = Small::mount(&at, 24);
    let a = world.site("a");
    let b = Site::init(at.join("b"), "b");
    a.knows(&b);
    b.knows(&a);
    let image = Image::noise(&world, "i", 4 * MIB, 4, 9);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["sync", "d", "--site", "b"]);
    let keeper = b.keeper("d");
    kill(keeper, rustix::process::Signal::TERM);
    eventually("the keeper ends", SOON, || !processes_in(&at).contains(&keeper));
    fill(&at);

    a.ok(["site", "check", "b"]);
    assert_eq!(number(&b.status("d")["chunks"]["held"]), 32);
    a.ok(["sync", "d", "--site", "a"]);
    b.ok(["move", "d", "--to", "a"]);
    assert!(a.is_resident("d") && !b.is_resident("d"));
    a.attach("d").is_identical_to(&image);
}

fn sql(site: &Site, statement: &str) {
    let table = site.disk_file("d", "table.db");
    let code = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    tool("python3", &["-c", code, table.to_str().unwrap(), statement]);
}

/// A replica that had learnt one newer row took its table for complete up to there, and a sync passed over the rest.
#[test]
fn a_replica_that_believes_to_know_more_rows_than_it_does_is_made_complete_by_sync() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 4 * MIB, 1, 60);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    for chunk in [0, 9, 20] {
        a.attach("d").write(6, chunk * CHUNK + 512, 4096);
        image.write(6, chunk * CHUNK + 512, 4096);
        a.detach("d");
    }
    b.kill_keeper("d");
    sql(&b, "UPDATE meta SET value = '1000000' WHERE key = 'counter';");
    a.ok(["sync", "d", "--site", "b"]);
    assert_eq!(b.chunks("d", "held"), a.chunks("d", "written"));
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), b.data("d").to_str().unwrap()]);
}

#[test]
fn a_table_of_a_newer_schema_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    sql(&a, "PRAGMA user_version = 1000;");
    for args in [["status", "d"].as_slice(), &["attach", "d", "--nbd"]] {
        let failed = a.fails(args);
        failed.says(&["newer"]);
        assert_eq!(failed.code, 1);
    }
    assert!(a.json(["ls"])["disks"][0]["error"].as_str().unwrap().contains("newer"));
}

#[test]
fn a_table_that_is_none_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    sql(&a, "PRAGMA application_id = 42;");
    a.fails(["attach", "d", "--nbd"]).says(&["table"]);
    std::fs::write(a.disk_file("d", "table.db"), "not a database at all, for sure").unwrap();
    a.fails(["attach", "d", "--nbd"]).says(&["table"]);
    assert!(a.data("d").exists());
}

#[test]
fn a_table_of_another_disk_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["create", "e", "--size", "1M"]);
    std::fs::copy(a.disk_file("e", "table.db"), a.disk_file("d", "table.db")).unwrap();
    a.fails(["attach", "d", "--nbd"]).says(&["of disk", "not of the disk"]);
    // And an image of another size.
    std::fs::File::options().write(true).open(a.data("e")).unwrap().set_len(512).unwrap();
    a.fails(["attach", "e", "--nbd"]).says(&["data.img"]);
}

#[test]
fn a_second_attach_is_refused_and_the_first_goes_on() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let export = a.attach("d");
    for more in [["--nbd"].as_slice(), &["--nbd", "--foreground"]] {
        let args: Vec<&str> = ["attach", "d"].iter().chain(more).copied().collect();
        a.fails(args).says(&["attached here already"]);
    }
    a.fails(["attach", "d", "--nbd"]).says(&[export.uri(), "wandisk detach"]);
    export.write(1, 0, 512);
    a.detach("d");
    a.fails(["detach", "d"]).says(&["not attached"]);
}

#[test]
fn an_attach_elsewhere_says_where_the_disk_is_and_what_to_do() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["sync", "d", "--site", "b"]);
    let failed = b.fails(["attach", "d", "--nbd"]);
    failed.says(&["resident at a", "wandisk move d --to b"]);
    assert_eq!(failed.code, 1);
    b.fails(["resize", "d", "2M"]).says(&["resident at a"]);
    assert_eq!(b.status("d")["attached"], false);
    is_usable(&a);
}

#[test]
fn a_move_to_oneself_is_refused() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    a.fails(["move", "d", "--to", "a"]).says(&["already"]);
    a.ok(["move", "d", "--to", "b"]);
    // From a replica, too.
    a.fails(["move", "d", "--to", "b"]).says(&["already"]);
    is_usable(&b);
}

#[test]
fn a_link_that_leads_back_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let serve = format!("cmd:{} --home {} serve --stdio", program().display(), a.home().display());
    a.ok(["site", "add", "mirror", &serve]);
    a.fails(["move", "d", "--to", "mirror"]).says(&["leads back to this site"]);
    is_usable(&a);
}

#[test]
fn a_copied_home_is_refused() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    tool("cp", &["-a", a.home().to_str().unwrap(), world.file("copy").to_str().unwrap()]);
    let copy = Site::at(world.file("copy"), "a");
    for args in
        [["status", "d"].as_slice(), &["attach", "d", "--nbd"], &["create", "e", "--size", "1M"], &["ls"]]
    {
        copy.fails(args).says(&["copied"]);
    }
    is_usable(&a);
}

#[test]
fn a_folder_that_is_no_home_is_named() {
    let world = World::new();
    let nobody = Site::at(world.file("nobody"), "nobody");
    nobody.fails(["ls"]).says(&["wandisk init"]);
    assert!(!nobody.home().exists());
    let a = world.site("a");
    a.fails(["status", "d"]).says(&["no disk named \"d\"", "wandisk ls"]);
}

#[test]
fn garbage_at_serve_ends_it_and_harms_nobody() {
    use std::io::Write;
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let export = a.attach("d");
    let mut seeds = vec![vec![0u8; 64], vec![0xff; 4096], b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new()];
    let mut noise = vec![0u8; 65536];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    seeds.push(noise);
    for bytes in seeds {
        let mut command = a.serve_command();
        let pipes = || std::process::Stdio::piped();
        let mut child = command.stdin(pipes()).stdout(pipes()).stderr(pipes()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&bytes).ok();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        assert!(!shown(&output).contains("panicked"), "{}", shown(&output));
    }
    export.write(4, 0, 4096);
    export.reads(4, 0, 4096);
}
