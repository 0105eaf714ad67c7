//! Where viewers are let in, whichever door they come by: how many, by which password, and to do what.
//!
//! Invariant: a viewer has a [`Seat`] before a byte of its RFB is read, and there are [`SEATS`] in all ([`crate::seats`]).

use std::convert::Infallible;
use std::io::{self, Read};

use tokio::sync::mpsc;
use vmgl_rfb::Security;

use crate::address::{Listener, Stream};
use crate::display::Display;
use crate::seats::{Seat, Seats};
use crate::viewer::{self, Said};

/// Most viewers at once, of all doors together.
pub const SEATS: usize = 64;

/// Lets viewers in.
#[derive(Debug, Clone)]
pub struct Reception {
    display: Display,
    said: mpsc::Sender<Said>,
    password: Option<Vec<u8>>,
    view_only: bool,
    seats: Seats,
}

impl Reception {
    /// Viewers of `display` whose words go to `said`. With a password they are asked for it; if `view_only`
    /// they have no say.
    #[must_use]
    pub fn new(
        display: Display,
        said: mpsc::Sender<Said>,
        password: Option<Vec<u8>>,
        view_only: bool,
    ) -> Self {
        Self { display, said, password, view_only, seats: Seats::new(SEATS) }
    }

    /// What viewers look at.
    #[must_use]
    pub fn display(&self) -> &Display {
        &self.display
    }

    /// Whether viewers only look.
    #[must_use]
    pub fn view_only(&self) -> bool {
        self.view_only
    }

    /// Whether all seats are taken, by viewers who stay.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.seats.are_full()
    }

    /// A seat, if one is free or can be had of somebody in its handshake.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        self.seats.seat()
    }

    /// Serves a viewer to its end.
    pub async fn serve(&self, seat: Seat, stream: Box<dyn Stream>, from: String) {
        let name = from.clone();
        let security = match security(self.password.as_ref()) {
            Ok(security) => security,
            Err(fault) => {
                tracing::error!("viewer from {name}: no challenge for its password: {fault}");
                return;
            }
        };
        let (display, said) = (self.display.clone(), self.said.clone());
        if let Err(why) = viewer::run(stream, from, seat, security, self.view_only, display, said).await {
            tracing::info!("viewer from {name}: {why}");
        }
    }

    /// Lets plain viewers in; it does not end. Where all seats are taken by viewers who stay the next one waits, and others
    /// behind it.
    pub async fn door(&self, listener: Listener) -> Infallible {
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            let (stream, from) = listener.next().await;
            let (this, seat) = (self.clone(), self.seats.next().await);
            tasks.spawn(async move { this.serve(seat, stream, from).await });
            while tasks.try_join_next().is_some() {}
        }
    }
}

/// What a viewer is asked for, with a challenge of its own.
///
/// # Errors
/// When the system gives no random bytes.
pub fn security(password: Option<&Vec<u8>>) -> io::Result<Security> {
    let Some(password) = password else { return Ok(Security::None) };
    let mut challenge = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut challenge)?;
    Ok(Security::VncAuth { password: password.clone(), challenge })
}
