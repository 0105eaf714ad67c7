//! Memory on its way to another site: the hands of a live move, from the first page until QEMU may switch over.
//!
//! When it may is asked of the disk (law M7), and for how long the agent may stand then is [`Patience`]'s: short at first; longer
//! where it changes its memory so fast that what is left does not become less; and in the end it is told that it cannot be
//! moved, and it goes on where it is. QEMU is told what the line carries, where it can be told: by itself it takes
//! for the line's what goes into buffers, and into the packer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use super::hands::{DISK, Hands, OPENS};
use super::moving::{BANDWIDTH, HOOK};
use super::phase::Attempt;
use super::qemu::SOON;
use super::shell::Input;
use super::stream::Limit;
use super::why::{Sentence, SentenceOf, Why};
use super::wire::{Meter, leaves};
use crate::agent::command_line::names;
use crate::agent::{Accelerator, Agent};
use crate::control::{AskError, Open, Opening, PROTOCOL, Request, ask, open};
use crate::qmp::message::Version;
use crate::qmp::{Client, MigrationStatus};
use crate::sites::{Link, Site, Sites};
use crate::wandisk::Wandisk;

/// A link that was dialled ahead is there by then, or of no use. Shorter than what the other site is patient for.
const SPEAKS: Duration = Duration::from_secs(10);
/// How often a migration is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How long the agent may stand for the last of its memory, at first and at most.
const STANDS_MS: u64 = 300;
const STANDS_MOST_MS: u64 = 4800;
/// So long without a switch, and twice the time is allowed; at the most, it is given up.
const HOPES: Duration = Duration::from_secs(5);
/// Passes that are worth being called tries.
const PASSES: u64 = 2;
/// The line's rate is told anew when it has changed by this share.
const NEWS: f64 = 0.2;

/// A way to the other site's supervisor, opened while something else goes on: nobody waits for a login, least of all an agent that stands.
pub(super) type Way = (Agent, BufReader<Link>);

impl Hands {
    pub(super) async fn copy(&mut self, attempt: Attempt, to: &str) -> Result<(), Why> {
        let sites = Sites::read(&self.here.home).told()?;
        let site = sites.site(to).told()?.clone();
        let mut far = self.opens_bulk(&site).await?;
        self.table_is_there().await?;
        self.drop_copying();
        (self.limit, self.meter) = (Limit::default(), Meter::default());
        self.capabilities(true).await?;
        // It does not switch over before the disk is asked whether anything waits: see `Looking`.
        let parameters = json!({ "downtime-limit": 1, "max-bandwidth": BANDWIDTH });
        self.qemu.call("migrate-set-parameters", parameters).await.told()?;
        std::fs::remove_file(names::LEAVING).ok();
        let listener = UnixListener::bind(names::LEAVING).told()?;
        // (Not before: a login may hang.)
        if self.loses_writes()? {
            self.quiesce(attempt).await?;
            self.qemu.call("stop", Value::Null).await.told()?;
        }
        let (limit, meter) = (self.limit.clone(), self.meter.clone());
        self.copying.push(tokio::spawn(limit.clone().keep(site, self.agent.name.clone())));
        self.copying.push(tokio::spawn(async move {
            if let Ok((mut near, _)) = listener.accept().await {
                leaves(&mut near, &mut far, &limit, &meter).await;
            }
        }));
        let uri = json!({ "uri": format!("unix:{}", names::LEAVING) });
        self.qemu.call("migrate", uri).await.told()?;
        let client = Arc::clone(self.qemu.client().told()?);
        let looks = Looking {
            takes_rate: takes_rate(client.version()),
            client,
            wandisk: self.wandisk.clone(),
            disk: self.agent.disk.clone(),
            inputs: self.inputs.clone(),
            meter: self.meter.clone(),
        };
        self.copying.push(tokio::spawn(looks.until_the_end()));
        self.opens_way(to);
        Ok(())
    }

    /// A way to the other site's supervisor is opened beside what else is done. What cannot be opened ahead is opened, or refused,
    /// when it is needed.
    pub(super) fn opens_way(&mut self, to: &str) {
        let (Ok(document), Ok(sites)) = (self.document(), Sites::read(&self.here.home)) else { return };
        let Ok(site) = sites.site(to).cloned() else { return };
        let opening = self.opening(Open::Control, Some(document.clone()));
        let opens = tokio::spawn(async move { Ok((document, open(&site, &opening).await?)) });
        if let Some(earlier) = self.way.replace(opens) {
            earlier.abort();
        }
    }

