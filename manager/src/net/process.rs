//! The switch as a process: one an agent and site, by a lock that dies with it ([`crate::seat`]); the loop around [`super::switch`].
//!
//! Like a supervisor it belongs to no login and no link. It ends when nothing of the agent's is at this site and nobody needs it. It begins the
//! supervisor anew that died where the agent is ([`super::absence`]), as that one begins it.
//!
//! Invariant: the loop waits for nobody: what takes time (dialling, a gateway's monitor, a full socket) has a task of its own and
//! a bounded queue.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::absence::Absence;
use super::ask::{Request, Standing};
use super::config::{Config, Forward, Kind};
use super::frame::{FRAME_MAX, Mac};
use super::gateway::{self, Wish};
use super::link;
use super::names;
use super::packet::Packet;
use super::ports::{Port, Queue};
use super::switch::{Out, Switch};
use crate::agent::store::Store;
use crate::agent::{Agent, is_name};
use crate::control::{Here, LINE_MAX, Open, Opening, PROTOCOL, ask, done, failed, folder, open};
use crate::lines::next_line;
use crate::seat::{alone, say};
use crate::sites::Sites;
use crate::supervisor::process::{COMMAND, unsupervised};

mod changes;

/// What waits for the loop; tunnels wait when it is full.
const INPUTS_MAX: usize = 512;
/// Frames that are taken from a card or gateway before somebody else's turn.
const BATCH: usize = 64;
/// Connections at a time.
const ASKING_MAX: usize = 32;
/// Of the tunnels of one site the newest is used; older ones end by themselves, or when there are more.
const LINES_MAX: usize = 3;
/// Sites with tunnels.
const SITES_MAX: usize = 80;
/// A connection that says nothing is dropped; one that holds a supervisor's words may be silent.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Sites are dialled again after this time, twice it, and so on.
const DIAL_FIRST: Duration = Duration::from_millis(250);
const DIAL_MOST: Duration = Duration::from_secs(15);
/// The other site's switch may have to be started.
const TUNNEL: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(250);
/// It ends when nobody has needed it for so long.
const IDLE: Duration = Duration::from_secs(5);
/// A home of before that has been out of reach for so long is followed by the one that is.
const HOME_AWAY: Duration = Duration::from_secs(30);

/// What comes to the loop.
enum Input {
    Ask { request: Request, reply: oneshot::Sender<String> },
    Line { site: String, id: u64, queue: Arc<Queue> },
    LineEnds { site: String, id: u64 },
    Undialled { site: String },
    Packet { site: String, packet: Packet },
    Forwarded { forward: Forward, there: bool, result: Result<(), String>, reply: oneshot::Sender<String> },
    Changed { kind: Kind, result: Result<(), String>, reply: oneshot::Sender<String> },
    Supervisor { is: Supervisor },
}

/// What is to be known of the supervisor ([`Absence`]).
enum Supervisor {
    /// A connection is one over which it tells what the agent does.
    Tells,
    /// Such a one has ended.
    Ended,
    /// It was begun, or could not be.
    Begun,
}

/// Keeps the switch of an agent at this site. Says on standard output, in one line, whether it began.
///
/// # Errors
/// What kept it from beginning, which it has said, or from going on.
pub fn serve(here: &Here, agent: &str) -> Result<()> {
    alone(&folder(&here.home, agent), names::LOCK, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let result = runtime.block_on(async {
            match Loop::begin(here.clone(), agent).await {
                Ok((running, inputs)) => {
                    say("ready");
                    running.run(inputs).await
                }
                Err(error) => {
                    say(&format!("failed {error:#}"));
                    Err(error)
                }
            }
        });
        for name in [names::ASK, names::TUNNEL, names::CARD_PORT, names::GATEWAY_PORT] {
            std::fs::remove_file(name).ok();
        }
        runtime.shutdown_background();
        result
    })
}

/// A tunnel that is open.
struct Line {
    id: u64,
    queue: Arc<Queue>,
}

/// A site that is, or was, dialled.
struct Dialling {
    underway: bool,
    wait: Duration,
    next: Instant,
}

