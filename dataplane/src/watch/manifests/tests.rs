// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in, events out, and all the way to the tables of a kernel in memory.

use std::fs;
use std::time::Duration;

use prometheus_client::registry::Registry;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch as value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::channel;
use super::*;
use crate::agent::{Reports, run as run_agent};
use crate::events::EventSender;
use crate::index::Settings;
use crate::index::testing::{NODE, node, service, slice};
use crate::index::{Event, Index};
use crate::model::{ObjectRef, Reason};
use crate::plan::testing::contents;
use crate::plan::{Capacity, KernelState, Maps, MapsError, MemoryMaps, Op};

fn parse(name: &str, text: &str) -> File {
    File::parse(name, text, &Parser::new(NODE))
}

fn keys(file: &File) -> Vec<String> {
    file.objects.keys().map(ToString::to_string).collect()
}

fn yaml_of(values: &[Value]) -> String {
    // JSON is YAML.
    values.iter().map(|value| format!("---\n{value}\n")).collect()
}

#[test]
fn a_file_holds_documents_and_lists_of_objects() {
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "items": [service("b", "10.96.0.2"), node("n", "z")] });
    let typed = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSliceList",
        "items": [{ "metadata": { "name": "s" }, "addressType": "IPv4", "endpoints": [] }],
    });
    let text = yaml_of(&[service("a", "10.96.0.1"), list, typed]);
    let file = parse("all.yaml", &text);
    let expected = [
        "Service default/a",
        "Service default/b",
        "EndpointSlice default/s",
        "Node n",
    ];
    assert_eq!(
        (keys(&file), file.reasons),
        (expected.map(str::to_owned).to_vec(), vec![])
    );
}

#[test]
fn plain_yaml_with_comments_and_end_marks_is_read() {
    let text = "# a comment\n---\n# only a comment\n--- # and another\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  clusterIP: 10.96.0.1\n  ports:\n  - port: 80\n...\n---\n";
    let file = parse("web.yaml", text);
    assert_eq!(
        (keys(&file), file.reasons),
        (vec!["Service default/web".to_owned()], vec![])
    );
}

#[test]
fn json_files_may_hold_several_documents() {
    let text = format!("{}\n{}", service("a", "10.96.0.1"), service("b", "10.96.0.2"));
    assert_eq!(
        keys(&parse("all.json", &text)),
        ["Service default/a", "Service default/b"]
    );
}

#[test]
fn a_bad_document_is_named_and_the_others_are_read() {
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: odd}\nspec: {ports: many}";
    let text = format!(
        "{}---\n{{ not yaml\n---\n{bad}\n---\nkind: Service\n---\njust text\n",
        yaml_of(&[service("a", "10.96.0.1"),])
    ) + &yaml_of(&[service("b", "10.96.0.2")]);
    let file = parse("mixed.yaml", &text);
    assert_eq!(keys(&file), ["Service default/a", "Service default/b"]);
    let reasons: Vec<String> = file.reasons.iter().map(Reason::to_string).collect();
    assert_eq!(reasons.len(), 4, "{reasons:#?}");
    assert!(
        reasons[0].starts_with("cannot read it: document 3: "),
        "{reasons:#?}"
    );
    assert!(
        reasons[1].starts_with("cannot read it: document 4: Service odd: "),
        "{reasons:#?}"
    );
    assert_eq!(reasons[2], "cannot read it: document 5: no apiVersion and kind");
}

#[test]
fn other_kinds_and_other_groups_are_for_others() {
    let others = [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } }),
        json!({ "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": { "name": "web" } }),
    ];
    assert_eq!(parse("app.yaml", &yaml_of(&others)), File::default());
}

/// What an index makes of a merged's events: Services by address, and refusals.
fn known(index: &Index) -> Vec<String> {
    index
        .refusals()
        .iter()
        .map(|(object, reason): (&ObjectRef, &Reason)| format!("{object}: {reason}"))
        .collect()
}

fn feed(index: &mut Index, events: Vec<Event>) {
    for event in events {
        index.apply(event);
    }
}

#[test]
fn of_one_object_in_two_files_the_first_files_counts_and_the_other_is_reported() {
    let (mut merged, mut index) = (Merged::default(), Index::default());
    let file = |cluster_ip| Some(parse("x.yaml", &yaml_of(&[service("web", cluster_ip)])));
    feed(&mut index, merged.replace("b.yaml".into(), file("10.96.0.2")));
    assert_eq!(known(&index), [""; 0]);
    feed(&mut index, merged.replace("a.yaml".into(), file("10.96.0.1")));
    assert_eq!(
        known(&index),
        ["manifest b.yaml: Service default/web is also defined in a.yaml, which is used"]
    );
    feed(&mut index, merged.replace("a.yaml".into(), None));
    assert_eq!(known(&index), [""; 0]);
    let name = crate::model::ServiceName::new("default", "web");
    let addresses = |index: &mut Index| -> Vec<String> {
        let ports = index.compile(&name).ports.into_values();
        ports
            .flat_map(|port| port.frontends.into_keys())
            .map(|key| key.addr.to_string())
            .collect()
    };
    assert_eq!(addresses(&mut index), ["10.96.0.2"]);
    feed(&mut index, merged.replace("b.yaml".into(), None));
    assert_eq!(addresses(&mut index), [""; 0]);
}

