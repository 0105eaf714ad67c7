//! Which site's gateway a packet goes to: prefixes of destinations, each anchored at a site; all else at home. Pure.
//!
//! The agent's own network (neighbours, DHCP, the router, the name server) is home's, whatever prefixes say.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{NETWORK_BITS, NETWORK6_BITS, is_own};
use crate::agent::is_name;

/// No agent has more.
pub const ANCHORS_MAX: usize = 64;

/// Destinations: `10.1.0.0/16`, `fd00:1::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    first: IpAddr,
    len: u8,
}

/// What is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not written as one.
    #[error("{0:?} is no prefix of addresses: write it as 10.1.0.0/16 or fd00:1::/64")]
    Form(String),
    /// There are bits beyond its length.
    #[error("{wrong} has bits beyond its length: {right} is meant?")]
    Loose {
        /// As it was written.
        wrong: String,
        /// Without those bits.
        right: Prefix,
    },
    /// Cannot be anchored.
    #[error("{0} cannot be anchored: it is the agent's own network, or no single destination")]
    Own(Prefix),
}

impl Prefix {
    /// The one of this length with the address in it.
    fn new(address: IpAddr, len: u8) -> Prefix {
        let first = match address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
            }
        };
        Prefix { first, len }
    }

    /// Is the address one of these?
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && Prefix::new(address, self.len).first == self.first
    }

    /// May it be anchored?
    ///
    /// # Errors
    /// [`PrefixError::Own`].
    pub fn check(self) -> Result<Prefix, PrefixError> {
        // (What has more than the agent's own network in it may be: that network stays home's all the same.)
        let (own, many) = match self.first {
            IpAddr::V4(ip) => (self.len >= NETWORK_BITS, ip.octets()[0] >= 224),
            IpAddr::V6(ip) => (self.len >= NETWORK6_BITS || ip.is_unicast_link_local(), ip.is_multicast()),
        };
        if (own && is_own(self.first)) || (many && self.len > 0) {
            return Err(PrefixError::Own(self));
        }
        Ok(self)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let form = || PrefixError::Form(text.chars().take(60).collect());
        let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let len = len.map_or(Ok(most), str::parse).ok().filter(|len| *len <= most).ok_or_else(form)?;
        let prefix = Prefix::new(address, len);
        if prefix.first != address {
            return Err(PrefixError::Loose { wrong: text.to_owned(), right: prefix });
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.len)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Prefix, PrefixError> {
        text.parse::<Prefix>()?.check()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Destinations.
    pub prefix: Prefix,
    /// Whose gateway they are reached by.
    pub site: String,
}

/// All of an agent. Home changes them; each site knows them in the version that it heard last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchors {
    /// Grows with each change.
    pub version: u64,
    /// In no order.
    pub anchors: Vec<Anchor>,
}

impl Anchors {
    /// Can they be ones?
    #[must_use]
    pub fn sound(&self) -> bool {
        self.anchors.len() <= ANCHORS_MAX && self.anchors.iter().all(|anchor| is_name(&anchor.site))
    }

    /// Whose gateway an address is reached by; `None` for home's.
    #[must_use]
    pub fn site_of(&self, address: IpAddr) -> Option<&str> {
        if is_own(address) {
            return None;
        }
        let fits = self.anchors.iter().filter(|anchor| anchor.prefix.contains(address));
        fits.max_by_key(|anchor| anchor.prefix.len).map(|anchor| anchor.site.as_str())
    }

    /// Anchors a prefix at a site; home is given as `None`. Says whether anything changed; `Err` if there are too many.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn set(&mut self, prefix: Prefix, site: Option<&str>) -> Result<bool, TooMany> {
        let at = self.anchors.iter().position(|anchor| anchor.prefix == prefix);
        match (at, site) {
            (None, None) => return Ok(false),
            (Some(at), Some(site)) if self.anchors[at].site == site => return Ok(false),
            (Some(at), Some(site)) => site.clone_into(&mut self.anchors[at].site),
            (Some(at), None) => drop(self.anchors.remove(at)),
            (None, Some(_)) if self.anchors.len() >= ANCHORS_MAX => return Err(TooMany),
            (None, Some(site)) => self.anchors.push(Anchor { prefix, site: site.to_owned() }),
        }
        self.version += 1;
        Ok(true)
    }
}