struct Loop {
    here: Here,
    agent: Agent,
    site: String,
    switch: Switch,
    config: Config,
    card: Port,
    gateway: Port,
    gateway_wishes: Sender<Wish>,
    gateway_state: watch::Receiver<String>,
    gateway_task: JoinHandle<()>,
    gateway_wanted: bool,
    lines: HashMap<String, Vec<Line>>,
    dialling: HashMap<String, Dialling>,
    sender: Sender<Input>,
    absence: Absence,
    began: Instant,
    needed: Instant,
    /// When home, or from there the agent, was within reach last.
    reached: Instant,
    outs: Vec<Out>,
}

impl Loop {
    async fn begin(here: Here, name: &str) -> Result<(Loop, Receiver<Input>)> {
        let agent = Store::open(&here.home)?.agent(name)?.agent;
        let site = Sites::read(&here.home)?.name;
        let config = Config::read(Path::new("."))?;
        let mac = Mac::parse(&agent.mac).context("the agent's card has no address")?;
        let switch = Switch::new(&site, &agent.home, mac, config.anchors.clone());
        let card = Port::open(names::CARD_PORT, names::CARD).context("the agent's card")?;
        let port = Port::open(names::GATEWAY_PORT, names::GATEWAY).context("the gateway's port")?;
        let (gateway_wishes, wishes) = channel(16);
        let (told, gateway_state) = watch::channel("not needed here".to_owned());
        let kept = gateway::keep(agent.uuid, config.gateway_kind, config.forwards.clone(), wishes, told);
        let gateway_task = tokio::spawn(kept);
        let (sender, inputs) = channel(INPUTS_MAX);
        for (socket, far) in [(names::ASK, false), (names::TUNNEL, true)] {
            std::fs::remove_file(socket).ok();
            let listener = UnixListener::bind(socket).context("cannot listen in the agent's folder")?;
            tokio::spawn(listen(listener, far, sender.clone()));
        }
        let now = Instant::now();
        let running = Loop {
            here,
            agent,
            site,
            switch,
            config,
            card,
            gateway: port,
            gateway_wishes,
            gateway_state,
            gateway_task,
            gateway_wanted: false,
            lines: HashMap::new(),
            dialling: HashMap::new(),
            sender,
            absence: Absence::new(now),
            began: now,
            needed: now,
            reached: now,
            outs: Vec::new(),
        };
        Ok((running, inputs))
    }

