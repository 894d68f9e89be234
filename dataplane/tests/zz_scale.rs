use std::collections::BTreeMap;
use std::time::Instant;
use dataplane::compile::Limits;
use dataplane::index::door::{Door, name_of};
use dataplane::index::{Change, Event, Index, Seen};
use dataplane::model::*;
use dataplane::plan::*;
fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}
fn peak() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}
fn slice(n: usize, eps: usize, shift: usize) -> (NamespacedName, Seen<Slice>) {
    let eps: Vec<_> = (0..eps).map(|e| { let x = n * 10 + e + shift; serde_json::json!({"addresses":[format!("10.{}.{}.{}", x>>16&255, x>>8&255, x&255)],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":format!("node-{}",e)})}).collect();
    let o: k8s_openapi::api::discovery::v1::EndpointSlice = serde_json::from_value(serde_json::json!({"metadata":{"name":format!("svc-{n}-abcde"),"namespace":format!("ns-{}",n%100),"labels":{"kubernetes.io/service-name":format!("svc-{n}")}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],"endpoints":eps})).unwrap();
    let d = Door::new("node-1");
    (name_of(&o.metadata, true), d.slice(&o))
}
#[test]
fn scale() {
    let n: usize = std::env::var("N").ok().and_then(|v| v.parse().ok()).unwrap_or(10_000);
    let d = Door::new("node-1");
    let r0 = rss();
    let t = Instant::now();
    let mut services = BTreeMap::new();
    let mut slices = BTreeMap::new();
    for i in 0..n {
        let ip = format!("172.{}.{}.{}", 16 + (i>>16), i>>8&255, i&255);
        let o: k8s_openapi::api::core::v1::Service = serde_json::from_value(serde_json::json!({"metadata":{"name":format!("svc-{i}"),"namespace":format!("ns-{}",i%100)},"spec":{"clusterIP":ip,"clusterIPs":[ip],"ports":[{"name":"http","port":80,"protocol":"TCP"}]}})).unwrap();
        services.insert(name_of(&o.metadata, true), d.service(&o));
        let (k,v) = slice(i, 10, 0);
        slices.insert(k, v);
    }
    println!("door {:?} rss+{}", t.elapsed(), rss()-r0);
    let t = Instant::now();
    let mut index = Index::new(Limits::default());
    index.apply(Event::Services(Change::Reset(services)));
    index.apply(Event::Slices(Change::Reset(slices)));
    println!("index {:?} rss+{}", t.elapsed(), rss()-r0);
    let mut maps = MemoryMaps::default();
    let mut planner = Planner::adopt(maps.load().unwrap(), maps.capacity());
    let t = Instant::now();
    let wanted: BTreeMap<_,_> = index.take_dirty().into_iter().map(|s| (s.clone(), index.compile(&s))).collect();
    println!("compile {:?} rss+{}", t.elapsed(), rss()-r0);
    let t = Instant::now();
    let plan = planner.plan_everything(&wanted);
    println!("plan {:?} ops {} rss+{}", t.elapsed(), plan.ops.len(), rss()-r0);
    drop(wanted);
    let t = Instant::now();
    for op in &plan.ops { assert!(planner.admits(op)); planner.applied(op); }
    println!("mirror {:?} rss+{}", t.elapsed(), rss()-r0);
    for op in &plan.ops { maps.apply(op).unwrap(); }
    drop(plan);
    println!("rss+{} peak {}", rss()-r0, peak());
    // restart
    let t = Instant::now();
    let mut p2 = Planner::adopt(maps.load().unwrap(), maps.capacity());
    println!("adopt {:?}", t.elapsed());
    index.mark_all_dirty();
    let t = Instant::now();
    let wanted: BTreeMap<_,_> = index.take_dirty().into_iter().map(|s| (s.clone(), index.compile(&s))).collect();
    let plan = p2.plan_everything(&wanted);
    println!("restart compile+plan {:?} ops {}", t.elapsed(), plan.ops.len());
    let t = Instant::now();
    let mut count = 0;
    for i in 0..1000 {
        let (k,v) = slice(i*7%n, 10, 1 + i % 3);
        index.apply(Event::Slices(Change::Apply(k,v)));
        let wanted: BTreeMap<_,_> = index.take_dirty().into_iter().map(|s| (s.clone(), index.compile(&s))).collect();
        let plan = p2.plan(&wanted);
        count += plan.ops.len();
        for op in &plan.ops { assert!(p2.admits(op)); p2.applied(op); }
    }
    println!("1000 slice updates {:?} ops {count}", t.elapsed());
}
