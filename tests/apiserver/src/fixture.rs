// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running server, and the test's hand in it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::access::{Access, Credentials, User};
use crate::call::Verb;
use crate::fault::Rule;
use crate::http::{Gate, Listening, listen};
use crate::journal::Request;
use crate::kubeconfig::{Login, kubeconfig};
use crate::object::{Key, ObjectError, Revision, key_of};
use crate::pki::{Authority, Pair, token};
use crate::resource::Resource;
use crate::shared::{Settings, Shared, lock};
use crate::streams::{Ending, Which};
use crate::tls::{TlsError, acceptor};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listening socket.
    #[error("API server fixture cannot listen on {address}: {why}: see which addresses are in use")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        why: io::Error,
    },
    /// No threads, or no folder for kubeconfigs.
    #[error("API server fixture cannot start: {0}: see whether the machine is out of threads or disk")]
    System(#[from] io::Error),
    /// No certificates.
    #[error("API server fixture cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The server. It stops when this is dropped.
pub struct Fixture {
    address: SocketAddr,
    shared: Arc<Shared>,
    authority: Authority,
    logins: Vec<(User, Login)>,
    gate: tokio::sync::mpsc::Sender<Gate>,
    folder: TempDir,
    runtime: Option<Runtime>,
}

impl Fixture {
    /// Starts a server on a free port of the loopback address.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let authority = Authority::new()?;
        let server = authority.server(&[address.ip()])?;
        let (credentials, logins) = issue(&authority)?;
        let shared = Arc::new(Shared::new(settings, credentials));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("apiserver")
            .enable_all()
            .build()?;
        let listening: Listening = {
            let _entered = runtime.enter();
            listen(address).map_err(|why| StartError::Listen { address, why })?
        };
        let address = listening.address;
        let (gate, orders) = tokio::sync::mpsc::channel(1);
        runtime.spawn(listening.serve(shared.clone(), acceptor(&server)?, orders));
        let folder = tempfile::Builder::new().prefix("shunt-apiserver-").tempdir()?;
        Ok(Self {
            address,
            shared,
            authority,
            logins,
            gate,
            folder,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig for this user by bearer token.
    pub fn token_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        self.kubeconfig_for(user, "token", |login| matches!(login, Login::Token(_)))
    }

    /// A kubeconfig for this user by client certificate.
    pub fn certificate_kubeconfig(&self, user: User) -> io::Result<PathBuf> {
        self.kubeconfig_for(user, "certificate", |login| {
            matches!(login, Login::Certificate(_))
        })
    }

    /// The text of a kubeconfig with any login at all: a wrong token, a foreign certificate.
    pub fn kubeconfig_text(&self, login: &Login) -> String {
        kubeconfig(self.address, &self.authority.certificate(), login)
    }

    /// Writes a kubeconfig of this text beside the others.
    pub fn write_kubeconfig(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        write_private(&path, text)?;
        Ok(path)
    }

    /// Has the user's token replaced: kubeconfigs with the old one are answered 401.
    pub fn change_token(&self, user: User, token: &str) {
        lock(&self.shared.credentials).set_token(user, token);
    }

    /// Narrows or widens what the agent may do.
    pub fn grant(&self, access: Access) {
        *lock(&self.shared.access) = access;
    }

    fn kubeconfig_for(&self, user: User, how: &str, wanted: fn(&Login) -> bool) -> io::Result<PathBuf> {
        let login = self
            .logins
            .iter()
            .find(|(owner, login)| *owner == user && wanted(login));
        let login = login.map_or(&Login::Nobody, |(_, login)| login);
        self.write_kubeconfig(
            &format!("{user:?}-{how}.kubeconfig").to_lowercase(),
            &self.kubeconfig_text(login),
        )
    }
}

/// Objects.
impl Fixture {
    /// Writes an object exactly as given, however odd; without a namespace it goes to `default`.
    pub fn put(&self, object: Value) -> Result<Revision, ObjectError> {
        let key = key_of(&object, "default")?;
        let now = now();
        self.shared
            .write(|store| store.put(key, object, &now))
            .map(|object| object.revision)
    }

    /// Writes many objects in one go; watches see them together.
    pub fn put_all(&self, objects: impl IntoIterator<Item = Value>) -> Result<Revision, ObjectError> {
        let now = now();
        self.shared.write(|store| {
            for object in objects {
                store.put(key_of(&object, "default")?, object, &now)?;
            }
            Ok(store.revision())
        })
    }

    /// Deletes an object; tells whether it was there.
    pub fn delete(&self, key: &Key) -> bool {
        self.shared.write(|store| store.remove(key)).is_some()
    }

    /// The object as it is.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.shared
            .read(|store| store.get(key).map(|object| object.value()))
    }

    /// All objects of a resource, in key order.
    pub fn all(&self, resource: Resource) -> Vec<Value> {
        self.shared.read(|store| {
            store
                .objects()
                .filter(|o| o.key.resource == resource)
                .map(|o| o.value())
                .collect()
        })
    }

    /// The revision of the last write.
    pub fn revision(&self) -> Revision {
        self.shared.read(|store| store.revision())
    }

    /// Forgets the past: whoever asks for an older revision gets 410.
    pub fn compact(&self) {
        self.shared.write(|store| store.compact());
    }
}

/// Failures.
impl Fixture {
    /// Adds a failure.
    pub fn fail(&self, rule: Rule) {
        lock(&self.shared.faults).add(rule);
    }

    /// Ends all failures given by `fail`.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Ends the open watches of a resource, or of all.
    pub fn end_watches(&self, resource: Option<Resource>, ending: Ending) {
        self.shared
            .streams
            .send_modify(|streams| streams.end(resource, ending));
    }

    /// Stalls watches: connected, and silent for good, or until `resume_watches`.
    pub fn stall_watches(&self, resource: Option<Resource>, which: Which) {
        self.shared
            .streams
            .send_modify(|streams| streams.stall(resource, which));
    }

    /// Lets stalled watches go on; they catch up.
    pub fn resume_watches(&self, resource: Option<Resource>) {
        self.shared
            .streams
            .send_modify(|streams| streams.resume(resource));
    }

    /// Sends a bookmark on every open watch that takes them.
    pub fn send_bookmarks(&self, resource: Option<Resource>) {
        self.shared
            .streams
            .send_modify(|streams| streams.bookmark(resource));
    }

    /// Closes all connections and refuses new ones, until `admit_connections`.
    pub fn refuse_connections(&self) {
        self.order(Gate::Refuse);
    }

    /// Takes connections again, on the same port.
    pub fn admit_connections(&self) {
        self.order(Gate::Admit);
    }

    /// Returns when the order has been carried out. The server has its own threads, so waiting here
    /// cannot keep it from that.
    fn order(&self, order: fn(mpsc::SyncSender<()>) -> Gate) {
        let (done, carried_out) = mpsc::sync_channel(1);
        let mut order = order(done);
        while let Err(tokio::sync::mpsc::error::TrySendError::Full(back)) = self.gate.try_send(order) {
            order = back;
            std::thread::yield_now();
        }
        // A closed channel means that the listener is gone, and with it every connection.
        carried_out.recv().unwrap_or_default();
    }
}

/// What clients did.
impl Fixture {
    /// How many requests of this kind were answered.
    pub fn count(&self, verb: Verb, resource: Resource) -> u64 {
        lock(&self.shared.journal).count(verb, resource)
    }

    /// How many watches of this resource are open.
    pub fn open_watches(&self, resource: Resource) -> u64 {
        lock(&self.shared.journal).open_watches(resource)
    }

    /// How many bookmarks were sent on watches of this resource.
    pub fn bookmarks(&self, resource: Resource) -> u64 {
        lock(&self.shared.journal).bookmarks(resource)
    }

    /// How many requests were answered with 401.
    pub fn unauthorized(&self) -> u64 {
        lock(&self.shared.journal).unauthorized()
    }

    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.journal).requests().cloned().collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // The ordinary drop of a runtime must not happen inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn issue(authority: &Authority) -> Result<(Credentials, Vec<(User, Login)>), rcgen::Error> {
    let (mut credentials, mut logins) = (Credentials::default(), Vec::new());
    for user in [User::Admin, User::Agent] {
        let token = token()?;
        credentials.set_token(user, &token);
        logins.push((user, Login::Token(token)));
        let pair: Pair = authority.client(user.name(), user.group())?;
        credentials.add_certificate(user, &pair.der);
        logins.push((user, Login::Certificate(pair)));
    }
    Ok((credentials, logins))
}

/// Time as the API writes it: whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Credentials are readable by their owner only.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}
