//! Headless Chromium, driven over WebDriver: a few requests to chromedriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{PATIENCE, Running, eventually};

/// The key by which WebDriver passes elements around.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Whatever goes wrong with it stops the test.
#[derive(Debug)]
pub struct Chromium {
    port: u16,
    session: String,
    _driver: Running,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts one, with a profile of its own.
    ///
    /// # Panics
    /// Where chromedriver or its browser is missing (`cargo xtask setup` installs them).
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed by xtask setup");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let driver = Running(child);
        let port = said.find_map(|line| {
            let rest = line.split_once("started successfully on port ")?.1;
            rest.trim_end_matches('.').parse().ok()
        });
        // What it says later has to go somewhere, or it waits.
        std::thread::spawn(move || said.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let mut flags: Vec<_> = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
            --disable-background-networking --disable-component-update --disable-sync \
            --disable-dev-shm-usage --force-color-profile=srgb --window-size=900,600"
            .split_whitespace()
            .collect();
        flags.push(&folder);
        let wants = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
        } } });
        let mut it = Self { port: port.unwrap(), session: String::new(), _driver: driver, _profile: profile };
        let session = it.ask("POST", "/session", &wants).unwrap();
        it.session = session["sessionId"].as_str().unwrap().to_owned();
        it
    }

    /// A question to chromedriver; its answer's value.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // It answers when its browser has begun, or has loaded a page.
        stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut len = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; len];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    fn tell(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{what}", self.session), body).unwrap()
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.tell("url", &json!({ "url": url }));
    }

    /// The size of the window.
    pub fn size(&self, width: u32, height: u32) {
        self.tell("window/rect", &json!({ "width": width, "height": height }));
    }

    /// A command of the developer tools.
    pub fn devtools(&self, command: &str, params: &Value) {
        self.tell("goog/cdp/execute", &json!({ "cmd": command, "params": params }));
    }

    /// What a function's body returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.tell("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What an expression of the page gives, as text.
    #[must_use]
    pub fn text(&self, expression: &str) -> String {
        self.run(&format!("return String({expression})")).as_str().unwrap().to_owned()
    }

    /// Waits until the page says so.
    pub fn sees(&self, expression: &str, value: &str) {
        let mut last = String::new();
        let began = std::time::Instant::now();
        while last != value {
            assert!(began.elapsed() < PATIENCE, "{expression} is {last:?} and never {value:?}");
            last = self.text(expression);
        }
    }

    /// Waits until the page is a viewer.
    pub fn connected(&self) {
        self.sees("document.body.dataset.standing", "connected");
    }

    fn element(&self, selector: &str) -> String {
        let found = self.tell("element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on an element of the page.
    pub fn click(&self, selector: &str) {
        self.tell(&format!("element/{}/click", self.element(selector)), &json!({}));
    }

    /// Writes into a field of the page.
    pub fn fill(&self, selector: &str, text: &str) {
        self.tell(&format!("element/{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Presses and lets go of a key for each character.
    pub fn typed(&self, text: &str) {
        let keys = text.chars().flat_map(|key| {
            let key = if key == '\n' { '\u{e007}' } else { key };
            ["keyDown", "keyUp"].map(|what| json!({ "type": what, "value": key.to_string() }))
        });
        let keys: Vec<_> = keys.collect();
        self.tell("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] }));
    }

    /// Presses a key, and keeps it.
    pub fn holds(&self, key: char) {
        self.key("keyDown", key);
    }

    /// Lets go of it.
    pub fn lets_go(&self, key: char) {
        self.key("keyUp", key);
    }

    fn key(&self, what: &str, key: char) {
        let action = json!({ "type": what, "value": key.to_string() });
        self.tell("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": [action] }] }));
    }

    /// Moves the pointer to a place of the window and clicks there.
    pub fn clicked(&self, x: i64, y: i64) {
        let moves = json!([
            { "type": "pointerMove", "duration": 0, "x": x, "y": y },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": moves });
        self.tell("actions", &json!({ "actions": [mouse] }));
    }

    /// The screen's pixels as noVNC drew them, 0xRRGGBB, and its width.
    #[must_use]
    pub fn canvas(&self) -> (usize, Vec<u32>) {
        let got = self.run(
            "const canvas = document.querySelector('#screen canvas');
             if (!canvas || !canvas.width || !canvas.height) return [0, ''];
             const rgba = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
             let text = '';
             for (let at = 0; at < rgba.length; at += 4)
               text += String.fromCharCode(rgba[at], rgba[at + 1], rgba[at + 2]);
             return [canvas.width, btoa(text)];",
        );
        let rgb = base64::engine::general_purpose::STANDARD.decode(got[1].as_str().unwrap()).unwrap();
        let pixels = rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b]));
        (usize::try_from(got[0].as_u64().unwrap()).unwrap(), pixels.collect())
    }

    /// Waits until the screen is this, to the last pixel.
    pub fn shows(&self, what: &str, mut truth: impl FnMut() -> Vec<u32>) {
        eventually(what, || (self.canvas().1 == truth()).then_some(()));
    }

    /// A picture of the window into the file that `VMGL_SCREENSHOTS` has room for, to be looked at by people.
    pub fn photograph(&self, name: &str) {
        let Some(folder) = std::env::var_os("VMGL_SCREENSHOTS") else { return };
        // What is on its way to its place is there; what moves for ever cannot be ended.
        self.run("document.getAnimations().forEach((it) => { try { it.finish() } catch { it.cancel() } })");
        let shot = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null).unwrap();
        let png = base64::engine::general_purpose::STANDARD.decode(shot.as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), png).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            // Ends the browser, which would outlive its driver's death.
            let _ended = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
    }
}
