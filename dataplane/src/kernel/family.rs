// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts between the kernel's address types and the standard library's.

use std::net::IpAddr;

use dataplane_common::{Family, V4, V6};

use crate::model;

/// A family as the agent needs it beside what the kernel does.
pub trait HostFamily: Family {
    /// The suffix of its maps' names.
    const SUFFIX: &'static str;
    /// The same in the model's terms.
    const MODEL: model::Family;

    /// `None`: an address of the other family.
    fn from_ip(addr: IpAddr) -> Option<Self::Addr>;
    fn to_ip(addr: Self::Addr) -> IpAddr;
}

impl HostFamily for V4 {
    const SUFFIX: &'static str = "4";
    const MODEL: model::Family = model::Family::V4;

    fn from_ip(addr: IpAddr) -> Option<Self::Addr> {
        match addr {
            IpAddr::V4(addr) => Some(addr.into()),
            IpAddr::V6(_) => None,
        }
    }

    fn to_ip(addr: Self::Addr) -> IpAddr {
        IpAddr::V4(addr.into())
    }
}

impl HostFamily for V6 {
    const SUFFIX: &'static str = "6";
    const MODEL: model::Family = model::Family::V6;

    fn from_ip(addr: IpAddr) -> Option<Self::Addr> {
        match addr {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr.into()),
        }
    }

    fn to_ip(addr: Self::Addr) -> IpAddr {
        IpAddr::V6(addr.into())
    }
}
