#!/usr/bin/env python3
"""Two real hosts that hold the same million assets and differ in ten: how long until they are equal, and at what cost.

  benches/million.py                          # some minutes, nearly all of them for the ingest; 8 GiB of disk
  benches/million.py --assets 100000 --lab DIR --can-sync PATH

The first host takes in all assets over the CAN API; the second begins with a copy of its store. Both are stopped, get five
new assets each on their own, and are started together. Printed: the start with all rows, from the connection to equal
sets, the bytes that took, memory, searches (first and again), and how long one more asset takes to arrive.
"""
import argparse, json, os, re, shutil, signal, socket, subprocess, tempfile, threading, time
from pathlib import Path

import peers

now = time.monotonic
API = peers.CanSync.API
BOUNDARY = peers.CanSync.BOUNDARY


class Host:
    def __init__(self, run, name, exe, secret, connect=""):
        self.run, self.name, self.exe, self.root = run, name, exe, run / name
        self.can, self.api = peers.port(), peers.port()
        (run / f"{name}.yaml").write_text(f"""{secret}
device_name: {name}
data_dir: {self.root / 'data'}
storage_root: {self.root / 'store'}
relay_url: off
mdns: false
bind_addr: 127.0.0.1:{peers.port(socket.SOCK_DGRAM)}
can_listen_addr: 127.0.0.1:{self.can}
listen_addr: 127.0.0.1:{self.api}
ticket_file: {run / f'{name}.ticket'}
{connect}
""")

    def start(self):
        log = open(self.run / f"{self.name}.log", "ab")
        self.process = subprocess.Popen([self.exe, "run", self.run / f"{self.name}.yaml"], stdout=log, stderr=log,
                                        cwd=self.run, env=dict(os.environ, HOME=str(self.run)))

    def status(self):
        token = (self.root / "data" / "api_token").read_text().strip()
        con = peers.Http(self.api, token)
        try:
            return json.loads(con.ask("GET", "/status")[1])["data"]
        finally:
            con.close()

    def up(self):
        while True:
            try:
                return self.status()
            except (OSError, json.JSONDecodeError):
                if self.process.poll() is not None:
                    raise SystemExit((self.run / f"{self.name}.log").read_text()[-2000:])
                time.sleep(0.005)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(120):
            raise SystemExit((self.run / f"{self.name}.log").read_text()[-2000:])

    def alone(self, work):
        self.start()
        self.up()
        work()
        self.stop()

    def ingest(self, con, n):
        start = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="asset-{n:07d}.txt"\r\n'
                 "Content-Type: text/plain\r\n\r\n").encode()
        content, end = b"content %d" % n, f"\r\n--{BOUNDARY}--\r\n".encode()
        code, answer = con.ask("POST", f"{API}/ingest", f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n",
                               [start, content, end], len(start) + len(content) + len(end))
        if code != 200:
            raise SystemExit(f"ingest of asset {n}: {code} {answer[:300]!r}")

    def fill(self, numbers):
        numbers, lock = iter(numbers), threading.Lock()

        def run():
            con = peers.Http(self.can)
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None:
                    return con.close()
                self.ingest(con, n)
        threads = [threading.Thread(target=run) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def memory(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) // 1024


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or peers.REPOSITORY / "target")
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--assets", type=int, default=1_000_000)
    ap.add_argument("--can-sync", type=Path, default=target / "release" / "can-sync")
    ap.add_argument("--lab", type=Path, default=Path(tempfile.gettempdir()) / "can-sync-bench")
    args = ap.parse_args()
    n, exe, run = args.assets, args.can_sync.resolve(), args.lab.resolve() / f"million-{os.getpid()}"
    run.mkdir(parents=True)
    hosts = []
    try:
        measure(n, exe, run, hosts)
    finally:
        for host in hosts:
            if host.process.poll() is None:
                host.process.kill()
                host.process.wait()
        shutil.rmtree(run)


def measure(n, exe, run, hosts):
    subprocess.run([exe, "init", run / "init.yaml"], check=True, capture_output=True, cwd=run,
                   env=dict(os.environ, HOME=str(run)))
    secret = re.search(r"^sync_passphrase:.*$", (run / "init.yaml").read_text(), re.M)[0]
    a = Host(run, "A", exe, secret)
    b = Host(run, "B", exe, secret, f"connect_ticket_file: {run / 'A.ticket'}")
    hosts += [a, b]
    a.start()
    a.up()
    began = now()
    a.fill(range(n))
    print(f"ingest of {n:,} assets: {now() - began:.0f} s; peak memory {a.memory()} MiB", flush=True)
    a.stop()
    began = now()
    a.start()
    a.up()
    print(f"start with them: {now() - began:.2f} s; peak memory {a.memory()} MiB", flush=True)
    a.stop()
    b.root.mkdir()
    subprocess.run(["cp", "-a", a.root / "store", b.root / "store"], check=True)
    (run / "A.ticket").unlink()
    b.alone(lambda: b.fill(range(n, n + 5)))
    a.alone(lambda: a.fill(range(n + 5, n + 10)))
    (run / "A.ticket").unlink()
    a.start()
    b.start()
    a.up()
    b.up()
    connected, end = None, now() + 300
    while True:
        at_a, at_b = a.status(), b.status()
        if connected is None and any(peer["connected"] for peer in at_b["peers"]):
            connected = now()
        one, two = at_a["libraries"][0], at_b["libraries"][0]
        if (one["in_sync"] and two["in_sync"] and one["fingerprint"] == two["fingerprint"]
                and one["count"] == two["count"] == n + 10):
            break
        if now() > end:
            raise SystemExit(f"not equal after 300 s: {one} {two}")
        time.sleep(0.005)
    peer = at_b["peers"][0]
    print(f"10 differences: equal {now() - connected:.3f} s after they were connected, "
          f"{peer['bytes_in'] + peer['bytes_out']:,} bytes; peak memory {a.memory()} and {b.memory()} MiB", flush=True)
    con = peers.Http(a.can)
    for path in ("/list?limit=50", f"/search?q=asset-{n // 2:07d}", "/search?q=asset", "/search?q=nothing-like-it"):
        took = []
        for _ in range(2):
            began = now()
            code, _ = con.ask("GET", API + path)
            took.append((now() - began) * 1000)
            if code != 200:
                raise SystemExit(f"{path}: {code}")
        print(f"{path}: {took[0]:.1f} ms, again {took[1]:.1f} ms", flush=True)
    began = now()
    a.ingest(con, n + 10)
    while b.status()["libraries"][0]["count"] != n + 11:
        time.sleep(0.002)
    print(f"one more: at the other {(now() - began) * 1000:.0f} ms after it was sent")
    a.stop()
    b.stop()


if __name__ == "__main__":
    main()
