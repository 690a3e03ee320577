//! Which addresses may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Blocks first; then, if an allow list was given, the address must be on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkPolicy {
    allow: Option<Vec<IpNet>>,
    block: Vec<IpNet>,
}

/// An address that is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkDenial {
    /// It is on a block list.
    #[error("{address} is blocked by {network}")]
    Blocked {
        /// The address.
        address: IpAddr,
        /// The entry that blocks it.
        network: IpNet,
    },
    /// There is an allow list and it is not on it.
    #[error("{address} is on no allow list")]
    NotAllowed {
        /// The address.
        address: IpAddr,
    },
}

impl NetworkPolicy {
    /// A policy of checked networks. `allow` is `None` when no allow list was given at all; an empty list allows nothing.
    #[must_use]
    pub fn new(allow: Option<Vec<IpNet>>, block: Vec<IpNet>) -> Self {
        Self {
            allow: allow.map(|networks| networks.into_iter().map(canonical).collect()),
            block: block.into_iter().map(canonical).collect(),
        }
    }

    /// The allow list, if one was given.
    #[must_use]
    pub fn allowed(&self) -> Option<&[IpNet]> {
        self.allow.as_deref()
    }

    /// The block list.
    #[must_use]
    pub fn blocked(&self) -> &[IpNet] {
        &self.block
    }

    /// Judges an address and answers its canonical form, which is the one to connect to.
    ///
    /// An IPv4 address inside an IPv6 one is judged as well as the whole: mapped and compatible (RFC 4291), NAT64 (RFC 6052,
    /// `64:ff9b::/96`; RFC 8215, `64:ff9b:1::/48` with the address at its end), 6to4 (RFC 3056).
    pub fn judge(&self, address: IpAddr) -> Result<IpAddr, NetworkDenial> {
        let canonical = address.to_canonical();
        let mut forms = vec![canonical, address];
        if let IpAddr::V6(six) = canonical {
            forms.extend(embedded(six).map(IpAddr::V4));
        }
        for form in &forms {
            if let Some(network) = self.block.iter().find(|network| network.contains(form)) {
                return Err(NetworkDenial::Blocked { address: canonical, network: *network });
            }
        }
        match &self.allow {
            Some(allow) if !allow.iter().any(|network| network.contains(&canonical)) => {
                Err(NetworkDenial::NotAllowed { address: canonical })
            }
            _ => Ok(canonical),
        }
    }
}

/// A network as canonical addresses see it: IPv4-mapped ones are IPv4 networks.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let length = six.prefix_len().checked_sub(96);
    match (six.addr().to_ipv4_mapped(), length) {
        (Some(four), Some(length)) => ipnet::Ipv4Net::new(four, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

/// The IPv4 address that an IPv6 address stands for, if any (mapped ones are canonical already).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let four = |high: u16, low: u16| {
        let [h1, h2] = high.to_be_bytes();
        let [l1, l2] = low.to_be_bytes();
        Ipv4Addr::new(h1, h2, l1, l2)
    };
    if a == 0x2002 {
        return Some(four(b, c));
    }
    let nat64 = (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) || (a, b, c) == (0x64, 0xff9b, 1);
    // `::1` and `::` are no IPv4 addresses.
    let compatible = (a, b, c, d, e, f) == (0, 0, 0, 0, 0, 0) && g != 0;
    (nat64 || compatible).then(|| four(g, h))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn judge(policy: &NetworkPolicy, address: &str) -> Option<String> {
        policy.judge(address.parse().unwrap()).ok().map(|ip| ip.to_string())
    }

    #[test]
    fn blocks_come_first_then_the_allow_list() {
        let policy = NetworkPolicy::new(Some(nets(&["10.0.0.0/8"])), nets(&["10.0.0.1/32"]));
        assert_eq!(judge(&policy, "10.2.3.4").as_deref(), Some("10.2.3.4"));
        assert_eq!(judge(&policy, "10.0.0.1"), None);
        assert_eq!(judge(&policy, "192.0.2.1"), None);
        assert_eq!(judge(&NetworkPolicy::default(), "192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(judge(&NetworkPolicy::new(Some(vec![]), vec![]), "192.0.2.1"), None);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_judged_as_itself() {
        let policy = NetworkPolicy::new(None, nets(&["10.0.0.0/8"]));
        for hidden in ["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1"] {
            assert_eq!(judge(&policy, hidden), None, "{hidden}");
        }
        assert_eq!(judge(&policy, "::1").as_deref(), Some("::1"));
        assert!(judge(&policy, "2001:db8::a00:1").is_some(), "only the named prefixes hold one");
        assert_eq!(judge(&policy, "::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        let only = NetworkPolicy::new(Some(nets(&["10.0.0.0/8"])), vec![]);
        assert_eq!(judge(&only, "::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(judge(&only, "64:ff9b::10.0.0.1"), None);
        assert_eq!(judge(&policy, "64:ff9b:1::10.0.0.1"), None);
    }

    #[test]
    fn a_network_in_ipv6_clothes_is_the_ipv4_network() {
        let policy = NetworkPolicy::new(None, nets(&["::ffff:10.0.0.0/104"]));
        assert_eq!(judge(&policy, "10.1.2.3"), None);
        assert_eq!(judge(&policy, "::ffff:10.1.2.3"), None);
        assert_eq!(judge(&policy, "11.1.2.3").as_deref(), Some("11.1.2.3"));
        // A block on all of IPv6 also covers the IPv6 clothes of an IPv4 address.
        let six = NetworkPolicy::new(None, nets(&["::/0"]));
        assert_eq!(judge(&six, "::ffff:10.1.2.3"), None);
        assert_eq!(judge(&six, "10.1.2.3").as_deref(), Some("10.1.2.3"));
    }
}
