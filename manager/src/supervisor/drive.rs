//! What is in an agent's CD drive: changed in its machine, where one runs, and in its description, which the next machine is made of.
//!
//! Invariant: a description that names a CD which the machine has not is harmless (a move asks for the file; where it is, the agent
//! finds it in its drive); one that names none while the machine has one is not. So a CD is noted before it is put in, and after it was
//! taken out.
//!
//! Fault model: the supervisor may die in between; the same wish again does the rest.

use serde_json::{Value, json};

use super::fits::is_here;
use super::hands::Hands;
use super::qemu::QemuError;
use super::why::{Sentence, Why};
use crate::agent::command_line::{CD_DRIVE, CD_NODE};
use crate::agent::store::Store;
use crate::agent::{Agent, BootFile};
use crate::qmp::QmpError;

impl Hands {
    /// Puts a file in, in place of what is there, or takes that out. An agent that uses its CD keeps it, unless by force.
    pub(super) async fn change_cd(&mut self, file: Option<&BootFile>, force: bool) -> Result<(), Why> {
        let agent = self.document()?;
        if !agent.has_cd_drive() {
            return Err("it has no CD drive: that is for `snowbird create --cdrom` to say".into());
        }
        match file {
            Some(file) => {
                if !is_here(file) {
                    return Err(format!("{} is no file of site {:?}", file.path, self.site).into());
                }
                self.note_cd(&agent, Some(file))?;
                if let Err(why) = self.put_in(file, force).await {
                    let noted = self.document()?;
                    self.note_cd(&noted, agent.cdrom.as_ref())?;
                    return Err(why);
                }
                Ok(())
            }
            None => {
                self.take_out(force).await?;
                self.note_cd(&agent, None)
            }
        }
    }

    fn note_cd(&self, agent: &Agent, file: Option<&BootFile>) -> Result<(), Why> {
        let changed = agent.with_cd(file.cloned());
        changed.check().told()?;
        if changed.cdrom == agent.cdrom {
            return Ok(());
        }
        Store::open(&self.here.home).told()?.set_document(&changed, &changed.news_since(agent)).told()
    }

    async fn put_in(&self, file: &BootFile, force: bool) -> Result<(), Why> {
        let change = json!({
            "id": CD_DRIVE,
            "filename": file.path,
            "format": "raw",
            "read-only-mode": "read-only",
            "force": force,
        });
        self.in_machine("blockdev-change-medium", change).await
    }

    async fn take_out(&self, force: bool) -> Result<(), Why> {
        self.in_machine("eject", json!({ "id": CD_DRIVE, "force": force })).await
    }

    /// Where there is no machine there is nothing to do.
    async fn in_machine(&self, command: &str, arguments: Value) -> Result<(), Why> {
        match self.qemu.call(command, arguments).await {
            Err(QemuError::None) => return Ok(()),
            Err(QemuError::Qmp(QmpError::Refused { description, .. })) if description.contains("locked") => {
                return Err("the agent uses its CD: unmount it there, or say --force".into());
            }
            done => done.map(drop).told()?,
        }
        // The file that it began with is let go of; there may be none.
        self.qemu.call("blockdev-del", json!({ "node-name": CD_NODE })).await.ok();
        Ok(())
    }
}
