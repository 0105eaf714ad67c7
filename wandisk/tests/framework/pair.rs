//! Two sites, the one link between them, and a disk at the first.

use super::{Image, Link, MIB, Site, World};

/// Two sites and a link from `a` to `b` that is the only way, in either direction.
pub struct Pair {
    pub link: Link,
    pub a: Site,
    pub b: Site,
    /// What the disk holds: 2 MiB, one of them noise, in chunks of 64 KiB.
    pub image: Image,
    // Last: it kills what was started.
    pub world: World,
}

impl Pair {
    pub fn new() -> Pair {
        let world = World::new();
        let (a, b) = (world.site("a"), world.site("b"));
        let link = world.link(&a, &b);
        let image = Image::noise(&world, "i", 2 * MIB, 1, 20);
        a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
        Pair { world, a, b, link, image }
    }

    /// Sites that say they are resident. (A site without a replica is not.)
    pub fn residents(&self) -> Vec<&str> {
        let sites = [&self.a, &self.b].into_iter();
        sites.filter(|s| s.has_folder("d") && s.is_resident("d")).map(Site::name).collect()
    }
}
