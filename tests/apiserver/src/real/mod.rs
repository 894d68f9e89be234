// SPDX-License-Identifier: MIT OR Apache-2.0
//! A real etcd and a real kube-apiserver, with folders and certificates of their own, behind a proxy that
//! can fail.

mod objects;
mod process;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use self::process::Binaries;
use self::process::{Process, free_ports, start_apiserver, start_etcd};
use crate::access::User;
use crate::fixture::write_private;
use crate::kubeconfig::{Login, kubeconfig};
use crate::object::ObjectError;
use crate::pki::{Authority, token};
use crate::proxy::Proxy;

/// How long the two may take until they are ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no real server, or why it did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// A file or a process.
    #[error("real API server: {what}: {why}: see whether KUBE_APISERVER and ETCD name programs")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        why: io::Error,
    },
    /// A certificate.
    #[error("real API server: no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The kubeconfig written here is not understood.
    #[error("real API server: kubeconfig not understood: {0}: this is a bug in the suite")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// It did not come up.
    #[error("real API server: not ready: {why}: the log of {program} ends with\n{log}")]
    NotReady {
        /// Which program.
        program: String,
        /// What it did, or the last answer.
        why: String,
        /// The end of its log.
        log: String,
    },
    /// It refused a request.
    #[error("real API server: request failed: {0}")]
    Request(#[from] Box<kube::Error>),
    /// What was given is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// The two processes. They stop when this is dropped.
pub struct Real {
    client: Client,
    proxy: Proxy,
    authority: Authority,
    tokens: [(User, String); 2],
    runtime: Option<Runtime>,
    // Dropped, and so stopped, in this order.
    _apiserver: Process,
    _etcd: Process,
    folder: TempDir,
}

impl Real {
    /// Starts both and waits until they are ready.
    pub fn start(binaries: &Binaries) -> Result<Self, RealError> {
        let folder = tempfile::Builder::new().prefix("shunt-apiserver-").tempdir();
        let folder = folder.map_err(system("temporary folder"))?;
        let authority = Authority::new()?;
        let tokens = [(User::Admin, token()?), (User::Agent, token()?)];
        let [client_port, peer_port, secure_port] = free_ports().map_err(system("free ports"))?;
        let mut etcd = start_etcd(&binaries.etcd, folder.path(), client_port, peer_port)?;
        let mut apiserver = start_apiserver(
            &binaries.apiserver,
            folder.path(),
            &authority,
            &tokens,
            client_port,
            secure_port,
        )?;

        let runtime = Runtime::new().map_err(system("runtime"))?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, secure_port));
        let proxy = finish(&runtime, Proxy::start(server)).unwrap_or_else(|| Err(stopped()));
        let proxy = proxy.map_err(system("proxy"))?;
        // Its own way to the server does not lead through the proxy: writes go on while clients are cut off.
        let text = kubeconfig(server, &authority.certificate(), &login(&tokens, User::Admin));
        let client = finish(&runtime, client(text)).unwrap_or_else(|| Err(system("client")(stopped())))?;
        wait_until_ready(&runtime, &client, [&mut etcd, &mut apiserver])?;
        let real = Self {
            client,
            proxy,
            authority,
            tokens,
            runtime: Some(runtime),
            _apiserver: apiserver,
            _etcd: etcd,
            folder,
        };
        real.bind_role()?;
        Ok(real)
    }

    /// A kubeconfig for this user by bearer token, by way of the proxy.
    pub fn token_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        self.write_kubeconfig(&format!("{user:?}-token"), &login(&self.tokens, user))
    }

    /// A kubeconfig for this user by client certificate, by way of the proxy.
    pub fn certificate_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        let pair = self
            .authority
            .client(user.name(), user.group())
            .map_err(io::Error::other)?;
        self.write_kubeconfig(&format!("{user:?}-certificate"), &Login::Certificate(pair))
    }

    /// The network between clients and the server.
    pub fn network(&self) -> &Proxy {
        &self.proxy
    }

    fn write_kubeconfig(&self, name: &str, login: &Login) -> io::Result<PathBuf> {
        let path = self
            .folder
            .path()
            .join(format!("{}.kubeconfig", name.to_lowercase()));
        write_private(
            &path,
            &kubeconfig(self.proxy.address(), &self.authority.certificate(), login),
        )?;
        Ok(path)
    }

    /// Waits for work, from any thread.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, kube::Error>> + Send + 'static,
    ) -> Result<T, kube::Error> {
        let done = self.runtime.as_ref().and_then(|runtime| finish(runtime, work));
        done.unwrap_or_else(|| Err(kube::Error::Service(stopped().into())))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn wait_until_ready(
    runtime: &Runtime,
    client: &Client,
    mut programs: [&mut Process; 2],
) -> Result<(), RealError> {
    let begun = Instant::now();
    loop {
        let client = client.clone();
        let answer = finish(runtime, async move {
            let request = hyper::Request::get("/readyz").body(Vec::new());
            client
                .request_text(request.map_err(kube::Error::HttpError)?)
                .await
        });
        let why = match answer {
            Some(Ok(_)) => return Ok(()),
            Some(Err(why)) => why.to_string(),
            None => stopped().to_string(),
        };
        for program in &mut programs {
            if let Some(status) = program.ended() {
                return Err(program.not_ready(format!("it ended with {status}")));
            }
        }
        if begun.elapsed() > PATIENCE {
            let [_, apiserver] = programs;
            return Err(apiserver.not_ready(why));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits for work on a runtime's threads; works on a thread that drives another runtime, where `block_on`
/// does not. `None` if the work panicked.
fn finish<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Nobody waits any more if this fails.
        let _ = done.send(work.await);
    });
    result.recv().ok()
}

async fn client(kubeconfig: String) -> Result<Client, RealError> {
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // It is on this machine, whatever HTTPS_PROXY says.
    config.proxy_url = None;
    Client::try_from(config).map_err(|why| Box::new(why).into())
}

fn login(tokens: &[(User, String); 2], user: User) -> Login {
    let token = tokens.iter().find(|(owner, _)| *owner == user);
    token.map_or(Login::Nobody, |(_, token)| Login::Token(token.clone()))
}

fn stopped() -> io::Error {
    io::Error::other("its threads have stopped")
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> RealError {
    let what = what.into();
    move |why| RealError::System { what, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_named_with_its_log() {
        let binaries = Binaries {
            apiserver: "/bin/sleep".into(),
            etcd: "/bin/false".into(),
        };
        let Err(failure) = Real::start(&binaries) else {
            panic!("/bin/false is no etcd")
        };
        let text = failure.to_string();
        assert!(text.contains("it ended with exit status: 1"), "{text}");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let binaries = Binaries {
            apiserver: "/nowhere/apiserver".into(),
            etcd: "/nowhere/etcd".into(),
        };
        let Err(failure) = Real::start(&binaries) else {
            panic!("nothing is no etcd")
        };
        assert!(failure.to_string().contains("/nowhere/etcd"), "{failure}");
    }
}