fn a_file() -> impl Strategy<Value = Option<File>> {
    let object = prop_oneof![
        (0..3usize, 0..2usize)
            .prop_map(|(name, ip)| service(["a", "b", "c"][name], ["10.96.0.1", "10.96.0.2"][ip])),
        (0..2usize, 0..3usize).prop_map(|(name, owner)| slice(
            ["s", "t"][name],
            ["a", "b", "c"][owner],
            &["10.0.0.1"]
        )),
    ];
    prop::option::weighted(0.8, vec(object, 0..4))
        .prop_map(|objects| Some(parse("x.yaml", &yaml_of(&objects?))))
}

proptest! {
    #[test]
    fn any_history_of_files_leads_to_what_the_last_files_say(
        history in vec((prop::sample::select(vec!["1.yaml", "2.yaml", "3.yaml"]), a_file()), 0..12),
    ) {
        let (mut merged, mut index) = (Merged::default(), Index::default());
        let mut last = BTreeMap::new();
        for (name, file) in history {
            feed(&mut index, merged.replace(name.to_owned(), file.clone()));
            last.insert(name.to_owned(), file);
        }
        let (mut fresh_merged, mut fresh) = (Merged::default(), Index::default());
        for (name, file) in last {
            drop(fresh_merged.replace(name, file));
        }
        feed(&mut fresh, fresh_merged.everything());
        prop_assert_eq!(known(&index), known(&fresh));
        for name in ["a", "b", "c"] {
            let name = crate::model::ServiceName::new("default", name);
            prop_assert_eq!(index.compile(&name), fresh.compile(&name));
        }
    }
}

/// Publishes what it holds after every write.
struct PublishingMaps {
    memory: MemoryMaps,
    state: value::Sender<KernelState>,
}

impl Maps for PublishingMaps {
    fn capacity(&self) -> Capacity {
        self.memory.capacity()
    }

    fn load(&self) -> Result<KernelState, MapsError> {
        self.memory.load()
    }

    fn apply(&mut self, op: &Op) -> Result<(), MapsError> {
        self.memory.apply(op)?;
        self.state.send_replace(self.memory.state.clone());
        Ok(())
    }
}

/// A directory, the agent that follows it, and the kernel it writes to.
struct Bench {
    directory: TempDir,
    kernel: value::Receiver<KernelState>,
    tasks: Vec<JoinHandle<()>>,
}

impl Bench {
    fn start(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Self {
            directory,
            kernel: value::channel(KernelState::default()).1,
            tasks: Vec::new(),
        };
        files.iter().for_each(|(name, text)| bench.write(name, text));
        bench.follow()
    }

    fn follow(mut self) -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let (sender, receiver) = channel();
        let (state, kernel) = value::channel(KernelState::default());
        let maps = PublishingMaps {
            memory: MemoryMaps::default(),
            state,
        };
        let reports = Reports::new(metrics.clone(), EventSender::default());
        let addresses = sender.clone();
        let agent = run_agent(
            receiver,
            maps,
            Settings::default(),
            reports,
            std::future::pending(),
        );
        let source = run(
            self.directory.path().to_owned(),
            Parser::new(NODE),
            sender,
            metrics,
        );
        self.kernel = kernel;
        self.tasks.push(tokio::spawn(async {
            agent.await;
        }));
        self.tasks.push(tokio::spawn(source));
        self.tasks.push(tokio::spawn(async move {
            send(&addresses, Batch::now(vec![Event::NodeAddresses([].into())]))
                .await
                .unwrap();
        }));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Waits until the kernel has exactly these frontends, `ADDRESS=BACKENDS`.
    async fn expect(&mut self, wanted: &str) {
        let served = |state: &KernelState| -> String {
            let frontends = contents(state).frontends;
            let each = frontends.iter().map(|(key, it)| {
                let backends = it.internal.as_ref().map_or(0, |members| members.len());
                format!("{}={backends}", key.addr)
            });
            each.collect::<Vec<_>>().join(" ")
        };
        // The state in between two writes is not what is waited for, if the writes go on.
        let settled = async {
            loop {
                let _ = self
                    .kernel
                    .wait_for(|state| served(state) == wanted)
                    .await
                    .unwrap();
                let more = timeout(Duration::from_millis(30), self.kernel.changed()).await;
                if more.is_err() && served(&self.kernel.borrow()) == wanted {
                    return;
                }
            }
        };
        if timeout(Duration::from_secs(10), settled).await.is_err() {
            panic!(
                "waited for {wanted:?}, the kernel has {:?}",
                served(&self.kernel.borrow())
            );
        }
    }

