//! What machine an agent is created as, so that it can be at all its sites: fixed once, for its whole life.

use anyhow::Result;
use serde_json::json;

use super::args_agents::Choice;
use super::told::{Told, progress};
use crate::agent::{Accelerator, machine};
use crate::control::Here;
use crate::inventory::gather::{gather, processor};
use crate::inventory::processor::Processor;
use crate::inventory::{Inventory, baseline};
use crate::sites::Sites;

/// What is chosen.
pub(super) struct Machinery {
    pub(super) machine: String,
    pub(super) cpu: String,
    pub(super) accelerator: Accelerator,
}

/// Chooses by what this site has and what others had when they were checked. A site that cannot have the agent whatever is
/// chosen is told and left out.
pub(super) async fn choose(
    here: &Here,
    sites: &Sites,
    wanted: Choice,
    cpu: Option<&str>,
    json: bool,
) -> Result<Machinery> {
    let own = gather(&here.home, here.wandisk.as_deref()).await;
    let Some(qemu) = &own.qemu else {
        return Err(machine::MachineError::Missing.into());
    };
    let kvm = match cpu {
        Some(model) => qemu.kvm.iter().any(|name| name == model),
        None => !qemu.kvm.is_empty(),
    };
    let accelerator = match wanted {
        Choice::Tcg => Accelerator::Tcg,
        Choice::Kvm if !kvm => {
            let shown = cpu.map_or(String::new(), |model| format!(" with a processor {model}"));
            return Err(Told::new(format!("KVM{shown} does not work here"))
                .hint("`snowbird site check` says what does; --accelerator tcg runs everywhere, slowly")
                .into());
        }
        Choice::Auto if !kvm => Accelerator::Tcg,
        Choice::Auto | Choice::Kvm => Accelerator::Kvm,
    };
    if let Some(model) = cpu {
        shows(&processor(&std::env::temp_dir(), accelerator, model).await, model, accelerator, json)?;
    }
    let mut all = vec![own];
    for name in sites.names() {
        let Some(inventory) = Inventory::kept(&here.home, name) else { continue };
        let has = cpu.is_none_or(|model| inventory.shows(model, accelerator));
        if has && baseline(&[all[0].clone(), inventory.clone()], accelerator).is_some() {
            all.push(inventory);
        } else {
            let word = accelerator.word();
            progress(
                json,
                &json!({ "phase": format!("the agent will not be able to be at {name}: it has no machine and processor by {word} that are also here") }),
            );
        }
    }
    let Some(found) = baseline(&all, accelerator) else {
        return Err(Told::new("there is no machine and processor that all sites have")
            .hint(
                "`snowbird site check SITE` says what each has; `snowbird site rm` those that are not meant",
            )
            .into());
    };
    Ok(Machinery { machine: found.machine, cpu: cpu.map_or(found.cpu, str::to_owned), accelerator })
}

/// A processor that was asked for is refused where QEMU would show something else by its name; of one that no other site may have, it is
/// said.
fn shows(processor: &Processor, model: &str, accelerator: Accelerator, json: bool) -> Result<()> {
    if let Some(trouble) = processor.trouble(model, accelerator) {
        let hint = "without --cpu one is chosen that all checked sites have; `qemu-system-x86_64 -cpu help` lists names";
        return Err(Told::new(trouble).hint(hint).into());
    }
    if processor.differs() {
        let phase = format!(
            "the agent will not be able to move: a processor {model} is what each QEMU makes of it, and not the same at two sites"
        );
        progress(json, &json!({ "phase": phase, "warning": true }));
    }
    Ok(())
}
