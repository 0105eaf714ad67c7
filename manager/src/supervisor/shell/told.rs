//! What whoever asks a supervisor is told: how the agent stands, and what became of a wish.
//!
//! Invariant: a refusal is a sentence with what to do, and of a move or a suspension it says where the agent is, which is where it was.

use serde_json::{Value, json};

use super::{Shell, Wish};
use crate::agent::command_line::names;
use crate::control::{done, failed};
use crate::supervisor::event::Yield;
use crate::supervisor::image;
use crate::supervisor::journey::Journey;
use crate::supervisor::phase::{Arrive, End, Leave, Phase};
use crate::supervisor::why::Why;

impl Shell {
    pub(super) fn decided(&self, wish: &Wish) -> Option<String> {
        let status = || Some(done(&self.status()));
        let refused = |why: &str, hint: &str| Some(failed(why, Some(hint)));
        // What is to be done about it is known where it failed, and else where it is looked for.
        let because = |why: &Why, hint: &str| Some(failed(&why.message, why.hint.as_deref().or(Some(hint))));
        let log = format!("`snowbird log` at site {:?} tells more", self.site);
        let failure =
            || self.machine.failure.clone().unwrap_or_else(|| Why::from("it is not known why").hint(&*log));
        let quiet = self.underway == 0;
        match (wish, &self.machine.phase) {
            (Wish::Nothing, _) => status(),
            (Wish::CdChanged, _) => match self.cd_changed.as_ref()? {
                Ok(()) => status(),
                Err(why) => {
                    let why = Why { message: format!("its CD was not changed: {why}"), ..why.clone() };
                    because(&why, "see `snowbird status`")
                }
            },
            (Wish::Running, Phase::Running) => self.confirmed.then(|| done(&self.status())),
            (Wish::Running, Phase::Paused { why, .. }) if quiet => {
                refused(why, "`snowbird status` tells when it goes on")
            }
            (Wish::Running | Wish::Suspended, Phase::Off(End::Failed { why })) => because(why, &log),
            (Wish::Running, Phase::Off(_)) => refused("it ended at once", &log),
            (Wish::Off | Wish::Following, Phase::Off(_)) if quiet => status(),
            (Wish::Moved, Phase::Leaving { .. }) => None,
            (Wish::Moved, Phase::Off(End::Left { .. })) => {
                quiet.then(|| done(&self.journey.as_ref().map_or(Value::Null, Journey::report)))
            }
            (Wish::Moved, Phase::Off(_)) if !quiet => None,
            (Wish::Running, Phase::Suspended { .. }) => {
                let why = failure();
                let message = format!("the agent was not resumed, and is still suspended: {why}");
                because(
                    &Why { message, ..why },
                    "try again when that has changed; `snowbird kill` gives its memory up",
                )
            }
            (Wish::Suspended, Phase::Suspending { .. }) => None,
            (Wish::Suspended, Phase::Suspended { .. }) => quiet.then(|| done(&self.status())),
            (Wish::Suspended, phase) => Some(self.stayed("the agent was not suspended", &failure(), phase)),
            (Wish::Loaded(attempt), Phase::Arriving { attempt: here, .. }) if attempt == here => {
                match self.loaded.as_ref()? {
                    Ok(()) => status(),
                    Err(why) => because(why, &log),
                }
            }
            (Wish::Loaded(_), _) => refused("the QEMU that was to take it has ended", &log),
            (Wish::Moved, phase) => Some(self.stayed("the agent was not moved", &failure(), phase)),
            (Wish::NotMoving, Phase::Leaving { .. } | Phase::Suspending { .. }) => None,
            (Wish::NotMoving, _) => status(),
            (
                Wish::Listening(attempt),
                Phase::Arriving { attempt: here, at: Arrive::Listening { .. }, .. },
            ) if attempt == here => status(),
            (Wish::Listening(attempt), Phase::Arriving { attempt: here, at: Arrive::Opening, .. })
                if attempt == here =>
            {
                None
            }
            (Wish::Listening(_), _) => {
                let given_up = || Why::from("the move was given up");
                because(&self.machine.failure.clone().unwrap_or_else(given_up), &log)
            }
            (Wish::Verdict(attempt), _) => match self.machine.verdict(*attempt) {
                Some(verdict) => Some(done(&json!({ "started": verdict == Yield::Started }))),
                None => self.not_started.as_ref().and_then(|why| because(why, "it is asked again")),
            },
            (Wish::Running | Wish::Off | Wish::Following, _) => None,
        }
    }