/// More than [`ANCHORS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent has at most {ANCHORS_MAX} anchors")]
pub struct TooMany;

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_is_read_said_and_checked() {
        assert_eq!(prefix("10.1.0.0/16").to_string(), "10.1.0.0/16");
        assert_eq!(prefix("10.1.2.3").to_string(), "10.1.2.3/32");
        assert_eq!(prefix("FD00:1:0::/64").to_string(), "fd00:1::/64");
        assert_eq!(prefix("::1").to_string(), "::1/128");
        for bad in
            ["", "10.1/16", "10.1.0.0/33", "10.1.0.0/-1", "x/8", "10.1.0.0/16/2", "fd00::/129", "fd00:/8"]
        {
            assert!(matches!(bad.parse::<Prefix>(), Err(PrefixError::Form(_))), "{bad}");
        }
        let loose = "10.1.2.3/16".parse::<Prefix>().unwrap_err().to_string();
        assert!(loose.contains("10.1.0.0/16 is meant"), "{loose}");
        for own in [
            "10.0.2.0/24",
            "10.0.2.2/32",
            "224.0.0.0/4",
            "255.255.255.255",
            "fec0::/64",
            "fec0::2",
            "fe80::/10",
            "ff02::1",
            "ff00::/8",
        ] {
            assert!(prefix(own).check().is_err(), "{own}");
        }
        for good in ["0.0.0.0/0", "10.0.0.0/8", "192.168.1.0/24", "::/0", "fd00:1::/64", "fec0::/10"] {
            assert!(prefix(good).check().is_ok(), "{good}");
        }
    }

    #[test]
    fn the_longest_prefix_says_the_site_and_the_agents_own_network_is_homes() {
        let mut anchors = Anchors::default();
        for (text, site) in [
            ("0.0.0.0/0", "exit"),
            ("10.0.0.0/8", "big"),
            ("10.1.0.0/16", "data"),
            ("fd00::/8", "big"),
            ("fd00:1::/64", "data"),
        ] {
            assert!(anchors.set(prefix(text), Some(site)).unwrap());
        }
        let site = |text: &str| anchors.site_of(text.parse().unwrap()).map(str::to_owned);
        assert_eq!(site("10.1.9.9").as_deref(), Some("data"));
        assert_eq!(site("10.2.0.1").as_deref(), Some("big"));
        assert_eq!(site("1.1.1.1").as_deref(), Some("exit"));
        assert_eq!(site("fd00:1::7").as_deref(), Some("data"));
        assert_eq!(site("fd00:2::7").as_deref(), Some("big"));
        // What is said of the one kind says nothing of the other.
        assert_eq!(site("2001:db8::1"), None);
        for own in ["10.0.2.2", "10.0.2.3", "255.255.255.255", "224.0.0.1", "fec0::3", "fe80::2", "ff02::1"] {
            assert_eq!(site(own), None, "{own}");
        }
    }

    #[test]
    fn a_change_has_a_new_version_and_there_is_a_most() {
        let mut anchors = Anchors::default();
        assert_eq!(anchors.set(prefix("10.1.0.0/16"), Some("a")), Ok(true));
        assert_eq!(anchors.set(prefix("10.1.0.0/16"), Some("a")), Ok(false));
        assert_eq!(anchors.set(prefix("10.1.0.0/16"), Some("b")), Ok(true));
        assert_eq!(anchors.set(prefix("10.1.0.0/16"), None), Ok(true));
        assert_eq!(anchors.set(prefix("10.1.0.0/16"), None), Ok(false));
        assert_eq!(anchors.version, 3);
        for n in 0..64 {
            assert_eq!(anchors.set(prefix(&format!("10.1.{n}.0/24")), Some("a")), Ok(true));
        }
        assert_eq!(anchors.set(prefix("10.9.0.0/16"), Some("a")), Err(TooMany));
        assert!(anchors.sound());
        let text = serde_json::to_string(&anchors).unwrap();
        assert_eq!(serde_json::from_str::<Anchors>(&text).unwrap(), anchors);
        let own = r#"{"version": 1, "anchors": [{"prefix": "10.0.2.0/24", "site": "a"}]}"#;
        assert!(serde_json::from_str::<Anchors>(own).is_err());
    }
}