    /// A program that leads to the other site logs in there beside what else is done. What it is for is said when that is there,
    /// which costs a round trip then; if it is needed too late the other site has given it up, and another one is begun.
    pub(super) fn dials_bulk(&mut self, to: &str) {
        // (The memory of a suspended agent has a way of its own: it is compared here first, however long that takes.)
        let wanted = self.qemu.client().is_ok();
        let sites = Sites::read(&self.here.home).ok().filter(|_| wanted);
        let link = sites.and_then(|sites| sites.site(to).ok()?.dial().ok());
        self.bulk = link.map(BufReader::new);
    }

    /// The other site's QEMU, by the link that was dialled ahead, or by another one.
    async fn opens_bulk(&mut self, site: &Site) -> Result<BufReader<Link>, Why> {
        let opening = self.opening(Open::Memory, None);
        if let Some(mut link) = self.bulk.take() {
            match ask(&mut link, &opening, SPEAKS, |_| ()).await {
                Ok(_) => return Ok(link),
                Err(refused @ AskError::Refused { .. }) => return Err(refused).told_of(&site.name),
                Err(_) => {}
            }
        }
        open(site, &opening).await.told_of(&site.name)
    }

    fn opening(&self, what: Open, document: Option<Agent>) -> Opening {
        Opening { snowbird: PROTOCOL, agent: self.agent.name.clone(), open: what, document }
    }

    /// The way that was opened ahead, if it is there and what was said of the agent on it still holds.
    pub(super) async fn way(&mut self, document: &Agent) -> Option<BufReader<Link>> {
        arrived(self.way.take().filter(tokio::task::JoinHandle::is_finished)?, document).await
    }

    /// The other site starts its QEMU, and says how it stands then. It was called while the table went ahead, so that no login is waited for.
    pub(super) async fn open_far(&mut self, to: &str, request: &Request) -> Result<Value, Why> {
        let document = self.document()?;
        let way = match self.way.take() {
            Some(way) => arrived(way, &document).await,
            None => None,
        };
        if let Some(mut way) = way {
            match ask(&mut way, request, OPENS, |_| ()).await {
                // It was lost meanwhile; whoever has heard the request already does nothing new by it.
                Err(AskError::Closed | AskError::Io(_)) => {}
                answered => return answered.told_of(to),
            }
        }
        self.far(to, Some(&document), request, OPENS).await.told_of(to)
    }

    /// Before 9.0 QEMU forgot, under translation, writes to a page that it had just looked at for a migration ("physmem: Fix
    /// migration dirty bitmap coherency with TCG memory access"): a guest's timers were lost in one move of some sixty. Such a
    /// machine stands while its memory is copied.
    fn loses_writes(&self) -> Result<bool, Why> {
        let major = self.qemu.client().told()?.version().major;
        Ok(self.agent.accelerator == Accelerator::Tcg && major < 9)
    }

    /// Law M7: from now no request waits long for a chunk that is elsewhere.
    pub(super) async fn quiesce(&self, attempt: Attempt) -> Result<(), Why> {
        self.limit.stands();
        self.meter.stands();
        let name = attempt.to_string();
        let args = ["quiesce", self.agent.disk.as_str(), "--wait", "200ms", "--name", &name];
        self.wandisk.ask(&args, HOOK).await.map(drop).told()
    }

    /// What QEMU and the line say of the copying, for its account.
    pub(super) async fn account(&self) {
        let mut news = self.qemu.call("query-migrate", Value::Null).await.unwrap_or_default();
        news["wire"] = self.meter.told();
        self.inputs.send(Input::Account(news)).ok();
    }

    pub(super) fn drop_copying(&mut self) {
        self.copying.drain(..).for_each(|task| task.abort());
        self.bulk = None;
        if let Some(way) = self.way.take() {
            way.abort();
        }
        if let Some(going) = self.going.take() {
            going.abort();
        }
    }