    /// It is where it was, with what is to be done about that.
    fn stayed(&self, what: &str, why: &Why, phase: &Phase) -> String {
        let stands = format!("the agent is {phase} at site {:?}", self.site);
        let hint = why.hint.as_ref().map_or_else(|| stands.clone(), |hint| format!("{hint}; {stands}"));
        failed(&format!("{what}: {why}"), Some(&hint))
    }

    /// The machine stands for a move.
    pub(super) fn stands(&self) -> bool {
        let moving = matches!(self.machine.phase, Phase::Leaving { .. });
        moving && self.journey.as_ref().is_some_and(Journey::stands)
    }

    /// Of a move from here: where to, whether the machine there has a screen, and whether this one stands.
    fn moving(&self) -> Value {
        let Phase::Leaving { to, at, .. } = &self.machine.phase else { return Value::Null };
        let listens = !matches!(at, Leave::Presending | Leave::Opening | Leave::Aborting { .. });
        json!({ "to": to, "listens": listens, "stands": self.stands() })
    }

    pub(super) fn status(&self) -> Value {
        let phase = &self.machine.phase;
        let folder = std::env::current_dir().unwrap_or_default();
        let here = !matches!(phase, Phase::Off(_) | Phase::Suspended { .. });
        let image = phase.image().map(|image| {
            let mut told = json!(image);
            told["path"] = json!(image::path(&folder, image.id));
            told
        });
        let moving = matches!(phase, Phase::Leaving { .. });
        // (It may have changed since this process began.)
        let kept = self.store.agent(&self.agent.name).map_or_else(|_| self.agent.clone(), |kept| kept.agent);
        let cd = kept.has_cd_drive().then(|| json!({ "file": kept.cdrom.as_ref().map(|file| &file.path) }));
        json!({
            "agent": self.agent.name,
            "uuid": self.agent.uuid,
            "home": kept.home,
            "home_changes": kept.home_changes,
            "site": if let Phase::Off(End::Left { to }) = phase { to } else { &self.site },
            "state": phase.word(),
            "run_state": here.then_some(self.run_state.as_ref()).flatten(),
            "told": phase.to_string(),
            "accelerator": self.agent.accelerator,
            "paused_because": phase.paused_because(),
            "image": image,
            "cd": cd,
            "last_failure": self.machine.failure.as_ref().map(|why| &why.message),
            "last_failure_hint": self.machine.failure.as_ref().and_then(|why| why.hint.as_ref()),
            "moving": self.moving(),
            "coming": if let Phase::Arriving { from, .. } = phase { json!({ "from": from }) } else { Value::Null },
            "migration": match phase {
                Phase::Suspending { .. } => self.written.clone(),
                _ => self.journey.as_ref().filter(|_| moving).map_or(Value::Null, Journey::last_news),
            },
            "room": matches!(phase, Phase::Arriving { .. }).then_some(&self.room),
            "console": here.then(|| folder.join(names::CONSOLE)),
            "display": here.then(|| folder.join(names::DISPLAY)),
        })
    }
}

/// How much of an agent's memory is in its file, from QEMU's account.
pub(super) fn written(account: &Value) -> Option<Value> {
    let ram = &account["ram"];
    let (total, left) = (ram["total"].as_u64().filter(|total| *total > 0)?, ram["remaining"].as_u64()?);
    let done = total.saturating_sub(left);
    Some(
        json!({ "phase": "its memory is written", "percent": done.saturating_mul(100) / total, "bytes": done }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_of_a_suspension_is_done_is_told_from_what_is_left() {
        let account = json!({ "status": "active", "ram": { "total": 4 << 20, "remaining": 1 << 20 } });
        assert_eq!(
            written(&account),
            Some(json!({ "phase": "its memory is written", "percent": 75, "bytes": 3 << 20 }))
        );
        for nothing in [json!({}), json!({ "ram": { "total": 0, "remaining": 0 } })] {
            assert_eq!(written(&nothing), None);
        }
    }
}
