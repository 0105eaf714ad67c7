//! Sensors: how much the user interacts, how crisp the answer is, and what the agent consumes.
//!
//! [`Sensors`] is a pure core. Whoever sees something (the display proxy an input, the supervisor a vCPU's time) tells it
//! as an [`Event`] with the time at which it happened, and asks for [`Readings`] once a poll. The core has no clock and
//! does no I/O, so a recorded [`trace`] gives the same readings each time it is played. [`sources`] are beside it: they
//! look at the system and make events.
//!
//! ```
//! use std::time::Duration;
//! use sensors::{Event, Input, Sensors, Settings};
//!
//! let mut sensors = Sensors::new(Settings::default());
//! for i in 0..50u64 {
//!     let pressed = Duration::from_millis(i * 100);
//!     sensors.event(pressed, Event::Input(Input::Key { down: true }));
//!     sensors.event(pressed + Duration::from_millis(30), Event::Update { area: 4000 });
//! }
//! let readings = sensors.readings(Duration::from_secs(5));
//! assert_eq!(readings.inputs, Some(100.0)); // 50 in 5 s, told for 10 s
//! assert_eq!(readings.response, Some(30.0)); // ms
//! assert_eq!(readings.fps, None); // one update each is no rate
//! ```
//!
//! # The rules
//!
//! *Time* is the caller's, from any origin. An event that is told late counts as of the newest time told before it.
//!
//! *Windows.* A reading is of the last [`Settings::window`], or of the time since the start or the last
//! [`Event::Restart`] if that is shorter. During the first 3 s of it nothing is said: every reading is `None`.
//!
//! *Inputs* (`inputs`) are key, button and wheel events, presses and releases alike, and pointer motion at most once in
//! 100 ms. The sum of the window is told for 10 s, whatever the window is.
//!
//! *The paper's FPS* (`fps_paper`): every update, of whatever kind, belongs to the newest input, of whatever kind; an
//! input's FPS is its updates divided by the time from it to the last of them (at least 1 ms); the reading is the mean
//! over the window's inputs that have any.
//!
//! *FPS* (`fps`) and *response* (`response`) say the same in two numbers, because a proxy that asks ahead delivers 60 FPS
//! at any distance:
//!
//! - *What opens an episode*: key presses (repeats too), buttons both ways, wheel, and the motion that counts. Releases of
//!   keys do not: they rarely draw, and between a press and its echo they would take the echo.
//! - *What an update could be due to*: inputs at least one path RTT old. The path's RTT is the least that was measured in
//!   the window; 0 if none ever was.
//! - *Response* of an input: the time to the first update it could have caused. Several inputs may share that update.
//!   After 1 s nothing is looked for: the input is *unanswered*, left out, and counted in [`Readings::unanswered`].
//! - *An episode's updates*: an update belongs to the newest input that could have caused it, unless 250 ms have passed
//!   since that input's last update, or 1 s since the input. Then it belongs to nobody. Updates less than 8 ms apart are one
//!   picture.
//! - *FPS* of an input: the rate of its updates, (n − 1) ÷ (last − first), no more than 60. One update is no rate: such an
//!   input counts in `response` only. No update: in neither.
//! - The reading is the median over the window's inputs that have a value.
//! - *Rarely answered is not answered*: when fewer than a quarter of the inputs that were answered or given up have an answer,
//!   neither is said. What came was not what the user waited for: a window that notices the pointer, a clock.
//!
//! *GL swaps* of a renderer count as updates ([`Event::Swap`]); they bypass the display's own updates.
//!
//! *A blinking cursor* is no answer. It is learnt in silence: four updates of the same area, of at most 1024 pixels,
//! 200 ms apart or more, on a beat (on and off times may differ, by 100 ms of jitter) with no input between them. From then
//! on an update of that area on that beat is not given to any input. An update of that area off the beat ends it.
//!
//! *Pictures* (`updates`): updates a second, whatever they are due to; those less than 8 ms apart are one. Whoever looks at a film
//! gives no inputs.
//!
//! *Motion floods* change nothing beyond the ten a second that count: neither `inputs` nor what an update belongs to. In
//! `fps_paper` they do: that is how it is defined, and why there is another.
//!
//! *CPU*: a vCPU's demand is (time on a CPU + time waiting for one) ÷ wall, so that neither a quota nor a busy host hides
//! it. `cpu` is the mean over all vCPUs, `busiest` the mean of each sample's busiest vCPU: a thread that the guest moves
//! between vCPUs is still one busy thread.
//!
//! *Network*: bytes ÷ time, each way, for each anchor and for all; and the share of the time in which the agent waited for what comes
//! from an anchor because that is far (`net_wait`; whoever counts the bytes says it). *Demand* for the place of an anchor is what
//! the busiest vCPU wants and that, together no more than all of the time: a program that reads and computes in turn wants all of it.
//!
//! *External* readings: the mean of the window's values.
//!
//! *A whole session* instead of a window is what [`Ledger`] keeps: the same rules, input by input.
//!
//! # Bounds
//!
//! The core keeps at most 16 384 inputs (a ledger a million), as many pictures, 64 anchors and 64 external names; what is beyond them is left out (of inputs the
//! oldest). So its memory is bounded whatever it is told.

#![forbid(unsafe_code)]

mod blink;
mod event;
mod interaction;
mod ledger;
mod load;
mod readings;
mod sense;
pub mod sources;
pub mod trace;

pub use event::{Event, Input, NAME_MAX, VCPUS_MAX, valid_name};
pub use ledger::{Answer, INPUTS_MAX, Ledger};
pub use readings::{Net, Readings};
pub use sense::{Sensors, Settings, SettingsError};
