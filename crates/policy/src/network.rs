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
    /// It names no machine: whoever connects to it reaches itself.
    #[error(
        "{address} behind a jump host is the jump host itself; write 127.0.0.1 or ::1 if that is meant"
    )]
    Unspecified {
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
    /// `64:ff9b::/96`; RFC 8215, `64:ff9b:1::/48` with each place for the address), translated (RFC 2765), 6to4 (RFC 3056), Teredo (RFC
    /// 4380) and ISATAP (RFC 5214). The unspecified address (`0.0.0.0`, `::`) is judged as loopback, which is what it reaches.
    pub fn judge(&self, address: IpAddr) -> Result<IpAddr, NetworkDenial> {
        let canonical = address.to_canonical();
        let mut forms = forms(address);
        if forms.iter().any(IpAddr::is_unspecified) {
            forms.extend(LOOPBACK);
        }
        for form in &forms {
            if let Some(network) = self.block.iter().find(|network| network.contains(form)) {
                return Err(NetworkDenial::Blocked { address: canonical, network: *network });
            }
        }
        let meant: &[IpAddr] = if canonical.is_unspecified() { &LOOPBACK } else { &[canonical] };
        let listed = |allow: &[IpNet]| {
            meant.iter().any(|form| allow.iter().any(|network| network.contains(form)))
        };
        match &self.allow {
            Some(allow) if !listed(allow) => Err(NetworkDenial::NotAllowed { address: canonical }),
            _ => Ok(canonical),
        }
    }

    /// The same for a host behind a jump host, where the unspecified address is the jump host and no list speaks of that.
    pub fn judge_behind_jump(&self, address: IpAddr) -> Result<IpAddr, NetworkDenial> {
        let judged = self.judge(address)?;
        if forms(address).iter().any(IpAddr::is_unspecified) {
            return Err(NetworkDenial::Unspecified { address: judged });
        }
        Ok(judged)
    }
}

/// What the unspecified address reaches.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// An address, its canonical form, and the IPv4 addresses in it.
fn forms(address: IpAddr) -> Vec<IpAddr> {
    let canonical = address.to_canonical();
    let mut forms = vec![canonical, address];
    if let IpAddr::V6(six) = canonical {
        forms.extend(embedded(six).into_iter().map(IpAddr::V4));
    }
    forms
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

/// The IPv4 addresses that an IPv6 address may stand for (mapped ones are canonical already).
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let four = |high: u16, low: u16| {
        let [h1, h2] = high.to_be_bytes();
        let [l1, l2] = low.to_be_bytes();
        Ipv4Addr::new(h1, h2, l1, l2)
    };
    match (a, b, c, d, e, f) {
        // 6to4.
        (0x2002, ..) => vec![four(b, c)],
        // Teredo: the server, and the client behind it with its bits turned round.
        (0x2001, 0, ..) => vec![four(c, d), four(!g, !h)],
        (0x64, 0xff9b, 0, 0, 0, 0) => vec![four(g, h)],
        // The owner of a network chooses how long this prefix is: 96, 48, 56 or 64 bits, with bits 64 to 71 left free.
        (0x64, 0xff9b, 1, ..) => {
            let ([_, e2], [f1, f2], [g1, _]) = (e.to_be_bytes(), f.to_be_bytes(), g.to_be_bytes());
            let ([d1, d2], [_, d_last]) = (d.to_be_bytes(), d.to_be_bytes());
            let shorter = [
                Ipv4Addr::new(d1, d2, e2, f1),
                Ipv4Addr::new(d_last, e2, f1, f2),
                Ipv4Addr::new(e2, f1, f2, g1),
            ];
            let shorter = shorter.into_iter().filter(|address| !address.is_unspecified());
            std::iter::once(four(g, h)).chain(shorter).collect()
        }
        // Translated.
        (0, 0, 0, 0, 0xffff, 0) => vec![four(g, h)],
        // Compatible; `::1` and `::` are no IPv4 addresses.
        (0, 0, 0, 0, 0, 0) if g != 0 => vec![four(g, h)],
        // ISATAP, in any network.
        (_, _, _, _, 0 | 0x200, 0x5efe) => vec![four(g, h)],
        _ => Vec::new(),
    }
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

    /// It reaches loopback, in whatever clothes: directly this machine's, behind a jump host the jump host's.
    #[test]
    fn the_unspecified_address_is_loopback() {
        let spellings =
            ["0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::", "2002::", "::ffff:0:0.0.0.0"];
        for block in ["127.0.0.0/8", "::1/128"] {
            let policy = NetworkPolicy::new(None, nets(&[block]));
            for spelling in spellings {
                assert_eq!(judge(&policy, spelling), None, "{spelling} past {block}");
            }
        }
        let behind = |policy: &NetworkPolicy, address: &str| {
            policy.judge_behind_jump(address.parse().unwrap()).map_err(|denial| denial.to_string())
        };
        let open = NetworkPolicy::default();
        for spelling in spellings {
            assert!(judge(&open, spelling).is_some(), "{spelling}, as ssh has it");
            let told = behind(&open, spelling).unwrap_err();
            assert!(told.contains("write 127.0.0.1 or ::1"), "{spelling}: {told}");
        }
        assert!(behind(&open, "127.0.0.1").is_ok() && behind(&open, "10.0.0.1").is_ok());
        let only = NetworkPolicy::new(Some(nets(&["10.0.0.0/8", "0.0.0.0/32"])), vec![]);
        assert_eq!(judge(&only, "0.0.0.0"), None, "the list does not admit loopback");
        let own = NetworkPolicy::new(Some(nets(&["127.0.0.1/32"])), vec![]);
        assert_eq!(judge(&own, "0.0.0.0").as_deref(), Some("0.0.0.0"));
    }

    /// Every way to write a blocked IPv4 address in an IPv6 one, and none for an address that is not.
    #[test]
    fn a_blocked_address_hides_in_no_other() {
        let policy = NetworkPolicy::new(None, nets(&["10.1.2.3/32"]));
        let clothes = |a: u8, b: u8, c: u8, d: u8| {
            let hex = |x: u8, y: u8| format!("{:x}", u16::from_be_bytes([x, y]));
            let (high, low) = (hex(a, b), hex(c, d));
            let (turned_high, turned_low) = (hex(!a, !b), hex(!c, !d));
            vec![
                format!("::ffff:{high}:{low}"),
                format!("::ffff:0:{high}:{low}"),
                format!("::{high}:{low}"),
                format!("64:ff9b::{high}:{low}"),
                format!("64:ff9b:1::{high}:{low}"),
                format!("64:ff9b:1:{high}:{}:{}::", hex(0, c), hex(d, 0)),
                format!("64:ff9b:1:{}:{}:{}::", hex(0, a), hex(0, b), hex(c, d)),
                format!("64:ff9b:1:0:{}:{}:{}:0", hex(0, a), hex(b, c), hex(d, 0)),
                format!("2002:{high}:{low}::1"),
                format!("2001:0:102:304:0:0:{turned_high}:{turned_low}"),
                format!("2001:0:{high}:{low}::"),
                format!("fe80::5efe:{high}:{low}"),
                format!("2001:db8::200:5efe:{high}:{low}"),
            ]
        };
        for address in clothes(10, 1, 2, 3) {
            assert_eq!(judge(&policy, &address), None, "{address}");
        }
        for address in clothes(10, 9, 8, 7) {
            assert!(judge(&policy, &address).is_some(), "{address}");
        }
    }
}
