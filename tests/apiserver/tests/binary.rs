// SPDX-License-Identifier: MIT OR Apache-2.0
//! `shunt-apiserver` as a person starts it: files in, kubeconfig out, kubectl, failures by HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: n}
";

struct Server {
    child: Child,
    folder: TempDir,
    /// Where failures are ordered.
    admin: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("manifests")).unwrap();
        std::fs::write(folder.path().join("manifests/web.yaml"), MANIFEST).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_shunt-apiserver"))
            .current_dir(folder.path())
            .args(["--kubeconfig-out", "admin.kubeconfig", "--admin", "127.0.0.1:0"])
            .args(["--manifests", "manifests"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let admin = lines.find_map(|line| {
            Some(
                line.unwrap()
                    .strip_prefix("failures on demand at http://")?
                    .to_owned(),
            )
        });
        let Some(admin) = admin else {
            panic!("it ended: {:?}", child.wait())
        };
        Self { child, folder, admin }
    }

    /// One request to the admin endpoint; its answer, head and all.
    fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n");
        let length = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(format!("{head}{length}{body}").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("kubectl")
            .env("HOME", self.folder.path())
            .args(["--kubeconfig", self.path("admin.kubeconfig").to_str().unwrap()])
            .args(arguments)
            .output();
        let Ok(output) = output else {
            eprintln!("SKIPPED: kubectl is not installed");
            return None;
        };
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn kubeconfigs_are_there_when_it_says_so_and_are_nobody_elses_business() {
    let server = Server::start(&["--agent-kubeconfig-out", "agent.kubeconfig"]);
    for name in ["admin.kubeconfig", "agent.kubeconfig"] {
        assert!(
            std::fs::read_to_string(server.path(name))
                .unwrap()
                .contains("token")
        );
        assert_eq!(mode(&server.path(name)), 0o600);
    }
    let certificates = Server::start(&["--certificates"]);
    let text = std::fs::read_to_string(certificates.path("admin.kubeconfig")).unwrap();
    assert!(text.contains("client-certificate-data"));
}

#[test]
fn kubectl_works_with_it() {
    for login in [&[][..], &["--certificates"]] {
        let server = Server::start(login);
        let Some(table) = server.kubectl(&["get", "services", "-A"]) else {
            return;
        };
        assert!(
            table.contains("CLUSTER-IP") && table.contains("10.96.1.0"),
            "{table}"
        );
        let nodes = server.kubectl(&["get", "nodes", "-o", "name"]).unwrap();
        assert_eq!(nodes, "node/n\n");
        std::fs::write(server.path("new.yaml"), MANIFEST.replace("web", "new")).unwrap();
        let file = server.path("new.yaml");
        let file = file.to_str().unwrap();
        let applied = server.kubectl(&["apply", "-f", file]).unwrap();
        assert!(applied.contains("service/new created"), "{applied}");
        let again = server.kubectl(&["apply", "-f", file]).unwrap();
        assert!(again.contains("service/new unchanged"), "{again}");
        let patch = r#"{"spec":{"sessionAffinity":"ClientIP"}}"#;
        assert!(
            server
                .kubectl(&["patch", "svc", "new", "-p", patch])
                .unwrap()
                .contains("patched")
        );
        assert!(
            server
                .kubectl(&["delete", "-f", file])
                .unwrap()
                .contains("\"new\" deleted")
        );
    }
}

#[test]
fn failures_are_ordered_by_http() {
    let server = Server::start(&[]);
    let rule = r#"{"verb":"list","resource":"services","times":1,"fault":{"kind":"answer","code":503}}"#;
    assert!(server.admin("POST", "/faults", rule).starts_with("HTTP/1.1 204"));
    assert!(server.admin("GET", "/faults", "").contains("503"));
    assert!(
        server
            .admin("POST", "/faults", r#"{"fault":{"kind":"nonsense"}}"#)
            .starts_with("HTTP/1.1 422")
    );
    assert!(server.admin("DELETE", "/faults", "").starts_with("HTTP/1.1 204"));
    assert!(server.admin("GET", "/faults", "").ends_with("[]"));

    let odd = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"odd"},"spec":{"ports":"x"}}"#;
    assert!(server.admin("PUT", "/objects", odd).contains("resourceVersion"));
    assert!(server.admin("PUT", "/objects", "{}").starts_with("HTTP/1.1 422"));
    for order in [
        "/watches/end?resource=services&how=clean",
        "/watches/stall?which=all",
        "/watches/resume",
        "/watches/bookmark",
        "/refuse",
        "/admit",
        "/compact",
    ] {
        assert!(
            server.admin("POST", order, "").starts_with("HTTP/1.1 204"),
            "{order}"
        );
    }
    assert!(
        server
            .admin("POST", "/watches/end?resource=pods", "")
            .starts_with("HTTP/1.1 400")
    );
    assert!(server.admin("GET", "/counts", "").contains("open_watches"));
}

#[test]
fn a_manifest_that_is_refused_ends_it_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("bad.yaml"),
        "apiVersion: apps/v1\nkind: Deployment\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_shunt-apiserver"))
        .current_dir(folder.path())
        .args(["--kubeconfig-out", "kubeconfig", "--manifests", "."])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.starts_with("shunt-apiserver: manifest ./bad.yaml is refused:"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}
