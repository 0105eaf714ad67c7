//! A user looks at the page: agents, sites, charts, maps, the log and the screen are there, the agent is moved by it, and what
//! is not heard any more is shown as that.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_kit::{Chromium, Running};

use crate::viewer::Viewer;
use crate::world::{AGENT, World, eventually};

/// `snowbird dashboard`.
pub struct Page {
    running: Running,
    pub url: String,
}

impl Page {
    fn start(world: &World, listen: &str) -> Page {
        Page::begin(world.command_for_long("a", &["dashboard", "--listen", listen]))
    }

    /// By a command that ends in `--json dashboard …`, more or less.
    pub fn begin(mut command: Command) -> Page {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        Page { running: Running(child), url: told["url"].as_str().unwrap().to_owned() }
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.running.0.id()
    }

    fn at(&self) -> &str {
        self.url.strip_prefix("http://").unwrap().split_once('/').unwrap().0
    }
}

const STATE: &str = "document.getElementById('detail').dataset.state";
const DOES: &str = "document.getElementById('does').textContent";
const SITES: &str = "[...document.querySelectorAll('#sites .item')].map((it) => it.dataset.state).join()";
const SCREEN: &str = "document.getElementById('screen-card').dataset.standing";
const SCREEN_TEXT: &str = "document.getElementById('screen-text').textContent";
const CONTROL: &str = "document.getElementById('control').getAttribute('aria-pressed')";
const STANDING: &str = "document.body.dataset.standing";

/// Where the middle of the screen is in the window.
fn middle(browser: &Chromium) -> (i64, i64) {
    let at = browser.run(
        "const it = document.querySelector('#screen canvas'); it.scrollIntoView({ block: 'center' });
         const box = it.getBoundingClientRect();
         return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)]",
    );
    (at[0].as_i64().unwrap(), at[1].as_i64().unwrap())
}

/// What is typed goes to the agent while control is taken, and only then.
fn keyboard(world: &World, browser: &Chromium) {
    let begins = |words: &str| format!("{SCREEN_TEXT}.startsWith('{words}')");
    let types = |words: &str| {
        let (x, y) = middle(browser);
        browser.clicked(x, y);
        browser.typed(words);
    };
    assert_eq!(browser.text(CONTROL), "false", "it is only looked at");
    browser.sees(&begins("You only look"), "true");
    types("before\n");
    browser.click("#control");
    browser.sees(CONTROL, "true");
    browser.sees(&begins("You have control: keyboard and pointer go to the agent"), "true");
    // Taking control takes the keyboard, too.
    browser.typed("at once\n");
    world.judge.heard("a", "at once");
    // Somebody else who looks is told of, and goes on to be heard.
    let address = world.ok("a", &["view", AGENT, "--print"])["address"].as_str().unwrap().to_owned();
    let mut other = Viewer::at(&address);
    browser.sees(&format!("{SCREEN_TEXT}.includes('1 other viewer may type, too')"), "true");
    other.types("another");
    world.judge.heard("a", "another");
    drop(other);
    // A key that is held when control is let go of is not held at the agent for ever.
    browser.holds('\u{e009}');
    browser.run("document.getElementById('control').click()");
    browser.sees(&begins("You only look"), "true");
    browser.lets_go('\u{e009}');
    types("after\n");
    browser.click("#control");
    browser.sees(CONTROL, "true");
    types("control\n");
    world.judge.heard("a", "control");
    for unheard in ["before", "after"] {
        assert!(!world.judge.said("a", &format!("typed {unheard}")), "it was only looked at: {unheard}");
    }
    photograph(browser, "control");
    browser.click("#control");
    browser.sees(CONTROL, "false");
}

/// Suspended and resumed by the page, at the site where it is, whatever was chosen for a move.
fn stands_and_goes_on(world: &World, browser: &Chromium) {
    browser.run("document.getElementById('to').value = 'b'");
    browser.click("#suspend");
    browser.sees(STATE, "suspended");
    browser.sees(&format!("{SCREEN_TEXT}.endsWith('it has no machine now.')"), "true");
    browser.sees("document.getElementById('move').textContent", "Resume");
    browser.sees("document.getElementById('to').value", "a");
    photograph(browser, "suspended");
    browser.click("#move");
    browser.sees(STATE, "running");
    world.judge.goes_on_at("a");
    browser.sees(SCREEN, "shown");
    browser.sees("document.querySelector('.chart .none').hidden", "true");
}

/// How it looks in light and dark, and in a narrow window, for people.
fn photograph(browser: &Chromium, name: &str) {
    for (scheme, width, height) in [("light", 1360, 1500), ("dark", 1360, 1500), ("light", 420, 2600)] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
        browser.size(width, height);
        browser.sees("document.documentElement.scrollWidth <= innerWidth", "true");
        browser.photograph(&format!("{name}-{scheme}-{width}"));
    }
}

