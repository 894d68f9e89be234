// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kubeconfig file that leads a client to the server.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pki::Pair;

/// How the client shows who it is.
#[derive(Clone, Debug)]
pub enum Login {
    /// A bearer token.
    Token(String),
    /// A client certificate.
    Certificate(Pair),
    /// Not at all.
    Nobody,
}

/// The file's text: JSON, which is YAML.
pub fn kubeconfig(server: SocketAddr, authority: &str, login: &Login) -> String {
    let user = match login {
        Login::Token(token) => json!({"token": token}),
        Login::Certificate(pair) => json!({
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(&pair.key),
        }),
        Login::Nobody => json!({}),
    };
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "fixture",
            "cluster": {
                "server": format!("https://{server}"),
                "certificate-authority-data": STANDARD.encode(authority),
            },
        }],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "fixture", "context": {"cluster": "fixture", "user": "user"}}],
        "current-context": "fixture",
    });
    format!("{config:#}\n")
}
