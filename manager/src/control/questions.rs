//! What another site is asked in one line and answers in one: no stream follows.

use serde_json::Value;

use super::{AskError, Open, Opening, PROTOCOL, opened};
use crate::agent::automatic::Settings;
use crate::facts::Facts;
use crate::inventory::Inventory;
use crate::sites::Site;

/// What another site's host can do.
///
/// # Errors
/// [`AskError`].
pub async fn facts(site: &Site) -> Result<Facts, AskError> {
    let opening = Opening { snowbird: PROTOCOL, agent: String::new(), open: Open::Facts, document: None };
    let (_, facts) = opened(site, &opening).await?;
    serde_json::from_value(facts).map_err(|_| AskError::Nonsense)
}

/// Gives the user's word about moves, and what was learnt, to an agent's new home, which knows already that it is.
///
/// # Errors
/// [`AskError`]: the new home refuses what it would not do for a user of its own.
pub async fn entrust(
    site: &Site,
    agent: &str,
    settings: Settings,
    learnt: Option<String>,
) -> Result<(), AskError> {
    let open = Open::Automatic { settings, learnt };
    let opening = Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open, document: None };
    opened(site, &opening).await.map(drop)
}

/// Has an agent's new home, which knows already that it is, keep its display, and draw for its OpenGL programs if their door is named.
///
/// # Errors
/// [`AskError`].
pub async fn open_desk(site: &Site, agent: &str, port: Option<u16>) -> Result<(), AskError> {
    let opening =
        Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open: Open::Desk { port }, document: None };
    opened(site, &opening).await.map(drop)
}

/// Asks what another site has for agents.
///
/// # Errors
/// [`AskError`].
pub async fn inventory_of(site: &Site) -> Result<Inventory, AskError> {
    let opening = Opening { snowbird: PROTOCOL, agent: String::new(), open: Open::Inventory, document: None };
    let (_, said) = opened(site, &opening).await?;
    let inventory: Option<Inventory> = serde_json::from_value(said).ok();
    inventory.and_then(Inventory::checked).ok_or(AskError::Nonsense)
}

/// Asks another site for the map of its replica of a disk.
///
/// # Errors
/// [`AskError`].
pub async fn map_of(site: &Site, disk: &str, cells: u32) -> Result<Value, AskError> {
    let open = Open::Map { disk: disk.to_owned(), cells };
    let opening = Opening { snowbird: PROTOCOL, agent: String::new(), open, document: None };
    Ok(opened(site, &opening).await?.1)
}