    async fn run(mut self, mut inputs: Receiver<Input>) -> Result<()> {
        // One more than the longest, so that a longer one shows.
        let mut buffers = [[0; FRAME_MAX + 1]; 2];
        let [from_card, from_gateway] = &mut buffers;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                len = self.card.receive(from_card) => {
                    let mut next = Some(len?);
                    for more in (0..BATCH).rev() {
                        let Some(len) = next else { break };
                        self.switch.card_sends(self.began.elapsed(), from_card[..len].to_vec(), &mut self.outs);
                        next = if more > 0 { self.card.receive_now(from_card) } else { None };
                    }
                }
                len = self.gateway.receive(from_gateway) => {
                    let mut next = Some(len?);
                    for more in (0..BATCH).rev() {
                        let Some(len) = next else { break };
                        self.switch.gateway_sends(self.began.elapsed(), from_gateway[..len].to_vec(), &mut self.outs);
                        next = if more > 0 { self.gateway.receive_now(from_gateway) } else { None };
                    }
                }
                input = inputs.recv() => {
                    let Some(input) = input else { return Ok(()) };
                    self.take(input);
                }
                _ = tick.tick() => {
                    self.switch.tick(self.began.elapsed());
                    for (site, lines) in &self.lines {
                        if let Some(way) = lines.last().and_then(|line| line.queue.way()) {
                            self.switch.set_way(site, way);
                        }
                    }
                    if self.look_after() {
                        return self.end().await;
                    }
                }
            }
            self.carry_out();
        }
    }

    /// A gateway that an earlier switch left here ends, too.
    async fn end(self) -> Result<()> {
        let Loop { gateway_wishes, gateway_task, .. } = self;
        gateway_wishes.send(Wish::There(false)).await.ok();
        drop(gateway_wishes);
        gateway_task.await.context("the gateway's task")
    }

    fn carry_out(&mut self) {
        for out in std::mem::take(&mut self.outs) {
            match out {
                Out::Card(frame) => self.card.queue.push(frame),
                Out::Gateway(frame) => self.gateway.queue.push(frame),
                Out::Link { site, packet } => {
                    if let Some(line) = self.lines.get(&site).and_then(|lines| lines.last()) {
                        line.queue.push(packet.encode());
                    }
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.began.elapsed();
        match input {
            Input::Packet { site, packet } => {
                let frame = !matches!(packet, Packet::News(_));
                self.switch.peer_sends(now, &site, packet, &mut self.outs);
                if frame {
                    return;
                }
                if self.switch.news().anchors != self.config.anchors {
                    self.config.anchors = self.switch.news().anchors.clone();
                    // What cannot be kept is heard again from home.
                    self.config.write(Path::new(".")).ok();
                }
            }
            Input::Line { site, id, queue } => {
                if self.lines.len() >= SITES_MAX && !self.lines.contains_key(&site) {
                    return queue.close();
                }
                let lines = self.lines.entry(site.clone()).or_default();
                lines.push(Line { id, queue });
                if lines.len() > LINES_MAX {
                    lines.remove(0).queue.close();
                }
                self.dialling.remove(&site);
                self.switch.link_up(now, &site, &mut self.outs);
            }
            Input::LineEnds { site, id } => {
                if let Some(lines) = self.lines.get_mut(&site) {
                    lines.retain(|line| line.id != id);
                    if lines.is_empty() {
                        self.lines.remove(&site);
                        self.switch.link_down(&site);
                    }
                }
                self.dialled(&site);
            }
            Input::Undialled { site } => self.dialled(&site),
            Input::Ask { request, reply } => self.asked(request, reply),
            Input::Forwarded { forward, there, result, reply } => {
                let answer = result.and_then(|()| self.keep_forward(forward, there));
                reply.send(answered(answer)).ok();
            }
            Input::Changed { kind, result, reply } => {
                let answer = result.and_then(|()| self.keep_kind(kind));
                reply.send(answer.map_or_else(|why| failed(&why, None), |told| done(&told))).ok();
            }
            Input::Supervisor { is: Supervisor::Tells } => self.absence.tells(Instant::now()),
            Input::Supervisor { is: Supervisor::Ended } => self.absence.ended(Instant::now()),
            Input::Supervisor { is: Supervisor::Begun } => self.absence.begun(Instant::now()),
        }
        self.look_after();
    }

    /// A try to reach a site is over.
    fn dialled(&mut self, site: &str) {
        if let Some(dialling) = self.dialling.get_mut(site) {
            dialling.underway = false;
            dialling.next = Instant::now() + dialling.wait;
            dialling.wait = (dialling.wait * 2).min(DIAL_MOST);
        }
    }

    /// Gateways and tunnels that are wanted. True if nobody needs this switch any more.
    fn look_after(&mut self) -> bool {
        let wanted = self.switch.wants_gateway();
        if wanted != self.gateway_wanted && self.gateway_wishes.try_send(Wish::There(wanted)).is_ok() {
            self.gateway_wanted = wanted;
        }
        let wants = self.switch.wants();
        self.dialling.retain(|site, dialling| dialling.underway || wants.contains(site));
        let now = Instant::now();
        for site in wants.into_iter().filter(|site| !self.switch.links().contains(site)) {
            let first = || Dialling { underway: false, wait: DIAL_FIRST, next: now };
            let dialling = self.dialling.entry(site.clone()).or_insert_with(first);
            if !dialling.underway && dialling.next <= now {
                dialling.underway = true;
                self.dial(site);
            }
        }
        self.follow_home(now);
        if self.absence.is_due(now, self.switch.is_expected()) {
            self.begin_supervisor();
        }
        if !self.switch.is_idle() {
            self.needed = now;
        }
        now > self.needed + IDLE
    }

    /// Whether it could be begun shows when it tells something.
    fn begin_supervisor(&self) {
        let (here, agent, uuid) = (self.here.clone(), self.agent.name.clone(), self.agent.uuid);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            // (One that is there, and was not heard, is left alone.)
            let nobody = unsupervised(&folder(&here.home, &agent)).is_ok_and(|seat| seat.is_some());
            if nobody && here.daemon(COMMAND, &agent).await.is_ok() {
                let line = "nobody supervised it any more: its supervisor was begun anew";
                Store::open(&here.home).and_then(|mut store| store.note(uuid, line)).ok();
            }
            sender.send(Input::Supervisor { is: Supervisor::Begun }).await.ok();
        });
    }

    fn dial(&self, site: String) {
        let (home, own, agent) = (self.here.home.clone(), self.site.clone(), self.agent.clone());
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let reached = async {
                let sites = Sites::read(&home)?;
                let opening = Opening {
                    snowbird: PROTOCOL,
                    agent: agent.name.clone(),
                    open: Open::Network,
                    document: Some(agent),
                };
                let mut stream = open(sites.site(&site)?, &opening).await?;
                ask(&mut stream, &Request::Tunnel { site: own }, TUNNEL, |_| ()).await?;
                anyhow::Ok(stream)
            };
            match reached.await {
                Ok(stream) => carry(stream, site, &sender).await,
                Err(_) => drop(sender.send(Input::Undialled { site }).await),
            }
        });
    }

    fn asked(&mut self, request: Request, reply: oneshot::Sender<String>) {
        let now = self.began.elapsed();
        let answer = match request {
            Request::Expect => {
                self.switch.expect();
                Ok(())
            }
            Request::Moving { to } => {
                self.switch.moving(&to);
                Ok(())
            }
            Request::Stands => {
                self.switch.stands(now);
                Ok(())
            }
            Request::Runs { epoch } => {
                self.switch.runs(epoch, &mut self.outs);
                Ok(())
            }
            Request::Left { to } => {
                self.switch.left(now, &to);
                Ok(())
            }
            Request::Ended => {
                self.switch.ended(&mut self.outs);
                Ok(())
            }
            Request::Home { at } => {
                let taken = self.take_home();
                if let (Ok(_), Some(at)) = (&taken, at.filter(|at| is_name(at))) {
                    self.switch.hears_of(now, &at);
                }
                let told = |home| done(&json!({ "home": home }));
                return drop(reply.send(taken.map_or_else(refused, told)));
            }
            Request::Look => return drop(reply.send(done(&json!(self.standing())))),
            Request::Anchor { prefix, site } => {
                return drop(
                    reply.send(self.anchor(prefix, &site).map_or_else(refused, |value| done(&value))),
                );
            }
            Request::Gateway { kind } => return self.change_gateway(kind, reply),
            Request::Forward { forward } => match self.may_forward(forward) {
                Ok(()) => return self.ask_gateway(forward, true, reply),
                Err(why) => Err(why),
            },
            Request::Unforward { port } => {
                let known = self.config.forwards.iter().find(|known| known.host.port() == port);
                match known.copied() {
                    Some(forward) => return self.ask_gateway(forward, false, reply),
                    None => Err(("no forward begins there".to_owned(), "see `snowbird net AGENT ls`")),
                }
            }
            Request::Tunnel { .. } => {
                Err(("a tunnel is no question".to_owned(), "use one version at all sites"))
            }
        };
        reply.send(answer.map_or_else(refused, |()| done(&Value::Null))).ok();
    }

    fn at_home(&self) -> Result<(), Refused> {
        if self.site == self.agent.home {
            return Ok(());
        }
        Err((format!("the agent's network is changed at its home, site {:?}", self.agent.home), "ask there"))
    }

    /// From now on the agent's network is led through the home that its description names. Gives that.
    fn take_home(&mut self) -> Result<String, Refused> {
        let known = Store::open(&self.here.home).and_then(|store| store.agent(&self.agent.name));
        self.agent = known.map_err(|error| (error.to_string(), "see `snowbird ls`"))?.agent;
        self.switch.set_home(&self.agent.home);
        Ok(self.agent.home.clone())
    }

    /// Connections go on through a home of before for as long as that is within reach.
    fn follow_home(&mut self, now: Instant) {
        if !self.switch.is_cut_off() {
            self.reached = now;
        } else if now > self.reached + HOME_AWAY {
            self.reached = now;
            // A store that cannot be read is read again.
            self.take_home().ok();
        }
    }

    fn standing(&self) -> Standing {
        let mut counts = self.switch.counts();
        let queues = [&self.card.queue, &self.gateway.queue].into_iter();
        let lines = self.lines.values().flatten().map(|line| &line.queue);
        counts.dropped.waited += queues.chain(lines).map(|queue| queue.dropped()).sum::<u64>();
        Standing {
            site: self.site.clone(),
            home: self.agent.home.clone(),
            agent: self.switch.news().claim.clone(),
            links: self.switch.links().clone(),
            gateway: self.gateway_state.borrow().clone(),
            config: self.config.clone(),
            counts,
            waiting_bytes: self.switch.waiting_bytes(),
        }
    }
}

