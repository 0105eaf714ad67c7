//! What a site's QEMU says of a processor model, from `query-cpu-definitions`. Pure.
//!
//! By translation QEMU only warns of what it lacks of a model, and shows a machine less; the next QEMU shows it more or less again, and the
//! guest goes on with another processor than it found when it booted. So an agent is created with a model, and comes to a site, only
//! where QEMU has all of it.

use serde_json::Value;

use crate::agent::Accelerator;

/// So many features are named.
const NAMED_MAX: usize = 8;

/// What is said of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processor {
    /// Nothing: QEMU could not be asked.
    Silent,
    /// There is none of that name.
    Unknown,
    /// There is one.
    Known {
        /// Features that it should have and has not.
        missing: Vec<String>,
        /// It is the same at every QEMU, and not what each makes of it (`max`, `host`).
        same_everywhere: bool,
    },
}

impl Processor {
    /// One of those that QEMU tells of.
    #[must_use]
    pub fn of(definitions: &Value, model: &str) -> Processor {
        let Some(all) = definitions.as_array() else { return Processor::Silent };
        let Some(found) = all.iter().find(|found| found["name"] == model) else { return Processor::Unknown };
        // (One that does not say what it lacks has nothing that could be counted on.)
        let Some(missing) = found["unavailable-features"].as_array() else { return Processor::Silent };
        let names = missing.iter().filter_map(Value::as_str);
        let mut missing: Vec<String> = names.map(str::to_owned).collect();
        missing.sort_unstable();
        missing.dedup();
        Processor::Known { missing, same_everywhere: found["migration-safe"] == true }
    }

    /// Why a machine cannot be shown it, in a sentence.
    #[must_use]
    pub fn trouble(&self, model: &str, accelerator: Accelerator) -> Option<String> {
        match self {
            Processor::Silent => Some("QEMU does not say which processors it can show".to_owned()),
            Processor::Unknown => Some(format!("QEMU knows no processor {model}")),
            Processor::Known { missing, .. } if missing.is_empty() => None,
            Processor::Known { missing, .. } => {
                let named = missing.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = missing.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let word = accelerator.word();
                Some(format!("QEMU cannot show a processor {model} whole by {word}: it lacks {named}{more}"))
            }
        }
    }

    /// Would another QEMU show something else by the same name?
    #[must_use]
    pub fn differs(&self) -> bool {
        matches!(self, Processor::Known { same_everywhere: false, .. })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_that_is_not_whole_or_not_the_same_everywhere_is_told_from_one_that_is() {
        let said = json!([
            { "name": "Nehalem", "unavailable-features": [], "migration-safe": true },
            { "name": "Haswell", "unavailable-features": ["x2apic", "pcid", "pcid"], "migration-safe": true },
            { "name": "max", "unavailable-features": [], "migration-safe": false },
            { "name": "odd" },
        ]);
        let trouble = |model: &str| Processor::of(&said, model).trouble(model, Accelerator::Tcg);
        assert_eq!((trouble("Nehalem"), Processor::of(&said, "Nehalem").differs()), (None, false));
        assert_eq!((trouble("max"), Processor::of(&said, "max").differs()), (None, true));
        let haswell = "QEMU cannot show a processor Haswell whole by tcg: it lacks pcid, x2apic";
        assert_eq!(trouble("Haswell").as_deref(), Some(haswell));
        assert_eq!(trouble("nothing").as_deref(), Some("QEMU knows no processor nothing"));
        for silent in [Processor::of(&said, "odd"), Processor::of(&Value::Null, "Nehalem")] {
            assert_eq!(silent, Processor::Silent);
        }
        let all: Vec<String> = (10..20).map(|n| format!("f{n}")).collect();
        let many =
            Processor::Known { missing: all, same_everywhere: true }.trouble("x", Accelerator::Kvm).unwrap();
        assert!(many.ends_with("f16, f17 and 2 more"), "{many}");
    }
}
