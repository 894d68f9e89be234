// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Status`: the body of every refusal, and of the ERROR event of a watch.

use std::fmt;

use serde_json::{Value, json};

use crate::object::Key;
use crate::resource::Resource;
use crate::selector::{FieldSelectorError, LabelSelectorError};
use crate::store::{Gone, ListError};

/// A refusal as the API words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// The machine-readable reason.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
    /// Seconds to wait before trying again; also sent as a header.
    pub retry_after: Option<u32>,
    /// `details.causes[].reason`, where a client looks for one.
    pub cause: Option<&'static str>,
}

impl Status {
    /// A refusal with the reason that belongs to `code`.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason(code),
            message: message.into(),
            retry_after: None,
            cause: None,
        }
    }

    /// The same, telling when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: Option<u32>) -> Self {
        Self {
            retry_after: seconds,
            ..self
        }
    }

    /// 404 for an object.
    pub fn not_found(key: &Key) -> Self {
        Self::new(404, format!("{} {:?} not found", key.resource, key.name))
    }

    /// 404 for a path.
    pub fn no_such_path() -> Self {
        Self::new(404, "the server could not find the requested resource")
    }

    /// 403 in the words of the RBAC authorizer.
    pub fn forbidden(user: &str, verb: &str, resource: Resource, namespace: Option<&str>) -> Self {
        let scope = match namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let spec = resource.spec();
        Self::new(
            403,
            format!(
                "{} is forbidden: User {user:?} cannot {verb} resource {:?} in API group {:?} {scope}",
                spec.plural, spec.plural, spec.group
            ),
        )
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(seconds) = self.retry_after {
            body["details"]["retryAfterSeconds"] = seconds.into();
        }
        if let Some(cause) = self.cause {
            body["details"]["causes"] = json!([{"reason": cause, "message": self.message}]);
        }
        body
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl From<Gone> for Status {
    fn from(gone: Gone) -> Self {
        Self {
            reason: "Expired",
            ..Self::new(410, gone.to_string())
        }
    }
}

impl From<ListError> for Status {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Gone(gone) => gone.into(),
            ListError::TooLarge { .. } => Self {
                cause: Some("ResourceVersionTooLarge"),
                ..Self::new(504, error.to_string()).retry_after(Some(1))
            },
        }
    }
}

impl From<LabelSelectorError> for Status {
    fn from(error: LabelSelectorError) -> Self {
        Self::new(400, error.to_string())
    }
}

impl From<FieldSelectorError> for Status {
    fn from(error: FieldSelectorError) -> Self {
        Self::new(400, error.to_string())
    }
}

impl From<crate::object::ObjectError> for Status {
    fn from(error: crate::object::ObjectError) -> Self {
        Self::new(422, error.to_string())
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Gone",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Revision;

    #[test]
    fn a_refusal_says_when_to_try_again_and_why() {
        let too_large = ListError::TooLarge {
            asked: Revision(9),
            current: Revision(3),
        };
        let body = Status::from(too_large).body();
        assert_eq!(body["code"], 504);
        assert_eq!(body["details"]["retryAfterSeconds"], 1);
        assert_eq!(body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    }

    #[test]
    fn a_compacted_revision_is_expired_with_410() {
        let status = Status::from(Gone {
            asked: Revision(1),
            oldest: Revision(5),
        });
        assert_eq!((status.code, status.reason), (410, "Expired"));
        assert_eq!(status.message, "too old resource version: 1 (5)");
    }

    #[test]
    fn forbidden_names_who_what_and_where() {
        let status = Status::forbidden("agent", "list", Resource::EndpointSlices, None);
        assert_eq!(
            status.message,
            "endpointslices is forbidden: User \"agent\" cannot list resource \"endpointslices\" \
             in API group \"discovery.k8s.io\" at the cluster scope"
        );
    }
}
