//! `wandisk map`: where a disk's chunks are, as it is known here.

use serde_json::{Value, json};

use super::Keeper;

impl Keeper {
    /// The disk's map as `map --json` prints it, in at most so many cells.
    pub(super) fn map(&self, cells: u64) -> Value {
        let meta = self.engine.meta();
        let map = self.engine.cells(cells);
        // A site may have become known between the two.
        let known = meta.sites.iter().zip(map.known_at.iter().zip(&map.only_at));
        let others: Vec<Value> = known
            .filter(|(site, _)| site.id != meta.here)
            .map(|(site, (held, only))| {
                json!({ "name": self.site_name(site.id), "uuid": site.id, "known_held": held, "known_only": only })
            })
            .collect();
        let mut told = json!(map);
        told["disk"] = json!(self.engine.dir().name());
        told["uuid"] = json!(meta.uuid);
        told["site"] = json!(self.home.name());
        told["site_uuid"] = json!(meta.here);
        told["resident"] = json!(self.site_name(meta.resident));
        told["epoch"] = json!(meta.epoch);
        told["chunk_size"] = json!(meta.chunk_size);
        told["others"] = json!(others);
        told
    }
}
