// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who asks, and what they may do. Pure.

use std::collections::BTreeMap;

use crate::call::Verb;
use crate::resource::Resource;

/// The two users of the fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// The administrator: may do everything.
    Admin,
    /// The agent under test: may do what `Access` grants.
    Agent,
}

impl User {
    /// Its user name, as it stands in a 403.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "kubernetes-admin",
            Self::Agent => "system:serviceaccount:kube-system:shunt",
        }
    }

    /// The group it is in; the administrator's may do everything on any server.
    pub fn group(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::Agent => "system:serviceaccounts",
        }
    }
}

/// What users are known by.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    tokens: BTreeMap<String, User>,
    certificates: BTreeMap<Vec<u8>, User>,
}

impl Credentials {
    /// Makes `token` the user's only one.
    pub fn set_token(&mut self, user: User, token: &str) {
        self.tokens.retain(|_, owner| *owner != user);
        self.tokens.insert(token.to_owned(), user);
    }

    /// Adds a client certificate.
    pub fn add_certificate(&mut self, user: User, der: &[u8]) {
        self.certificates.insert(der.to_vec(), user);
    }

    /// Who this is. The TLS handshake has proved that the client holds the certificate's key.
    pub fn identify(&self, authorization: Option<&str>, certificate: Option<&[u8]>) -> Option<User> {
        let by_certificate = certificate.and_then(|der| self.certificates.get(der));
        let token = || authorization?.strip_prefix("Bearer ").map(str::trim);
        by_certificate.or_else(|| self.tokens.get(token()?)).copied()
    }
}

/// What the agent may do.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everything.
    #[default]
    Everything,
    /// These verbs on these resources.
    Only(BTreeMap<Resource, Vec<Verb>>),
}

impl Access {
    /// The grants of the ClusterRole `system:node-proxier`, as far as this server has the resources and verbs.
    pub fn node_proxier() -> Self {
        let follow = vec![Verb::List, Verb::Watch];
        let write = vec![Verb::Create, Verb::Patch];
        Self::Only(BTreeMap::from([
            (Resource::Services, follow.clone()),
            (Resource::EndpointSlices, follow.clone()),
            (Resource::ServiceCidrs, follow),
            (Resource::Nodes, vec![Verb::Get, Verb::List, Verb::Watch]),
            (Resource::Events, write),
        ]))
    }

    /// Whether `user` may do this.
    pub fn allows(&self, user: User, verb: Verb, resource: Resource) -> bool {
        match (user, self) {
            (User::Admin, _) | (User::Agent, Self::Everything) => true,
            (User::Agent, Self::Only(granted)) => granted.get(&resource).is_some_and(|v| v.contains(&verb)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_token_or_certificate() {
        let mut known = Credentials::default();
        known.set_token(User::Agent, "secret");
        known.add_certificate(User::Admin, b"der");
        assert_eq!(known.identify(Some("Bearer secret"), None), Some(User::Agent));
        assert_eq!(known.identify(None, Some(b"der")), Some(User::Admin));
        assert_eq!(known.identify(Some("Bearer other"), Some(b"foreign")), None);
        assert_eq!(known.identify(Some("Basic secret"), None), None);
        assert_eq!(known.identify(None, None), None);
    }

    #[test]
    fn a_new_token_ends_the_old_one() {
        let mut known = Credentials::default();
        known.set_token(User::Agent, "old");
        known.set_token(User::Agent, "new");
        assert_eq!(known.identify(Some("Bearer old"), None), None);
        assert_eq!(known.identify(Some("Bearer new"), None), Some(User::Agent));
    }

    #[test]
    fn the_node_proxier_role_reads_and_writes_events_only() {
        let role = Access::node_proxier();
        assert!(role.allows(User::Agent, Verb::Watch, Resource::Services));
        assert!(!role.allows(User::Agent, Verb::Get, Resource::Services));
        assert!(!role.allows(User::Agent, Verb::Patch, Resource::Nodes));
        assert!(role.allows(User::Agent, Verb::Create, Resource::Events));
        assert!(role.allows(User::Admin, Verb::Patch, Resource::Nodes));
    }
}
