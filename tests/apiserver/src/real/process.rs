// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs, their flags and their files.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rcgen::KeyPair;

use super::{RealError, system};
use crate::access::User;
use crate::fixture::write_private;
use crate::pki::Authority;

/// Where the binaries are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// kube-apiserver
    pub apiserver: PathBuf,
    /// etcd
    pub etcd: PathBuf,
}

impl Binaries {
    /// From `KUBE_APISERVER` and `ETCD`; `None` unless both are set.
    pub fn from_env() -> Option<Self> {
        let path = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Some(Self {
            apiserver: path("KUBE_APISERVER")?,
            etcd: path("ETCD")?,
        })
    }
}

/// A child that is stopped when this is dropped.
pub(super) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error that tells what it did last.
    pub(super) fn not_ready(&self, why: String) -> RealError {
        RealError::NotReady {
            program: self.name.to_owned(),
            why,
            log: tail(&self.log),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither keeps anything that outlives its folder, so a kill is clean enough; it may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that were free a moment ago: neither program can be handed a socket.
pub(super) fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [bind()?, bind()?, bind()?];
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok([port(&held[0])?, port(&held[1])?, port(&held[2])?])
}

pub(super) fn start_etcd(
    program: &Path,
    folder: &Path,
    client: u16,
    peer: u16,
) -> Result<Process, RealError> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let data = folder.join("etcd");
    spawn(
        program,
        folder,
        "etcd",
        [
            "--data-dir".into(),
            data.into(),
            flag("--listen-client-urls", &client),
            flag("--advertise-client-urls", &client),
            flag("--listen-peer-urls", &peer),
            flag("--initial-advertise-peer-urls", &peer),
            flag("--initial-cluster", &format!("default={peer}")),
            "--unsafe-no-fsync".into(),
        ],
    )
}

pub(super) fn start_apiserver(
    program: &Path,
    folder: &Path,
    authority: &Authority,
    tokens: &[(User, String); 2],
    etcd: u16,
    port: u16,
) -> Result<Process, RealError> {
    write_files(folder, authority, tokens)?;
    let file = |name: &str| folder.join(name);
    let path = |name: &str, path: PathBuf| {
        let mut text = OsString::from(format!("{name}="));
        text.push(path);
        text
    };
    spawn(
        program,
        folder,
        "kube-apiserver",
        [
            flag("--etcd-servers", &format!("http://127.0.0.1:{etcd}")),
            "--bind-address=127.0.0.1".into(),
            flag("--secure-port", &port.to_string()),
            path("--tls-cert-file", file("server.crt")),
            path("--tls-private-key-file", file("server.key")),
            path("--client-ca-file", file("ca.crt")),
            path("--token-auth-file", file("tokens.csv")),
            path("--cert-dir", folder.to_owned()),
            "--authorization-mode=RBAC".into(),
            // There is no controller to make the accounts that this would wait for.
            "--disable-admission-plugins=ServiceAccount".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            path("--service-account-key-file", file("accounts.pub")),
            path("--service-account-signing-key-file", file("accounts.key")),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".into(),
            // Its own address is a loopback one, which no Service may have as an endpoint.
            "--endpoint-reconciler-type=none".into(),
            "--allow-privileged=true".into(),
        ],
    )
}

fn write_files(folder: &Path, authority: &Authority, tokens: &[(User, String); 2]) -> Result<(), RealError> {
    let server = authority.server(&[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
    let accounts = KeyPair::generate()?;
    let line =
        |(user, token): &(User, String)| format!("{token},{0},{0},\"{1}\"\n", user.name(), user.group());
    for (name, text) in [
        ("ca.crt", authority.certificate()),
        ("server.crt", server.certificate),
        ("server.key", server.key),
        ("accounts.pub", accounts.public_key_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("tokens.csv", tokens.iter().map(line).collect()),
    ] {
        write_private(&folder.join(name), &text).map_err(system(name))?;
    }
    Ok(())
}

fn flag(name: &str, value: &str) -> OsString {
    format!("{name}={value}").into()
}

fn spawn(
    program: &Path,
    folder: &Path,
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Process, RealError> {
    let log = folder.join(format!("{name}.log"));
    let output = File::create(&log).map_err(system("log file"))?;
    let errors = output.try_clone().map_err(system("log file"))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(system(program.display().to_string()))?;
    Ok(Process { child, name, log })
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| why.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