    pub(super) async fn stop_copy(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        self.qemu.call("migrate_cancel", Value::Null).await.ok();
        self.drop_copying();
        // It may be over, or never have begun; what counts is that nothing is under way.
        while Instant::now() < end {
            let status = self.qemu.call("query-migrate", Value::Null).await.unwrap_or_default();
            if !matches!(
                status["status"].as_str(),
                Some("setup" | "active" | "pre-switchover" | "device" | "cancelling")
            ) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The task that opens a [`Way`].
pub(super) type Opens = tokio::task::JoinHandle<Result<Way, AskError>>;

/// The way, if it could be opened and was opened for this.
async fn arrived(way: Opens, document: &Agent) -> Option<BufReader<Link>> {
    let (told, link) = way.await.ok()?.ok()?;
    (told == *document).then_some(link)
}

/// Since 8.2 QEMU can be told what the line carries.
fn takes_rate(version: Version) -> bool {
    (version.major, version.minor) >= (8, 2)
}

/// Looks at a migration: for progress, for events that were missed, and for the moment when it may switch over.
struct Looking {
    client: Arc<Client>,
    wandisk: Wandisk,
    disk: String,
    inputs: UnboundedSender<Input>,
    meter: Meter,
    takes_rate: bool,
}

impl Looking {
    async fn until_the_end(self) {
        let (began, mut patience, mut told) = (Instant::now(), Patience::default(), 0.0);
        let mut may_switch = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let asked = self.client.call("query-migrate", Value::Null, SOON).await;
            let Ok(mut news) = asked else { continue };
            news["wire"] = self.meter.told();
            let status = MigrationStatus::of(news["status"].as_str().unwrap_or_default());
            let passes = news["ram"]["dirty-sync-count"].as_u64().unwrap_or(0);
            if status == MigrationStatus::Active && passes > 1 {
                told = self.tell_rate(told).await;
                // A request that waits for a far chunk would hold QEMU's drain, and its monitor, for as long (law M7).
                may_switch = may_switch || self.nothing_waits().await;
                match patience.after(began.elapsed(), passes, may_switch) {
                    Next::Stay => {}
                    Next::Stand(ms) => self.set(json!({ "downtime-limit": ms })).await,
                    Next::GiveUp => {
                        let why = cannot_keep_up(&news["ram"], self.meter.rate()).into();
                        self.inputs.send(Input::Event(Event::CopyFailed { why })).ok();
                        return;
                    }
                }
            }
            let ends = matches!(
                status,
                MigrationStatus::Completed | MigrationStatus::Failed | MigrationStatus::Cancelled
            );
            if self.inputs.send(Input::Looked { status, news }).is_err() || ends {
                return;
            }
        }
    }

    async fn nothing_waits(&self) -> bool {
        let disk = self.wandisk.ask(&["status", &self.disk, "--here"], DISK).await.unwrap_or_default();
        disk["fetch"]["waiting"] == json!(0)
    }

    async fn set(&self, parameters: Value) {
        self.client.call("migrate-set-parameters", parameters, SOON).await.ok();
    }

    /// Tells QEMU what the line carries of its pages, if that is news; gives what it knows then.
    async fn tell_rate(&self, told: f64) -> f64 {
        match self.meter.rate() {
            Some(rate) if self.takes_rate && (rate - told).abs() > told * NEWS => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
                let bytes = rate as u64;
                self.set(json!({ "avail-switchover-bandwidth": bytes })).await;
                rate
            }
            _ => told,
        }
    }
}

fn cannot_keep_up(ram: &Value, rate: Option<f64>) -> String {
    let page = ram["page-size"].as_u64().unwrap_or(4096) as f64;
    let dirty = ram["dirty-pages-rate"].as_u64().unwrap_or(0) as f64 * page * 8e-6;
    let line = rate.map_or(String::new(), |rate| format!(", and the line carries {:.0}", rate * 8e-6));
    format!(
        "it changes its memory faster than that can be copied: {dirty:.0} Mbit a second{line}; \
         it would stand for more than {:.1} s",
        STANDS_MOST_MS as f64 / 1e3
    )
}

/// For how long the agent may stand.
#[derive(Debug, Default)]
struct Patience {
    allowed_ms: u64,
    since: Duration,
    pass: u64,
}

/// What changes of that.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stay,
    Stand(u64),
    GiveUp,
}

