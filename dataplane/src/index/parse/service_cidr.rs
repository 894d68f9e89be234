// SPDX-License-Identifier: MIT OR Apache-2.0
//! ServiceCIDRs.

use k8s_openapi::api::networking::v1 as networking;

use super::super::event::Parsed;
use super::checks::{Reasons, range, unknown};
use crate::model::ServiceCidr;

pub(super) fn parse(object: &networking::ServiceCIDR) -> Parsed<ServiceCidr> {
    const FIELD: &str = "spec.cidrs";
    let mut reasons = Reasons::default();
    let listed = object.spec.as_ref().and_then(|spec| spec.cidrs.as_deref());
    let ranges = listed.unwrap_or_default().iter().filter_map(|text| {
        let range = reasons.check(range(FIELD, text))?;
        if range.prefix_len() == 0 {
            reasons.push(unknown(FIELD, text));
            return None;
        }
        Some(range)
    });
    let model = ServiceCidr(ranges.collect());
    Parsed {
        model: Some(model),
        reasons: reasons.into_vec(),
    }
}
