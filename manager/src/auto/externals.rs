//! A profile's external sensors: each a command that runs as long as the watcher does.
//!
//! One that ends, or says what it may not, is told once and begun again after a while.

use std::time::Duration;

use sensors::Event;
use sensors::sources::{Command, CommandError};

use crate::profile::External;

/// Until one that ended is begun again.
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct One {
    sensor: External,
    running: Option<Command>,
    again: Duration,
    told: bool,
}

/// All of a profile.
#[derive(Debug)]
pub(super) struct Externals {
    all: Vec<One>,
}

impl Externals {
    pub(super) fn new(sensors: &[External]) -> Externals {
        let one = |sensor: &External| One {
            sensor: sensor.clone(),
            running: None,
            again: Duration::ZERO,
            told: false,
        };
        Externals { all: sensors.iter().map(one).collect() }
    }

    /// What has come since, and what is to be told.
    pub(super) fn take(&mut self, now: Duration) -> (Vec<Event>, Vec<String>) {
        let (mut events, mut notes) = (Vec::new(), Vec::new());
        for one in &mut self.all {
            if let Err(error) = one.take(now, &mut events) {
                one.running = None;
                one.again = now + AGAIN;
                if !std::mem::replace(&mut one.told, true) {
                    notes.push(format!(
                        "The sensor {} says no more, and is begun again: {error}.",
                        one.sensor.name
                    ));
                }
            }
        }
        (events, notes)
    }
}

impl One {
    fn take(&mut self, now: Duration, events: &mut Vec<Event>) -> Result<(), CommandError> {
        if self.running.is_none() {
            if now < self.again {
                return Ok(());
            }
            self.running = Some(Command::start(&self.sensor.command, [self.sensor.name.clone()])?);
        }
        while let Some(running) = &mut self.running {
            match running.take()? {
                Some(event) => {
                    self.told = false;
                    events.push(event);
                }
                None => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_that_ends_is_told_once_and_begun_again() {
        let command = "echo {\"e\":\"external\",\"name\":\"x\",\"value\":1.5}";
        let command = shell_words::join(["sh", "-c", &format!("echo '{}'", &command[5..])]);
        let mut sensors = Externals::new(&[External { name: "x".to_owned(), command }]);
        let end = std::time::Instant::now() + Duration::from_secs(60);
        let (mut events, mut notes) = (Vec::new(), Vec::new());
        while events.is_empty() || notes.is_empty() {
            assert!(std::time::Instant::now() < end, "{events:?} {notes:?}");
            let (more, told) = sensors.take(Duration::ZERO);
            events.extend(more);
            notes.extend(told);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(events, [Event::External { name: "x".to_owned(), value: 1.5 }]);
        assert!(notes[0].contains("x says no more"), "{notes:?}");
        // Not yet begun again.
        assert!(sensors.take(AGAIN / 2).0.is_empty() && sensors.all[0].running.is_none());
        let (mut events, _) = sensors.take(AGAIN);
        while events.is_empty() {
            assert!(std::time::Instant::now() < end, "it is not begun again");
            events.extend(sensors.take(AGAIN).0);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