#[test]
fn a_user_sees_an_agent_and_its_sites_moves_it_by_the_page_and_sees_it_arrive() {
    let world = World::with_agent();
    let page = Page::start(&world, "127.0.0.1:0");
    let browser = Chromium::start();
    browser.open(&page.url);
    browser.sees(STANDING, "live");
    assert_eq!(browser.text("location.hash"), "", "the key is not left in the address");
    browser.sees("document.getElementById('name').textContent", AGENT);
    browser.sees(STATE, "running");
    browser.sees(SITES, "here,answers");
    browser.sees("document.querySelector('.chart .none').hidden", "true");
    browser.sees("document.querySelector('.chart path:not(.area)').getAttribute('d').length > 0", "true");
    browser.sees("document.querySelectorAll('.replica canvas').length", "1");
    let held = "document.querySelector('.replica .quiet').textContent.includes('held')";
    browser.sees(held, "true");
    browser.sees("document.querySelectorAll('#log li').length > 1", "true");
    browser.click("#screen-open");
    browser.sees(SCREEN, "shown");
    browser.sees("document.querySelector('#screen canvas').width > 100", "true");
    photograph(&browser, "runs");
    keyboard(&world, &browser);
    stands_and_goes_on(&world, &browser);

    // The switch, the select and the button are a user's; the agent is another site's then, and so is its replica.
    browser.click("input[value=advise] + span");
    browser.sees("document.getElementById('auto-text').textContent.includes('nothing is done')", "true");
    browser.run("window.stayed = true");
    browser.click("#move");
    browser.sees(&format!("{DOES}.endsWith('at b')"), "true");
    browser.sees(STATE, "running");
    world.judge.goes_on_at("b");
    browser.sees("document.querySelectorAll('.replica').length", "2");
    let resident = "document.getElementById('disk-facts').textContent.includes('resident at b')";
    browser.sees(resident, "true");
    browser.sees("document.querySelectorAll('.replica .bad:not([hidden])').length", "0");
    browser.sees(SCREEN, "shown");
    browser.sees("document.querySelector('.chart .none').hidden", "true");
    photograph(&browser, "moved");
    assert_eq!(browser.text("window.stayed"), "true");

    // The link is cut: the site is shown as silent, the agent as it was when it was heard last, and a move fails in a sentence.
    world.sever();
    browser.sees(SITES, "here,silent");
    browser.sees("document.getElementById('alarm').textContent.includes('what is shown is of then')", "true");
    browser.click("#move");
    let failed =
        "document.querySelector('.doing[data-state=failed]')?.textContent.includes('does not answer')";
    browser.sees(failed, "true");
    photograph(&browser, "cut");
    world.cut(false);
    browser.sees(SITES, "here,answers");
    browser.sees("document.getElementById('alarm').textContent.includes('Not heard')", "false");

    // The dashboard ends; another one at the same address is another one, which is said.
    let at = page.at().to_owned();
    drop(page);
    browser.sees(STANDING, "lost");
    let _again = Page::start(&world, &at);
    browser.sees(STANDING, "closed");
    browser.sees("document.getElementById('closed').hidden", "false");
}

#[test]
fn a_move_that_is_given_up_by_the_page_leaves_the_agent_where_it_was() {
    let world = World::with_agent_on(World::with_newer_qemu(&["a", "b"]), &["--size", "8M"]);
    let page = Page::start(&world, "127.0.0.1:0");
    let browser = Chromium::start();
    browser.open(&page.url);
    browser.sees(STATE, "running");
    let cannot = "document.getElementById('cancel').hidden";
    assert_eq!(browser.text(cannot), "true", "nothing is under way");
    world.hold(true);
    browser.click("#move");
    eventually("memory is being copied", || world.is_copied_from("a"));
    browser
        .sees("document.getElementById('moving-title').textContent.startsWith('Moving from a to b')", "true");
    browser.sees(cannot, "false");
    photograph(&browser, "moving");
    browser.click("#cancel");
    browser.sees(STATE, "running");
    browser.sees(cannot, "true");
    let told =
        "document.querySelector('.doing[data-state=failed]')?.textContent.includes('it was cancelled')";
    browser.sees(told, "true");
    world.judge.goes_on_at("a");
    world.hold(false);
    browser.click("#move");
    browser.sees(&format!("{DOES}.endsWith('at b')"), "true");
    browser.sees(STATE, "running");
    world.judge.goes_on_at("b");
    world.end_at("b");
}
