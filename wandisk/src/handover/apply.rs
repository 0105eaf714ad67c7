//! Carrying a rule out: durably, and its refusals with names.

use wandisk_store::DiskMeta;

use super::rules::Refused;
use crate::engine::{Engine, EngineError, MetaError};
use crate::peer::error::{Code, Refusal};

/// Why a rule did not take effect.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The rule says no.
    Refused(Refused),
    /// The store failed.
    Store(EngineError),
}

/// Applies a rule to the disk's facts; its result counts when they are durable.
///
/// # Errors
/// [`Failed`]; the facts are as they were then.
pub(crate) async fn apply<T: Send>(
    engine: &Engine,
    rule: impl FnOnce(&mut DiskMeta) -> Result<T, Refused> + Send,
) -> Result<T, Failed> {
    let mut outcome = None;
    let changed = {
        let outcome = &mut outcome;
        engine.change_meta(move |meta| {
            let result = rule(meta);
            let refused = result.as_ref().err().map(|e| MetaError::Refused(e.to_string()));
            *outcome = Some(result);
            refused.map_or(Ok(()), Err)
        })
    }
    .await;
    match (changed, outcome) {
        (_, Some(Err(refused))) => Err(Failed::Refused(refused)),
        (Ok(_), Some(Ok(done))) => Ok(done),
        (Err(MetaError::Engine(e)), _) => Err(Failed::Store(e)),
        // The changed facts made no sense, or the rule never ran: neither is the store's fault, both are ours.
        (_, None) | (Err(MetaError::Refused(_)), _) => Err(Failed::Store(EngineError::NotResident)),
    }
}

/// Applies a rule and says no in words.
///
/// # Errors
/// A [`Refusal`].
pub(crate) async fn apply_named<T: Send>(
    engine: &Engine,
    rule: impl FnOnce(&mut DiskMeta) -> Result<T, Refused> + Send,
) -> Result<T, Refusal> {
    apply(engine, rule).await.map_err(|e| e.named(&engine.meta()))
}

impl Failed {
    /// In words, with the names of sites.
    pub(crate) fn named(self, meta: &DiskMeta) -> Refusal {
        match self {
            Failed::Refused(refused) => named(meta, refused),
            Failed::Store(e) => Refusal::failed(&e),
        }
    }
}

/// A rule's no, in words and with the names of sites.
pub(crate) fn named(meta: &DiskMeta, refused: Refused) -> Refusal {
    match refused {
        Refused::NotResident { resident, epoch } => Refusal::new(
            Code::NotResident,
            format!("the disk is not resident here; it is resident at {} (epoch {epoch})", meta.site_name(resident)),
        ),
        Refused::OldEpoch { offered, known, resident } => Refusal::new(
            Code::Rules,
            format!("epoch {offered} is over: epoch {known} was granted to {} already", meta.site_name(resident)),
        ),
        Refused::NotPrepared { .. } => Refusal::new(Code::NotPrepared, refused.to_string()),
        Refused::Diverged { .. } => Refusal::new(Code::Diverged, refused.to_string()).hint(DIVERGED_HINT),
        Refused::Overtaken { epoch, resident } => Refusal::new(
            Code::Rules,
            format!(
                "this site was resident and missed the hand-over to {} (epoch {epoch}): its store is a copy or was set back",
                meta.site_name(resident)
            ),
        )
        .hint("nothing of it is believed: `wandisk rm --force` it here and sync it anew"),
        Refused::Leaving => Refusal::new(Code::Rules, refused.to_string())
            .hint("finish with `wandisk rm`, or keep it with `wandisk sync` to this site"),
        other => Refusal::new(Code::Rules, other.to_string()),
    }
}

/// What a person can do about two lineages.
pub(crate) const DIVERGED_HINT: &str = "nothing is merged: choose the one that goes on, save what you need of the other \
     (`wandisk export`), and run `wandisk join` at the sites of the other";
