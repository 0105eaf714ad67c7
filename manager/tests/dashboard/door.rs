//! Who may come in, and what whoever comes in may do to others: requests that no page of ours sends.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use manager::control::Here;
use manager::dashboard::Dashboard;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Only a failure takes so long.
const SOON: Duration = Duration::from_secs(60);

struct Door {
    at: SocketAddr,
    word: String,
    _home: tempfile::TempDir,
}

fn site(folder: &Path) {
    let text = r#"{"format": 1, "id": "x", "name": "desk", "sites": []}"#;
    std::fs::write(folder.join("site.json"), text).unwrap();
}

impl Door {
    async fn open() -> Door {
        let home = tempfile::tempdir().unwrap();
        site(home.path());
        let here = Here { home: home.path().to_owned(), wandisk: None };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dashboard = Dashboard::open(here, listen, Vec::new()).await.unwrap();
        let (at, word) = (dashboard.at, dashboard.url.split_once('#').unwrap().1.to_owned());
        tokio::spawn(dashboard.run());
        Door { at, word, _home: home }
    }

    /// Sends this, and gives what comes until the end, or until there is so much.
    async fn says(&self, request: &[u8], most: u64) -> String {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        // It may be hung up on before all of it was sent.
        stream.write_all(request).await.ok();
        let mut said = Vec::new();
        timeout(SOON, stream.take(most).read_to_end(&mut said)).await.expect("an answer").ok();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The status of the answer to a request with these lines of headers.
    async fn status(&self, first: &str, headers: &[String], body: &str) -> u16 {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{first} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let said = self.says(request.as_bytes(), 12).await;
        said.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{first}: {said:?}"))
    }

    fn host(&self) -> String {
        format!("Host: {}", self.at)
    }

    fn key(&self) -> String {
        format!("Authorization: Bearer {}", self.word)
    }
}

#[tokio::test]
async fn without_the_word_or_for_another_host_or_from_another_page_nothing_is_told_or_done() {
    let door = Door::open().await;
    let (host, key) = (door.host(), door.key());
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    let wish = r#"{"do":"cancel","agent":"vm"}"#;
    let json = "Content-Type: application/json".to_owned();
    for path in ["/live", "/map?agent=vm", "/log?agent=vm", "/screen?agent=vm"] {
        let get = format!("GET {path}");
        assert_eq!(door.status(&get, std::slice::from_ref(&host), "").await, 401, "{path}");
        assert_eq!(door.status(&get, &[host.clone(), wrong.clone()], "").await, 401, "{path}");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let headers = [host.clone(), key.clone(), format!("Origin: {origin}")];
            assert_eq!(door.status(&get, &headers, "").await, 403, "{path} {origin}");
        }
    }
    // A name that was made to lead here, and a request that names two.
    for named in ["Host: evil.example", "Host: localhost.evil.example", "X: y"] {
        for path in ["/", "/live", "/js/main.js"] {
            let status = door.status(&format!("GET {path}"), &[named.to_owned(), key.clone()], "").await;
            assert!([400, 403].contains(&status), "{named} {path}: {status}");
        }
    }
    assert_eq!(door.status("POST /do", &[host.clone(), json.clone()], wish).await, 401);
    let foreign = [host.clone(), key.clone(), json.clone(), "Origin: http://evil.example".to_owned()];
    assert_eq!(door.status("POST /do", &foreign, wish).await, 403);
    // What a form can send.
    assert_eq!(
        door.status("POST /do", &[host.clone(), key.clone(), "Content-Type: text/plain".to_owned()], wish)
            .await,
        415
    );
    assert_eq!(door.status("GET /do", &[host.clone(), key.clone()], "").await, 405);
    assert_eq!(door.status("POST /live", &[host.clone(), key.clone()], "").await, 405);

