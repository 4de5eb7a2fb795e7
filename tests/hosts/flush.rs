//! The flush that covers a content comes before its 200 is written: seen from outside, in the calls of a host.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::host::Place;
use super::host::skip;
use super::host::within;

/// What a traced host did, in order.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    /// It read a request to ingest.
    Asked,
    /// A flush of the log of the index returned.
    FlushedIndex,
    /// A flush of the file of a content, or of the whole file system, returned.
    FlushedContent,
    /// It wrote a 200.
    Answered,
}

fn read_trace(path: &Path) -> Vec<Did> {
    let text = std::fs::read_to_string(path).unwrap();
    // A call that others interrupt takes two lines, of which the first tells the file and the second that it returned.
    let mut begun = HashMap::new();
    let mut did = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(char::is_whitespace).unwrap_or_default();
        if call.contains("POST /api/v1/can/0/ingest") {
            did.push(Did::Asked);
        } else if call.contains("HTTP/1.1 200") {
            did.push(Did::Answered);
        } else if ["fsync", "fdatasync", "syncfs"].iter().any(|flush| call.contains(flush)) {
            let first = if call.contains("resumed>") { begun.remove(thread).unwrap_or_default() } else { call };
            if call.ends_with("<unfinished ...>") {
                begun.insert(thread, call);
            } else if call.ends_with("= 0") && first.contains(".can.db-wal>") {
                did.push(Did::FlushedIndex);
            } else if call.ends_with("= 0") && (first.contains("/.spool/") || first.contains("syncfs")) {
                did.push(Did::FlushedContent);
            }
        }
    }
    did
}

/// Tracing a process that was started by another is refused where `kernel.yama.ptrace_scope` is 1, as on many desktops.
fn can_attach() -> bool {
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let strace = Command::new("timeout")
        .args(["-s", "INT", "1", "strace", "-o", "/dev/null", "-p", &other.id().to_string()])
        .output();
    other.kill().unwrap();
    other.wait().unwrap();
    strace.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("attached"))
}

#[tokio::test]
async fn a_flush_returns_between_the_content_and_its_200() {
    if !can_attach() {
        return skip("strace cannot attach to a running process here");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = Place::new(dir.path(), "a");
    let host = at.start();
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "64",
            "-e",
            "trace=fsync,fdatasync,syncfs,read,recvfrom,recvmsg,write,writev,sendto,sendmsg",
        ])
        .args(["-o", &trace.display().to_string(), "-p", &host.pid().to_string()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let attached = async {
        while !std::fs::read_to_string(format!("/proc/{}/status", host.pid()))
            .unwrap()
            .contains(&format!("TracerPid:\t{}", strace.id()))
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("strace attaches", attached).await;
    let sizes = [0, 4096, 2_000_000];
    for size in sizes {
        host.ingest("traced", vec![5; size]).await;
    }
    let traced = async {
        while read_trace(&trace).iter().filter(|did| **did == Did::Answered).count() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within("the trace is written", traced).await;
    let pid = rustix::process::Pid::from_child(&strace);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    strace.wait().unwrap();
    let did = read_trace(&trace);
    let asked: Vec<usize> = (0..did.len()).filter(|at| did[*at] == Did::Asked).collect();
    assert_eq!(asked.len(), 3, "{did:?}");
    for (at, size) in asked.into_iter().zip(sizes) {
        let until = did[at..].iter().position(|did| *did == Did::Answered).unwrap();
        let meanwhile = &did[at..at + until];
        assert!(meanwhile.contains(&Did::FlushedIndex), "no flush of the index before an answer: {did:?}");
        // A small one lies in the index.
        assert!(size < 100_000 || meanwhile.contains(&Did::FlushedContent), "no flush of a content: {did:?}");
    }
}