/// A sentence and what to do.
type Refused = (String, &'static str);

fn refused((message, hint): Refused) -> String {
    failed(&message, Some(hint))
}

fn answered(answer: Result<(), String>) -> String {
    match answer {
        Ok(()) => done(&Value::Null),
        Err(why) => failed(&why, Some("see `snowbird net AGENT ls`")),
    }
}

/// One tunnel until its end.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(stream: S, site: String, sender: &Sender<Input>) {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let queue = Arc::new(Queue::new());
    if sender.send(Input::Line { site: site.clone(), id, queue: Arc::clone(&queue) }).await.is_err() {
        return;
    }
    let from = site.clone();
    link::run(stream, queue, sender.clone(), |packet| Input::Packet { site: from.clone(), packet }).await;
    sender.send(Input::LineEnds { site, id }).await.ok();
}

async fn listen(listener: UnixListener, far: bool, sender: Sender<Input>) {
    let places = Arc::new(Semaphore::new(ASKING_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut tells = false;
            serve_one(stream, far, &sender, &mut tells).await.ok();
            if tells {
                sender.send(Input::Supervisor { is: Supervisor::Ended }).await.ok();
            }
            drop(place);
        });
    }
}

/// Requests, one after the other; notes whether one of them was a supervisor's word. Other sites have [`Request::Tunnel`],
/// [`Request::Look`], [`Request::Home`] and [`Request::Gateway`] only.
async fn serve_one(
    stream: UnixStream,
    far: bool,
    sender: &Sender<Input>,
    tells: &mut bool,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = true;
    loop {
        let line = next_line(&mut stream, LINE_MAX);
        let line = if std::mem::take(&mut first) {
            let Ok(line) = timeout(FIRST_WORD, line).await else { return Ok(()) };
            line?
        } else {
            line.await?
        };
        let Some(line) = line else { return Ok(()) };
        let answer = match serde_json::from_slice(&line) {
            Ok(Request::Tunnel { site }) if far && is_name(&site) => {
                stream.write_all(done(&Value::Null).as_bytes()).await?;
                carry(stream, site, sender).await;
                return Ok(());
            }
            Ok(request)
                if !far
                    || matches!(request, Request::Look | Request::Home { .. } | Request::Gateway { .. }) =>
            {
                if request.is_told() && !std::mem::replace(tells, true) {
                    sender.send(Input::Supervisor { is: Supervisor::Tells }).await.ok();
                }
                let (reply, answer) = oneshot::channel();
                if sender.send(Input::Ask { request, reply }).await.is_err() {
                    return Ok(());
                }
                let Ok(answer) = answer.await else { return Ok(()) };
                answer
            }
            _ => failed("this cannot be asked here", Some("use one version at all sites")),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
