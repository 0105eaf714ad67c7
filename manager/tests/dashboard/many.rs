//! Fifty agents at ten sites. The sites are scripts that say what supervisors there would, each second, so no machine is needed: all
//! are shown, the page goes on to answer its user, and neither it nor the dashboard grows while time passes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use manager::agent::store::Store;
use manager::agent::{Accelerator, Agent, FORMAT, Front, mac_of};
use manager::supervisor::phase::{End, Machine, Phase};
use serde_json::json;
use test_guard::Guard;
use test_kit::Chromium;
use uuid::Uuid;

use crate::page::Page;

const AGENTS: usize = 50;
const SITES: usize = 10;
/// A page's own objects, and what the dashboard may have taken of memory at any time.
const HEAP_MAX_BYTES: f64 = 64e6;
const RESIDENT_MAX_KIB: u64 = 256 << 10;

/// `snowbird host --stdio` of the site `$1`, where whatever agent is asked about runs.
const HOST: &str = r#"#!/bin/bash
read -r opening
echo '{"ok":null}'
case $opening in
*'"open":"echo"'*) exec cat ;;
*'"open":"many"'*) ;;
*) exit 1 ;;
esac
status='{"state":"running","told":"running","site":"'$1'","home":"desk","home_changes":0}'
follows= senses= n=$((RANDOM % 10))
while :; do
  if read -r -t 1 question; then
    id=${question#*'"id":'} id=${id%%,*}
    case $question in
    *'"do":"status"'*) echo "{\"id\":$id,\"said\":{\"ok\":$status}}"; echo "{\"id\":$id,\"said\":null}" ;;
    *'"do":"follow"'*) follows="$follows $id" ;;
    *'"do":"sense"'*) senses="$senses $id" ;;
    esac
  elif [ $? -gt 128 ]; then
    n=$((n + 1))
    cpu='{"progress":{"moving":null,"events":[{"e":"cpu","wall":1000000,"busy":['$((n % 10 * 100000))']}]}}'
    for id in $follows; do echo "{\"id\":$id,\"said\":{\"progress\":$status}}"; done
    for id in $senses; do echo "{\"id\":$id,\"said\":$cpu}"; done
  else
    exit 0
  fi
done
"#;

/// A site that knows all of them, of which none is there.
fn desk(folder: &Path) {
    let host = folder.join("host");
    std::fs::write(&host, HOST).unwrap();
    std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o755)).unwrap();
    let sites: Vec<_> = (0..SITES)
        .map(|n| {
            json!({ "name": format!("site{n}"), "address": format!("cmd:{} site{n}", host.display()),
                "remote_home": null, "remote_wandisk": null, "id": null, "reads_only": false })
        })
        .collect();
    let site = json!({ "format": 1, "id": Uuid::from_u128(7), "name": "desk", "sites": sites });
    std::fs::write(folder.join("site.json"), site.to_string()).unwrap();
    let mut store = Store::open(folder).unwrap();
    for n in 0..AGENTS {
        let uuid = Uuid::from_u128(n as u128 + 1);
        let agent = Agent {
            format: FORMAT,
            name: format!("agent{n:02}"),
            uuid,
            disk: format!("agent{n:02}"),
            memory_bytes: 512 << 20,
            vcpus: 1,
            machine: "pc-q35-7.2".to_owned(),
            cpu: "Nehalem".to_owned(),
            accelerator: Accelerator::Tcg,
            mac: mac_of(uuid),
            boot: None,
            cdrom: None,
            cd_changes: 0,
            uefi: None,
            front: Front::Nbd,
            home: "desk".to_owned(),
            home_changes: 0,
            word: None,
        };
        let left = Phase::Off(End::Left { to: format!("site{}", n % SITES) });
        let machine = Machine { phase: left, ..Machine::default() };
        store.put(&agent, &serde_json::to_string(&machine).unwrap(), "created").unwrap();
    }
}

/// The most memory that a process ever had.
fn high_water_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Links to sites that are open.
fn links(folder: &Path) -> usize {
    let host = folder.join("host").display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let asks = |line: &[u8]| String::from_utf8_lossy(line).contains(&host);
    // (The line that is measured has become another program.)
    SITES + lines.filter(|line| asks(line)).count()
}

#[test]
fn fifty_agents_at_ten_sites_are_shown_and_the_page_stays_quick_and_small() {
    let folder = tempfile::tempdir().unwrap();
    let _guard = Guard::of(folder.path()).unwrap();
    desk(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowbird"));
    command.arg("--home").arg(folder.path()).args(["--json", "dashboard", "--listen", "127.0.0.1:0"]);
    let page = Page::begin(command);
    let browser = Chromium::start();
    browser.open(&page.url);
    let of = |list: &str, state: &str| {
        format!(
            "[...document.querySelectorAll('#{list} .item')].filter((it) => it.dataset.state === '{state}').length"
        )
    };
    browser.sees(&of("sites", "answers"), &SITES.to_string());
    browser.sees(&of("agents", "running"), &AGENTS.to_string());
    browser.sees("document.querySelector('.chart path:not(.area)').getAttribute('d').length > 0", "true");

    // From now on a beat of its own is counted, and how late the latest of them came.
    let elements = || browser.text("document.querySelectorAll('*').length");
    let before = elements();
    browser.run(
        "window.beats = 0; window.late = 0; let last = performance.now(); setInterval(() => { \
         const now = performance.now(); window.beats += 1; \
         window.late = Math.max(window.late, now - last - 50); last = now; }, 50)",
    );
    browser.sees("window.beats >= 100", "true");
    let heap: f64 = browser.text("performance.memory.usedJSHeapSize").parse().unwrap();
    let late: f64 = browser.text("window.late").parse().unwrap();
    let (resident, after, links) = (high_water_kib(page.id()), elements(), links(folder.path()));
    eprintln!(
        "latest beat {late:.0} ms, heap {heap} bytes, {after} elements, dashboard {resident} KiB, {links} links"
    );
    // One that is measured, and one over which all agents there are asked.
    assert!(links <= 2 * SITES);
    let count = |text: &str| text.parse::<usize>().unwrap();
    assert!(count(&after) < count(&before) + 50, "elements of the page: {before}, then {after}");
    // (Whoever else uses this machine makes beats late, too.)
    assert!(late < 5000.0 && heap < HEAP_MAX_BYTES && resident < RESIDENT_MAX_KIB);
    browser.size(1360, 1500);
    browser.sees("document.getElementById('sites').getBoundingClientRect().top < innerHeight", "true");
    browser.photograph("many");
}