    /// No frontend was away for a moment since the last call: `seen` collects all states there were.
    async fn never_without(&mut self, address: &str, during: impl Future<Output = ()>) {
        let address: std::net::IpAddr = address.parse().unwrap();
        let mut kernel = self.kernel.clone();
        let watcher = tokio::spawn(async move {
            while kernel.changed().await.is_ok() {
                let there = kernel
                    .borrow_and_update()
                    .frontends
                    .keys()
                    .any(|key| key.addr == address);
                assert!(there, "{address} was away");
            }
        });
        during.await;
        sleep(Duration::from_millis(300)).await;
        assert!(!watcher.is_finished());
        watcher.abort();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn web(addresses: &[&str]) -> String {
    yaml_of(&[service("web", "10.96.0.1"), slice("web-1", "web", addresses)])
}

#[tokio::test]
async fn files_written_changed_and_deleted_reach_the_kernel() {
    let mut bench = Bench::start(&[("web.yaml", &web(&["10.0.0.1"]))]);
    bench.expect("10.96.0.1=1").await;
    bench.write("web.yaml", &web(&["10.0.0.1", "10.0.0.2"]));
    bench.expect("10.96.0.1=2").await;
    bench.write("other.json", &service("other", "10.96.0.2").to_string());
    bench.expect("10.96.0.1=2 10.96.0.2=0").await;
    fs::remove_file(bench.path("web.yaml")).unwrap();
    bench.expect("10.96.0.2=0").await;
}

#[tokio::test]
async fn an_empty_directory_is_a_complete_list() {
    let mut bench = Bench::start(&[]);
    bench.expect("").await;
    bench.write("web.yaml", &web(&[]));
    bench.expect("10.96.0.1=0").await;
}

#[tokio::test]
async fn a_file_renamed_into_place_counts_and_its_temporary_name_does_not() {
    let mut bench = Bench::start(&[("web.yaml", &web(&["10.0.0.1"]))]);
    bench.expect("10.96.0.1=1").await;
    bench.write(".web.yaml.swp", &web(&[]));
    bench.write("web.yaml.tmp", &web(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    fs::rename(bench.path("web.yaml.tmp"), bench.path("web.yaml")).unwrap();
    bench.expect("10.96.0.1=3").await;
}

#[tokio::test]
async fn an_editor_that_moves_the_old_file_away_takes_nothing_down() {
    let mut bench = Bench::start(&[("web.yaml", &web(&["10.0.0.1"]))]);
    bench.expect("10.96.0.1=1").await;
    let (path, backup) = (bench.path("web.yaml"), bench.path("web.yaml~"));
    let save = async {
        fs::rename(&path, &backup).unwrap();
        sleep(Duration::from_millis(20)).await;
        fs::write(&path, web(&["10.0.0.1", "10.0.0.2"])).unwrap();
        sleep(Duration::from_millis(20)).await;
        fs::remove_file(&backup).unwrap();
    };
    bench.never_without("10.96.0.1", save).await;
    bench.expect("10.96.0.1=2").await;
}

#[tokio::test]
async fn links_into_a_swapped_directory_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, addresses) in [("..1", &["10.0.0.1"][..]), ("..2", &["10.0.0.1", "10.0.0.2"])] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("web.yaml"), web(addresses)).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/web.yaml", at("web.yaml")).unwrap();
    let bench = Bench {
        directory,
        kernel: value::channel(KernelState::default()).1,
        tasks: Vec::new(),
    };
    let mut bench = bench.follow();
    bench.expect("10.96.0.1=1").await;
    std::os::unix::fs::symlink("..2", bench.path("..data_tmp")).unwrap();
    fs::rename(bench.path("..data_tmp"), bench.path("..data")).unwrap();
    bench.expect("10.96.0.1=2").await;
}

#[tokio::test]
async fn a_directory_that_goes_away_leaves_the_kernel_as_it_is_until_it_is_back() {
    let mut bench = Bench::start(&[("web.yaml", &web(&["10.0.0.1"]))]);
    bench.expect("10.96.0.1=1").await;
    fs::remove_dir_all(bench.directory.path()).unwrap();
    sleep(Duration::from_millis(300)).await;
    bench.expect("10.96.0.1=1").await;
    fs::create_dir(bench.directory.path()).unwrap();
    bench.write("web.yaml", &web(&["10.0.0.1", "10.0.0.2"]));
    bench.expect("10.96.0.1=2").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_any_more_is_refused_and_the_rest_goes_on() {
    let mut bench = Bench::start(&[
        ("a.yaml", &web(&["10.0.0.1"])),
        ("b.yaml", &yaml_of(&[service("b", "10.96.0.2")])),
    ]);
    bench.expect("10.96.0.1=1 10.96.0.2=0").await;
    bench.write("b.yaml", "{ not yaml");
    bench.expect("10.96.0.1=1").await;
    bench.write("b.yaml", &yaml_of(&[service("b", "10.96.0.3")]));
    bench.expect("10.96.0.1=1 10.96.0.3=0").await;
}