    // With the word.
    let own = [host.clone(), key.clone(), json, format!("Origin: http://{}", door.at)];
    assert_eq!(door.status("POST /do", &own, wish).await, 200);
    assert_eq!(door.status("GET /log?agent=vm", &[host.clone(), key.clone()], "").await, 409);
    assert_eq!(door.status("GET /log?agent=../vm", &[host.clone(), key.clone()], "").await, 400);
    assert_eq!(door.status("GET /screen?agent=vm", &[host.clone(), key.clone()], "").await, 400);
    for path in ["/", "/page.css", "/js/main.js"] {
        assert_eq!(door.status(&format!("GET {path}"), std::slice::from_ref(&host), "").await, 200, "{path}");
    }
    for path in ["/js/", "/../Cargo.toml", "/novnc/../page.css", "/%2e%2e/x"] {
        assert_eq!(door.status(&format!("GET {path}"), std::slice::from_ref(&host), "").await, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_wish_or_too_long_is_refused() {
    let door = Door::open().await;
    let headers = [door.host(), door.key(), "Content-Type: application/json".to_owned()];
    for odd in ["", "7", "{}", r#"{"do":"purge","agent":"vm"}"#, r#"{"do":"cancel","agent":"../vm"}"#] {
        assert_eq!(door.status("POST /do", &headers, odd).await, 400, "{odd}");
    }
    let long = format!(r#"{{"do":"cancel","agent":"{}"}}"#, "x".repeat(5000));
    assert_eq!(door.status("POST /do", &headers, &long).await, 413);
    // Megabytes are not even read.
    assert_eq!(door.status("POST /do", &headers, &"x".repeat(4 << 20)).await, 413);
    let line = format!("X-Long: {}", "x".repeat(64 << 10));
    let status = door.status("GET /", &[door.host(), line], "").await;
    assert!([400, 431].contains(&status), "{status}");
    let many: Vec<String> = (0..200).map(|n| format!("X-{n}: y")).chain([door.host()]).collect();
    assert!([400, 431].contains(&door.status("GET /", &many, "").await));
}

#[tokio::test]
async fn visitors_who_say_nothing_keep_no_page_out_and_pages_are_bounded() {
    let door = Door::open().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(door.at)).await else {
            break;
        };
        silent.push(stream);
    }
    assert!(silent.len() >= 128);
    let live = format!("GET /live HTTP/1.1\r\n{}\r\n{}\r\n\r\n", door.host(), door.key());
    // It waits until those before it have had their time, and then stays.
    let mut pages = Vec::new();
    for number in 0..40 {
        let mut page = TcpStream::connect(door.at).await.unwrap();
        page.write_all(live.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        timeout(SOON, page.read_exact(&mut first)).await.expect("in time").unwrap();
        let due = if number < 32 { "HTTP/1.1 200" } else { "HTTP/1.1 503" };
        assert_eq!(String::from_utf8_lossy(&first), due, "page {number}");
        pages.push(page);
    }
    // One goes, and another may come.
    drop(pages.remove(0));
    let again = async {
        while !door.says(live.as_bytes(), 12).await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, again).await.expect("a place is free again");
}

#[tokio::test]
async fn the_page_is_told_the_whole_and_what_becomes_of_a_wish() {
    let door = Door::open().await;
    let mut page = TcpStream::connect(door.at).await.unwrap();
    let live = format!("GET /live HTTP/1.1\r\n{}\r\n{}\r\n\r\n", door.host(), door.key());
    page.write_all(live.as_bytes()).await.unwrap();
    let mut said = String::new();
    let hears = async |page: &mut TcpStream, said: &mut String, word: &str| {
        let heard = async {
            while !said.contains(word) {
                let mut piece = [0; 4096];
                let len = page.read(&mut piece).await.unwrap();
                assert!(len > 0, "it ended before {word:?}: {said}");
                said.push_str(&String::from_utf8_lossy(&piece[..len]));
            }
        };
        timeout(SOON, heard).await.unwrap_or_else(|_| panic!("never {word:?}"));
    };
    hears(&mut page, &mut said, "event: whole").await;
    let head = said.to_ascii_lowercase();
    for line in
        ["content-security-policy: default-src 'none'", "text/event-stream", "cache-control: no-store"]
    {
        assert!(head.contains(line), "{line}: {head}");
    }
    hears(&mut page, &mut said, r#""site":"desk""#).await;
    let headers = [door.host(), door.key(), "Content-Type: application/json".to_owned()];
    assert_eq!(door.status("POST /do", &headers, r#"{"do":"launch","agent":"nobody"}"#).await, 200);
    hears(&mut page, &mut said, r#""state":"failed""#).await;
    hears(&mut page, &mut said, r#"no agent named \"nobody\" is known at this site"#).await;
}