impl Patience {
    /// After so many passes.
    fn after(&mut self, now: Duration, passes: u64, may_switch: bool) -> Next {
        let next = match self.allowed_ms {
            _ if !may_switch => return Next::Stay,
            0 => Next::Stand(STANDS_MS),
            _ if now.saturating_sub(self.since) < HOPES || passes < self.pass + PASSES => return Next::Stay,
            STANDS_MOST_MS.. => return Next::GiveUp,
            less => Next::Stand((less * 2).min(STANDS_MOST_MS)),
        };
        if let Next::Stand(ms) = next {
            (self.allowed_ms, self.since, self.pass) = (ms, now, passes);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::agent::tests::example;
    use crate::control::Here;
    use crate::net::teller::Teller;

    /// A site, the link to which notes each time that it is begun and hears a line, and then does what the file `does` says.
    fn site(folder: &Path) -> Site {
        let (link, at) = (folder.join("link"), folder.display());
        let script =
            format!("#!/bin/sh\necho >> {at}/begun\nread line\necho \"$line\" >> {at}/heard\n. {at}/does\n");
        std::fs::write(&link, script).unwrap();
        std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o755)).unwrap();
        let sites = json!({ "format": 1, "id": "x", "name": "a", "sites": [{ "name": "b",
            "address": format!("cmd:{}", link.display()), "remote_home": null, "remote_wandisk": null,
            "id": null, "reads_only": false }] });
        std::fs::write(folder.join("site.json"), sites.to_string()).unwrap();
        Sites::read(folder).unwrap().site("b").unwrap().clone()
    }

    fn lines(file: &Path) -> usize {
        std::fs::read_to_string(file).unwrap_or_default().lines().count()
    }

    #[tokio::test]
    async fn memory_goes_by_the_link_that_was_dialled_ahead_or_where_that_broke_by_another_one() {
        const GOOD: &str = "echo '{\"ok\": null}'; exec cat > /dev/null";
        const REFUSES: &str = "echo '{\"error\": {\"message\": \"no\", \"hint\": null}}'";
        for (first, then, links, said) in [
            (GOOD, GOOD, 1, None),
            ("exit 1", GOOD, 2, None),
            (REFUSES, GOOD, 1, Some("at site \"b\", no")),
            ("exit 1", REFUSES, 2, Some("at site \"b\", no")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let site = site(folder.path());
            let does = folder.path().join("does");
            std::fs::write(
                &does,
                format!("if [ -e {0}.1 ]; then\n{then}\nelse\n: > {0}.1\n{first}\nfi\n", does.display()),
            )
            .unwrap();
            let here = Here { home: folder.path().to_owned(), wandisk: None };
            let wandisk = Wandisk::find(&here.home, Some(&does)).unwrap();
            let net = Teller::new(here.clone(), &example(), "a");
            let mut hands = Hands::new(example(), here, "a".to_owned(), wandisk, net, unbounded_channel().0);
            hands.bulk = Some(BufReader::new(site.dial().unwrap()));
            let opened = hands.opens_bulk(&site).await;
            assert_eq!(opened.as_ref().err().map(|why| why.message.as_str()), said);
            assert_eq!(lines(&folder.path().join("begun")), links, "{first}");
            assert!(hands.bulk.is_none());
            // Of no use to anybody when there is no move: its program ends.
            hands.bulk = Some(BufReader::new(site.dial().unwrap()));
            hands.drop_copying();
            assert!(hands.bulk.is_none());
        }
    }

    #[test]
    fn an_agent_may_stand_for_longer_only_where_that_is_of_use_and_not_for_ever() {
        let second = Duration::from_secs(1);
        let mut patience = Patience::default();
        assert_eq!(patience.after(second, 2, false), Next::Stay);
        assert_eq!(patience.after(second * 2, 3, true), Next::Stand(300));
        // A long pass is no try that came to nothing.
        assert_eq!(patience.after(second * 60, 4, true), Next::Stay);
        let mut at = 60;
        for ms in [600, 1200, 2400, 4800] {
            at += 6;
            assert_eq!(patience.after(second * at, u64::from(at) * 10, true), Next::Stand(ms));
            assert_eq!(patience.after(second * (at + 1), u64::from(at) * 10 + 9, true), Next::Stay);
        }
        assert_eq!(patience.after(second * (at + 6), 9999, true), Next::GiveUp);
    }

    #[test]
    fn who_cannot_be_moved_is_told_in_figures() {
        let ram = json!({ "page-size": 4096, "dirty-pages-rate": 6104 });
        let told = cannot_keep_up(&ram, Some(12.5e6));
        assert!(told.contains("200 Mbit a second, and the line carries 100;"), "{told}");
    }
}
