//! Of whom a switch has need: links, the gateway of its site, itself. Pure.

use std::collections::BTreeSet;

use super::Switch;

impl Switch {
    /// The sites that this one should have links to.
    #[must_use]
    pub fn wants(&self) -> BTreeSet<String> {
        let mut sites = BTreeSet::new();
        let elsewhere = self.claim_elsewhere();
        sites.extend(self.ahead.clone());
        if self.is_off() && !self.expected {
            return sites;
        }
        if self.me == self.home || self.expected {
            sites.extend(self.news.anchors.anchors.iter().map(|anchor| anchor.site.clone()));
        }
        if self.me != self.home && (self.expected || self.anchored_here()) {
            sites.insert(self.home.clone());
        }
        if self.me == self.home || self.anchored_here() || !self.held.is_empty() || !self.recent.is_empty() {
            sites.extend(elsewhere.map(str::to_owned));
        }
        sites.remove(&self.me);
        sites
    }

    /// Does this site's gateway have to be there?
    #[must_use]
    pub fn wants_gateway(&self) -> bool {
        (self.me == self.home || self.anchored_here()) && (self.expected || !self.is_off())
    }

    /// A QEMU of the agent is, or will soon be, at this site.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.expected
    }

    /// Nobody needs this switch now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.expected && !self.wants_gateway() && self.wants().is_empty()
    }

    pub(super) fn anchored_here(&self) -> bool {
        self.news.anchors.anchors.iter().any(|anchor| anchor.site == self.me)
    }

    /// It runs nowhere, as far as is known.
    pub(super) fn is_off(&self) -> bool {
        self.news.claim.as_ref().is_none_or(|claim| !claim.on)
    }

    pub(super) fn claim_elsewhere(&self) -> Option<&str> {
        let claim = self.news.claim.as_ref()?;
        (claim.on && claim.site != self.me).then_some(claim.site.as_str())
    }

    /// Home is out of reach, or from there the agent.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let wanted = if self.me == self.home { self.claim_elsewhere() } else { Some(self.home.as_str()) };
        wanted.is_some_and(|site| !self.links.contains(site))
    }
}
