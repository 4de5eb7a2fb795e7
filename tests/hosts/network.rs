//! Real hosts in networks that a test makes: bridges, routers that hide their hosts, loss, cuts, changed addresses.
//!
//! Each test runs itself again as root of namespaces of its own, so nothing of it touches the machine, and nothing leaves
//! it. Where that is not allowed, it says so and is skipped.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use super::host::Host;
use super::host::Place;
use super::host::equal;
use super::host::skip;
use super::host::within;
use super::members::pair_by_words;

/// Says to a test that it runs in a world of its own.
const WORLD: &str = "CAN_SYNC_TEST_WORLD";

/// Runs a test again in a world of its own, and returns whether this is it.
fn is_own_world(test: &str) -> bool {
    if std::env::var_os(WORLD).is_some() {
        return true;
    }
    let namespaces = ["--user", "--map-root-user", "--net", "--mount"];
    let try_out = "mount -t tmpfs tmpfs /run && ip netns add x && nft list tables";
    let tried = Command::new("unshare").args(namespaces).args(["sh", "-c", try_out]).output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        let why = tried.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        skip(&format!("this machine makes no network namespaces with nft: {why:?}"));
        return false;
    }
    let script = "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("network::{test}"))
        .env(WORLD, "own")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.starts_with("MEASURED")).for_each(|line| println!("{line}"));
    false
}

/// Runs commands of a shell that must succeed.
fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a bridge on which this test is `.254`.
fn bridge(name: &str, net: &str) {
    sh(&format!(
        "ip link add {name} type bridge mcast_snooping 0; ip addr add {net}.254/24 dev {name}; ip link set {name} up"
    ));
}

/// Puts a namespace on a bridge, as `net.number` on a device of this name; makes it if it is not there.
fn plug(namespace: &str, device: &str, bridge: &str, net: &str, number: u8) {
    sh(&format!(
        "ip netns list | grep -qw {namespace} || {{ ip netns add {namespace}; ip -n {namespace} link set lo up; }}
         ip link add {namespace}-{device} type veth peer name {device} netns {namespace}
         ip link set {namespace}-{device} master {bridge} up
         ip -n {namespace} addr add {net}.{number}/24 dev {device}
         ip -n {namespace} link set {device} up"
    ));
}

/// Adds a table of nft to a namespace; each chain with where it hooks in, and its rules.
fn table(namespace: &str, name: &str, chains: &[(&str, &[&str])]) {
    let mut text = format!("table inet {name} {{\n");
    for (number, (hook, rules)) in chains.iter().enumerate() {
        text.push_str(&format!("chain c{number} {{\ntype {hook}\n{}\n}}\n", rules.join("\n")));
    }
    sh(&format!("ip netns exec {namespace} nft -f - <<'END'\n{text}}}\nEND"));
}

const IN: &str = "filter hook input priority 0;";
const OUT: &str = "filter hook output priority 0;";

/// Hosts on one bridge, each in a namespace, which find each other by multicast DNS alone.
struct Lan {
    _dir: tempfile::TempDir,
    places: Vec<Place>,
}

impl Lan {
    const NET: &str = "10.77.0";

    fn new(count: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        bridge("lan", Self::NET);
        let mut places = Vec::new();
        for number in 1..=count {
            let namespace = format!("h{number}");
            plug(&namespace, "eth0", "lan", Self::NET, number);
            sh(&format!("ip -n {namespace} route add 224.0.0.0/4 dev eth0"));
            let address = Ipv4Addr::new(10, 77, 0, number);
            let place = Place::new(dir.path(), &namespace).in_namespace(&namespace, address);
            places.push(place.with("mdns", "true").with("device_name", &namespace));
        }
        Self { _dir: dir, places }
    }

    fn start(&self) -> Vec<Host> {
        self.places.iter().map(Place::start).collect()
    }
}

/// Waits until a host is connected to so many others.
async fn connected(host: &Host, count: usize) {
    let is = |status: &serde_json::Value| {
        status["peers"].as_array().unwrap().iter().filter(|peer| peer["connected"] == true).count() == count
    };
    host.status_is("so many are connected", is).await;
}

