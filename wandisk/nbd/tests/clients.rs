//! Other people's clients as judges: libnbd's tools, QEMU's, and fio.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::sync::Arc;

use support::cold_disk::ColdDisk;
use support::{MIB, SOON, Served, run, serve, tool, whole_file};

/// An image with something in it, as a path.
fn image(served: &Served, size: usize) -> String {
    let path = served.folder().join("image");
    let bytes: Vec<u8> = (0..size).map(|i| (i / 512 * 7 + i % 251).to_le_bytes()[0]).collect();
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nbdinfo_is_told_everything() {
    let served = Served::file(64 * MIB);
    let info = run("nbdinfo", &["--json", &served.uri()]);
    for fact in [
        r#""protocol": "newstyle-fixed""#,
        r#""structured": true"#,
        r#""export-name": "disk""#,
        r#""base:allocation""#,
        r#""export-size": 67108864"#,
        r#""can_cache": true"#,
        r#""can_df": true"#,
        r#""can_fast_zero": false"#,
        r#""can_flush": true"#,
        r#""can_fua": true"#,
        r#""can_multi_conn": true"#,
        r#""can_trim": true"#,
        r#""can_zero": true"#,
        r#""is_read_only": false"#,
        r#""block_size_minimum": 1"#,
        r#""block_size_preferred": 4096"#,
        r#""block_size_maximum": 33554432"#,
    ] {
        assert!(info.contains(fact), "{fact} is not in {info}");
    }
    assert!(run("nbdinfo", &["--list", &served.uri()]).contains("export=\"disk\""));
    let by_name = served.uri().replace(":///", ":///disk");
    assert_eq!(run("nbdinfo", &["--size", &by_name]).trim(), "67108864");
    let other = served.uri().replace(":///", ":///other");
    assert!(!tool("nbdinfo", &[&other]).status.success());
    let read_only = Served::disk(Arc::new(whole_file(MIB, true)));
    assert!(run("nbdinfo", &["--json", &read_only.uri()]).contains(r#""is_read_only": true"#));
}

#[test]
fn nbdinfo_maps_holes() {
    let disk = ColdDisk::new(4);
    disk.punch(1);
    disk.punch(2);
    let served = Served::disk(disk);
    let map = run("nbdinfo", &["--map", &served.uri()]);
    let runs: Vec<Vec<&str>> = map.lines().map(|l| l.split_whitespace().take(3).collect()).collect();
    assert_eq!(runs, [["0", "131072", "0"], ["131072", "262144", "3"], ["393216", "131072", "0"]]);
}

#[test]
fn nbdcopy_and_qemu_img_bring_an_image_there_and_back() {
    let size = 24 * MIB;
    let served = Served::file(size);
    let image = image(&served, usize::try_from(size).unwrap());
    let back = served.folder().join("back");
    run("nbdcopy", &["--flush", &image, &served.uri()]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &image, &served.uri()]);
    run("nbdcopy", &[&served.uri(), back.to_str().unwrap()]);
    assert!(std::fs::read(&image).unwrap() == std::fs::read(&back).unwrap());

    let other = Served::file(size);
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", &image, &other.uri()]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &served.uri(), &other.uri()]);
}

#[test]
fn nbdcopy_brings_an_image_there_and_back_over_tcp() {
    let size = 24 * MIB;
    let folder = Served::file(MIB);
    let image = image(&folder, usize::try_from(size).unwrap());
    let back = folder.folder().join("back");
    let handle = serve(Arc::new(whole_file(size, false)), "tcp:127.0.0.1:0");
    for request in ["131072", "262144", "1048576"] {
        let request = format!("--request-size={request}");
        run("nbdcopy", &[&request, "--flush", &image, &handle.uri()]);
        run("nbdcopy", &[&request, &handle.uri(), back.to_str().unwrap()]);
        assert!(std::fs::read(&image).unwrap() == std::fs::read(&back).unwrap(), "{request}");
    }
    assert_eq!(handle.stop(SOON).abandoned, 0);
}

#[test]
fn qemu_io_reads_its_patterns_back() {
    let served = Served::file(16 * MIB);
    let steps = [
        "write -P 0xab 0 64k",
        "write -P 0xcd 65537 1000",
        "write -f -P 0xef 1M 5M",
        "discard 2M 1M",
        "write -z 4k 8k",
        "write -z -u 1M 64k",
        "flush",
        "read -P 0xab 0 4k",
        "read -P 0 4k 8k",
        "read -P 0xab 12k 52k",
        "read -P 0xcd 65537 1000",
        "read -P 0 1M 64k",
        "read -P 0xef 1088k 960k",
        "read -P 0 2M 1M",
        "read -P 0xef 3M 3M",
        "read -P 0 6M 10M",
    ];
    let mut args = vec!["-f", "raw", "-t", "none"];
    steps.iter().for_each(|step| args.extend(["-c", step]));
    let uri = served.uri();
    args.push(&uri);
    let said = run("qemu-io", &args);
    assert!(!said.contains("failed"), "{said}");
}

#[test]
fn qemu_io_works_on_a_disk_that_is_cold() {
    let disk = ColdDisk::new(32);
    (0..32).for_each(|chunk| disk.cool(chunk, None));
    let served = Served::disk(disk);
    let args = ["-f", "raw", "-c", "write -P 7 100k 1M", "-c", "read -P 7 100k 1M", &served.uri()];
    let said = run("qemu-io", &args);
    assert!(!said.contains("failed"), "{said}");
}

#[test]
fn nbdsh_finds_requests_refused_as_the_protocol_says() {
    let served = Served::file(MIB);
    let script = r"
import errno
h.set_strict_mode(0)
def fails(code, call, *args, **kw):
    try:
        call(*args, **kw)
    except nbd.Error as e:
        assert e.errno == code, (e.errno, call, args)
    else:
        raise AssertionError((call, args))
size = h.get_size()
fails('EINVAL', h.pread, 512, size)
fails('ENOSPC', h.pwrite, b'x' * 512, size)
fails('ENOSPC', h.zero, 512, size)
fails('EINVAL', h.trim, 512, size)
fails('EINVAL', h.zero, 512, 0, flags=nbd.CMD_FLAG_FAST_ZERO)
fails('EINVAL', h.pread, 33 * 1024 * 1024, 0)
h.pwrite(b'abc', 1, flags=nbd.CMD_FLAG_FUA)
assert h.pread(5, 0) == b'\0abc\0'
def chunk(data, offset, status, error):
    assert (bytes(data), offset, status) == (b'abc', 1, nbd.READ_DATA)
h.pread_structured(3, 1, chunk, flags=nbd.CMD_FLAG_DF)
h.cache(4096, 0)
h.flush()
h.shutdown()
";
    run("nbdsh", &["-u", &served.uri(), "-c", script]);
}

#[test]
fn nbdsh_keeps_many_requests_in_flight_on_several_connections() {
    let served = Served::file(8 * MIB);
    let script = r"
import random
random.seed(7)
hs = [nbd.NBD() for _ in range(4)]
for c in hs:
    c.connect_uri(uri)
assert all(c.can_multi_conn() for c in hs)
def drain(c):
    while c.aio_in_flight() > 0:
        c.poll(-1)
        while c.aio_in_flight() > 0:
            cookie = c.aio_peek_command_completed()
            if cookie < 1:
                break
            assert c.aio_command_completed(cookie)
blocks = {}
for n, c in enumerate(hs):
    for i in range(200):
        data = random.randbytes(random.randint(1, 9000))
        buffer = nbd.Buffer.from_bytearray(bytearray(data))
        at = (n * 200 + i) * 10000
        blocks[at] = data
        c.aio_pwrite(buffer, at)
for c in hs:
    drain(c)
hs[0].flush()
for at, data in blocks.items():
    assert hs[at % 4].pread(len(data), at) == data, at
";
    run("nbdsh", &["-c", &format!("uri = {:?}\n{script}", served.uri())]);
}

#[test]
fn fio_verifies_what_it_wrote() {
    let served = Served::file(32 * MIB);
    let uri = format!("--uri={}", served.uri());
    let common = [
        "--ioengine=nbd",
        &uri,
        "--size=32M",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--verify_state_save=0",
        "--randseed=5",
    ];
    for job in [
        &["--name=small", "--rw=randwrite", "--bs=4k", "--iodepth=32"][..],
        &["--name=large", "--rw=write", "--bs=1M", "--iodepth=8"],
        &[
            "--name=odd",
            "--rw=randrw",
            "--bsrange=512-70000",
            "--bs_unaligned",
            "--iodepth=16",
            "--serialize_overlap=1",
        ],
        // fio sends a block's trim and its write together, and NBD promises no order between requests in flight.
        &["--name=trims", "--rw=randtrimwrite", "--bs=16k", "--iodepth=1", "--verify_backlog=64"],
    ] {
        run("fio", &[job, &common].concat());
    }
}
