// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of fields that several kinds of objects share.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::model::{Protocol, Reason};

/// The reasons found in one object, so many that an operator understands and no more.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    first: Vec<Reason>,
    more: usize,
}

impl Reasons {
    const KEPT: usize = 8;

    pub(super) fn push(&mut self, reason: Reason) {
        if self.first.len() < Self::KEPT {
            self.first.push(reason);
        } else {
            self.more += 1;
        }
    }

    /// The value, or nothing and a reason more.
    pub(super) fn check<T>(&mut self, result: Result<T, Reason>) -> Option<T> {
        result.map_err(|reason| self.push(reason)).ok()
    }

    pub(super) fn into_vec(self) -> Vec<Reason> {
        let more = (self.more > 0).then_some(Reason::More(self.more));
        self.first.into_iter().chain(more).collect()
    }
}

/// A DNS label. The kernel's tables hold names of such length only, and `/` and `:` part them there.
pub(super) fn dns_label(field: &'static str, value: &str) -> Result<(), Reason> {
    let fits = (1..=63).contains(&value.len());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if fits && value.bytes().all(plain) {
        return Ok(());
    }
    Err(Reason::Name {
        field,
        value: shown(value),
    })
}

/// An address that packets can be sent to, here and from other machines: what the API server lets in for
/// endpoints.
pub(super) fn address(field: &'static str, value: &str) -> Result<IpAddr, Reason> {
    let addr = any_address(field, value)?;
    match special(addr).or(link_local(addr)) {
        Some(what) => Err(Reason::SpecialAddress { field, addr, what }),
        None => Ok(addr),
    }
}

/// The same for addresses that the API server does not check for being link-local: cluster IPs and a load balancer's.
pub(super) fn service_address(field: &'static str, value: &str) -> Result<IpAddr, Reason> {
    let addr = any_address(field, value)?;
    let what = special(addr).or(match addr {
        IpAddr::V4(_) => None,
        // Without a zone it leads nowhere.
        IpAddr::V6(_) => link_local(addr),
    });
    match what {
        Some(what) => Err(Reason::SpecialAddress { field, addr, what }),
        None => Ok(addr),
    }
}

fn any_address(field: &'static str, value: &str) -> Result<IpAddr, Reason> {
    lenient(value).ok_or_else(|| Reason::Address {
        field,
        value: shown(value),
    })
}

/// Reads an address as kube-proxy does (`ParseIPSloppy`), because objects older than the API server's strict validation
/// (KEP-4858) are still in etcd: IPv4 with leading zeros, which are decimal, and IPv4 in IPv6 form.
fn lenient(text: &str) -> Option<IpAddr> {
    let addr = match text.parse::<IpAddr>() {
        Ok(addr) => addr,
        Err(_) => match text.rsplit_once(':') {
            Some((front, v4)) => format!("{front}:{}", lenient_v4(v4)?).parse().ok()?,
            None => lenient_v4(text)?.into(),
        },
    };
    Some(addr.to_canonical())
}

fn lenient_v4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let octets = [(); 4].map(|()| {
        let part = parts.next()?;
        let is_decimal = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_decimal.then(|| part.parse::<u8>().ok())?
    });
    let [Some(a), Some(b), Some(c), Some(d)] = octets else {
        return None;
    };
    parts.next().is_none().then(|| Ipv4Addr::new(a, b, c, d))
}

/// A range of addresses, without the bits beyond its prefix.
pub(super) fn range(field: &'static str, value: &str) -> Result<IpNet, Reason> {
    let lenient = || {
        let (addr, length) = value.split_once('/')?;
        IpNet::new(lenient(addr)?, length.parse().ok()?).ok()
    };
    let range = value.parse::<IpNet>().ok().or_else(lenient);
    range.map(|range| range.trunc()).ok_or_else(|| Reason::Range {
        field,
        value: shown(value),
    })
}

pub(super) fn port(field: &'static str, value: i32) -> Result<u16, Reason> {
    match u16::try_from(value) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Reason::Port {
            field,
            value: value.into(),
        }),
    }
}

pub(super) fn protocol(value: Option<&str>) -> Result<Protocol, Reason> {
    match value {
        None | Some("TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(unknown("protocol", other)),
    }
}

pub(super) fn unknown(field: &'static str, value: &str) -> Reason {
    Reason::Unknown {
        field,
        value: shown(value),
    }
}

fn special(addr: IpAddr) -> Option<&'static str> {
    let is = |yes: bool, what| yes.then_some(what);
    is(addr.is_unspecified(), "the unspecified address")
        .or(is(addr.is_loopback(), "a loopback address"))
        .or(is(addr.is_multicast(), "a multicast address"))
        .or(match addr {
            IpAddr::V4(addr) => is(addr.is_broadcast(), "the broadcast address"),
            IpAddr::V6(_) => None,
        })
}

fn link_local(addr: IpAddr) -> Option<&'static str> {
    let is_link_local = match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    is_link_local.then_some("a link-local address")
}

/// Keeps long values from filling the log.
fn shown(value: &str) -> String {
    value.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_reached_are_special() {
        for odd in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.169.254",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(
                matches!(address("ip", odd), Err(Reason::SpecialAddress { .. })),
                "{odd}"
            );
        }
        for odd in [
            "",
            "None",
            "10.0.0.256",
            "10.0.0.",
            "10.0.0.1.2",
            "10.0.0.+1",
            "0x0a.0.0.1",
            "::ffff:10.0.0.256",
            "10.0.0.1/32",
            "fe80::1%eth0",
            "example.org",
        ] {
            assert!(matches!(address("ip", odd), Err(Reason::Address { .. })), "{odd}");
        }
        for good in [
            "10.0.0.1",
            "192.168.99.11",
            "203.0.113.2",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert_eq!(address("ip", good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn addresses_and_ranges_from_before_strict_validation_are_read_as_kube_proxy_reads_them() {
        for (old, addr) in [
            ("192.0.002.010", "192.0.2.10"),
            ("010.244.001.005", "10.244.1.5"),
            ("::ffff:192.0.2.10", "192.0.2.10"),
            ("::ffff:192.0.002.010", "192.0.2.10"),
        ] {
            assert_eq!(address("ip", old).unwrap().to_string(), addr, "{old}");
        }
        assert_eq!(range("range", "010.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(range("range", "010.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert!(range("range", "10.0.0.0").is_err());
        assert!(range("range", "010.0.0.0/33").is_err());
        assert!(service_address("ip", "169.254.77.7").is_ok());
        assert!(service_address("ip", "fe80::1").is_err());
        assert!(service_address("ip", "127.0.0.1").is_err());
    }

    #[test]
    fn ports_go_from_1_to_65535() {
        assert_eq!([port("port", 1), port("port", 65_535)], [Ok(1), Ok(65_535)]);
        for odd in [0, -1, 65_536, i32::MAX] {
            assert!(port("port", odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn of_many_reasons_the_first_ones_are_kept() {
        let mut reasons = Reasons::default();
        for value in 0..100_000 {
            reasons.push(Reason::Port { field: "port", value });
        }
        let kept = reasons.into_vec();
        assert_eq!((kept.len(), kept.last()), (9, Some(&Reason::More(99_992))));
    }
}
