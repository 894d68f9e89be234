// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of fields that several kinds of objects share.

use std::net::IpAddr;

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
    let Ok(addr) = value.parse::<IpAddr>() else {
        return Err(Reason::Address {
            field,
            value: shown(value),
        });
    };
    match special(addr) {
        Some(what) => Err(Reason::SpecialAddress { field, addr, what }),
        None => Ok(addr),
    }
}

/// A range of addresses, without the bits beyond its prefix.
pub(super) fn range(field: &'static str, value: &str) -> Result<IpNet, Reason> {
    let range = value.parse::<IpNet>().map_err(|_| Reason::Range {
        field,
        value: shown(value),
    })?;
    Ok(range.trunc())
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
            IpAddr::V4(addr) => is(addr.is_link_local(), "a link-local address")
                .or(is(addr.is_broadcast(), "the broadcast address")),
            IpAddr::V6(addr) => is(addr.is_unicast_link_local(), "a link-local address").or(is(
                addr.to_ipv4_mapped().is_some(),
                "an IPv4 address in IPv6 form",
            )),
        })
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
            "::ffff:10.0.0.1",
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
            "010.0.0.1",
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