#[tokio::test]
async fn five_hosts_on_one_network_find_each_other_by_multicast_alone() {
    if !is_own_world("five_hosts_on_one_network_find_each_other_by_multicast_alone") {
        return;
    }
    let began = Instant::now();
    let lan = Lan::new(5);
    let hosts = lan.start();
    for (number, host) in hosts.iter().enumerate() {
        host.ingest("a.txt", format!("of {number}").into_bytes()).await;
    }
    for host in &hosts {
        connected(host, 4).await;
    }
    for other in &hosts[1..] {
        equal(&hosts[0], other, 5).await;
    }
    println!("MEASURED five hosts by multicast DNS alone: equal after {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test]
async fn a_network_that_falls_apart_is_noticed_and_heals() {
    if !is_own_world("a_network_that_falls_apart_is_noticed_and_heals") {
        return;
    }
    let lan = Lan::new(5);
    let hosts = lan.start();
    for host in &hosts {
        connected(host, 4).await;
    }
    // Two on one side, three on the other: what crosses is dropped.
    let away = |numbers: &[u8]| numbers.iter().map(|n| format!("10.77.0.{n}")).collect::<Vec<_>>().join(", ");
    for (side, other) in [([1, 2].as_slice(), [3, 4, 5].as_slice()), (&[3, 4, 5], &[1, 2])] {
        for number in side {
            let set = away(other);
            let (from, to) = (format!("ip saddr {{ {set} }} drop"), format!("ip daddr {{ {set} }} drop"));
            table(&format!("h{number}"), "cut", &[(IN, &[&from]), (OUT, &[&to])]);
        }
    }
    let began = Instant::now();
    for (number, host) in hosts.iter().enumerate() {
        connected(host, if number < 2 { 1 } else { 2 }).await;
    }
    println!("MEASURED peers that vanish: noticed by all after {:.1} s", began.elapsed().as_secs_f64());
    for (number, host) in hosts.iter().enumerate() {
        host.ingest("a.txt", format!("apart {number}").into_bytes()).await;
    }
    equal(&hosts[0], &hosts[1], 2).await;
    equal(&hosts[2], &hosts[4], 3).await;
    let began = Instant::now();
    (1..=5).for_each(|number| sh(&format!("ip netns exec h{number} nft delete table inet cut")));
    for other in &hosts[1..] {
        equal(&hosts[0], other, 5).await;
    }
    println!("MEASURED a partition that heals: equal after {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test]
async fn a_third_of_all_packets_may_be_lost() {
    if !is_own_world("a_third_of_all_packets_may_be_lost") {
        return;
    }
    let lan = Lan::new(2);
    let hosts = lan.start();
    connected(&hosts[0], 1).await;
    for number in 1..=2 {
        table(&format!("h{number}"), "loss", &[(IN, &["meta l4proto udp numgen random mod 100 < 30 drop"])]);
    }
    let began = Instant::now();
    hosts[0].ingest("large.bin", vec![7; 3_000_000]).await;
    hosts[1].ingest("small.txt", b"small".to_vec()).await;
    equal(&hosts[0], &hosts[1], 2).await;
    println!("MEASURED 3 MB with 30 % of packets lost both ways: {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test]
async fn a_cut_in_one_direction_is_noticed_by_both_and_heals() {
    if !is_own_world("a_cut_in_one_direction_is_noticed_by_both_and_heals") {
        return;
    }
    let lan = Lan::new(2);
    let hosts = lan.start();
    connected(&hosts[0], 1).await;
    table("h1", "cut", &[(OUT, &["ip daddr 10.77.0.2 meta l4proto udp drop"])]);
    let began = Instant::now();
    for host in &hosts {
        connected(host, 0).await;
    }
    println!("MEASURED a cut in one direction: noticed by both after {:.1} s", began.elapsed().as_secs_f64());
    hosts[0].ingest("a.txt", b"meanwhile".to_vec()).await;
    sh("ip netns exec h1 nft delete table inet cut");
    equal(&hosts[0], &hosts[1], 1).await;
}

#[tokio::test]
async fn a_host_whose_address_changes_goes_on_where_it_was() {
    if !is_own_world("a_host_whose_address_changes_goes_on_where_it_was") {
        return;
    }
    let lan = Lan::new(2);
    let hosts = lan.start();
    let began = Instant::now();
    connected(&hosts[0], 1).await;
    println!("MEASURED two hosts on a network find each other: {:.1} s", began.elapsed().as_secs_f64());
    // Slow enough that the address changes in the middle.
    lan.places[0].does(Some(&hosts[0]), &["peers", "limit", "h2", "--send", "4M"]);
    let hash = hosts[0].ingest("large.bin", (0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect()).await;
    hosts[1].status_is("the transfer has begun", |status| !status["transfers"].as_array().unwrap().is_empty()).await;
    // The faces of the host stay where they are; peers reach it elsewhere.
    sh("ip -n h2 addr add 10.77.0.102/24 dev eth0
        ip -n h2 route replace 10.77.0.0/24 dev eth0 src 10.77.0.102
        ip -n h2 route replace 224.0.0.0/4 dev eth0 src 10.77.0.102");
    let gone =
        [(IN, ["ip daddr 10.77.0.2 meta l4proto udp drop"]), (OUT, ["ip saddr 10.77.0.2 meta l4proto udp drop"])];
    table("h2", "moved", &gone.each_ref().map(|(hook, rules)| (*hook, rules.as_slice())));
    assert!(hosts[1].content(&hash).await.is_none(), "it had come before the address changed");
    let began = Instant::now();
    let came = async {
        while hosts[1].content(&hash).await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("the content", came).await;
    println!(
        "MEASURED an address that changes in mid-transfer: the rest came in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    equal(&hosts[0], &hosts[1], 1).await;
    println!("MEASURED both say that they are equal after {:.1} s", began.elapsed().as_secs_f64());
    let came = hosts[1].status().await["peers"][0]["bytes_in"].as_u64().unwrap();
    assert!((20_000_000..30_000_000).contains(&came), "{came} bytes came for 20,000,000: it began anew");
}

/// Two hosts, each behind a router that hides it, and a relay on the network between the routers.
#[tokio::test]
async fn two_hosts_behind_routers_that_hide_them_meet_over_the_relay() {
    if !is_own_world("two_hosts_behind_routers_that_hide_them_meet_over_the_relay") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    bridge("internet", "198.51.100");
    bridge("manage", "10.78.0");
    for number in 1..=2_u8 {
        let (host, router, home, net) =
            (format!("h{number}"), format!("r{number}"), format!("home{number}"), format!("192.168.{number}"));
        // The bridge at home has no address of this test: nothing leads there from outside.
        sh(&format!("ip link add {home} type bridge && ip link set {home} up"));
        plug(&router, "wan", "internet", "198.51.100", number);
        plug(&router, "lan", &home, &net, 1);
        plug(&host, "eth0", &home, &net, 2);
        plug(&host, "manage", "manage", "10.78.0", number);
        sh(&format!(
            "ip -n {host} route add default via {net}.1
             ip netns exec {router} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"
        ));
        table(&router, "hide", &[("nat hook postrouting priority srcnat;", &["oifname wan masquerade"])]);
        let forward = "filter hook forward priority 0; policy drop;";
        table(&router, "keep", &[(forward, &["iifname lan accept", "ct state established,related accept"])]);
        // The way by which this test talks to the host is none for its peers.
        table(
            &host,
            "manage",
            &[(IN, &["iifname manage meta l4proto udp drop"]), (OUT, &["oifname manage meta l4proto udp drop"])],
        );
    }
    let mut config = iroh_relay::server::ServerConfig::default();
    config.relay = Some(iroh_relay::server::RelayConfig::new((Ipv4Addr::new(198, 51, 100, 254), 0)));
    let relay = iroh_relay::server::Server::spawn(config).await.unwrap();
    let url = format!("http://{}", relay.http_addr().unwrap());
    let place = |number: u8| {
        let name = format!("h{number}");
        let place = Place::new(dir.path(), &name).in_namespace(&name, Ipv4Addr::new(10, 78, 0, number));
        place.with_relay(&url).with("mdns", "false").with("device_name", &name)
    };
    let first = place(1);
    let second = place(2).connecting_to(&first);
    let began = Instant::now();
    let (a, b) = (first.start(), second.start());
    a.ingest("a.txt", b"of a".to_vec()).await;
    b.ingest("b.bin", vec![5; 2_000_000]).await;
    equal(&a, &b, 2).await;
    let path = a.status().await["peers"][0]["path"].clone();
    println!("MEASURED two hosts behind two routers: equal after {:.1} s, path {path}", began.elapsed().as_secs_f64());
    relay.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_device_joins_on_the_local_network_with_the_words_alone() {
    if !is_own_world("a_device_joins_on_the_local_network_with_the_words_alone") {
        return;
    }
    let mut lan = Lan::new(2);
    let laptop_at = lan.places.pop().unwrap().without_phrase();
    let desk = lan.places[0].start();
    let hash = desk.ingest("a.txt", b"a".to_vec()).await;
    let began = Instant::now();
    let showing = lan.places[0].command(Some(&desk), &["--json", "pair"]);
    pair_by_words(showing, laptop_at.command(None, &["pair"]));
    println!("MEASURED two devices that pair on one network: {:.1} s", began.elapsed().as_secs_f64());
    let laptop = laptop_at.start();
    equal(&desk, &laptop, 1).await;
    assert!(laptop.content(&hash).await.is_some());
}
