#!/usr/bin/env python3
"""can-sync beside what a user would pick instead: the same work, on the same machine, in the same run.

  benches/peers.py                            # everything, one repetition; prints the summary at the end
  benches/peers.py --reps 3 --nice -10 --out rows.jsonl
  benches/peers.py --workload W3,W7 --peer can-sync --peer rsync
  benches/peers.py --summary rows.jsonl ...   # medians as Markdown tables
  benches/peers.py --list                     # what is installed

Workloads (seeded, incompressible bytes, cached under LAB/data):
  W1   102 assets, both directions at once: each side holds 50 x 64 KiB + 1 x 32 MiB
  W2   1 asset x 1 GiB                W3  10,000 assets x 4 KiB (100 folders)
  W5   live latency, after W1: 10 KiB written at A until readable at B, 20 times, random gaps
  W7   restart, after W3: 10 differences made while the sides are down, both started, until both are equal
A follow-up workload pulls in its base workload by itself.

README.md beside this file says what the clock covers, and what to mind when reading the figures.
"""
import argparse, functools, hashlib, http.client, json, os, queue, random, re, shutil, signal, socket
import statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SEED = 20261120
BASE = {"W5": "W1", "W7": "W3"}
REPOSITORY = Path(__file__).resolve().parent.parent
now = time.monotonic


class Timeout(Exception):
    pass


# ---------------------------------------------------------------- data sets
def spec(w, scale):
    """list of (relative path, size, side that holds it at first)"""
    of = lambda n: max(1, n // scale)
    if w == "W1":
        out = []
        for side in "AB":
            out += [(f"from{side}/a{i:03d}.bin", 64 * KIB, side) for i in range(50)]
            out += [(f"from{side}/big.bin", of(32 * MIB), side)]
        return out
    if w == "W2":
        return [("tree/big.bin", of(GIB), "A")]
    if w == "W3":
        return [(f"tree/d{i // 100:03d}/f{i:05d}", 4 * KIB, "A") for i in range(of(10_000))]
    raise SystemExit(f"no data set for {w}")


def dataset(lab, w, scale):
    root = lab / "data" / (w if scale == 1 else f"{w}-{scale}")
    man = root / "manifest.json"
    if man.exists():
        return root, json.loads(man.read_text())
    shutil.rmtree(root, ignore_errors=True)
    rng, manifest = random.Random(f"{SEED}-{w}"), {}
    for rel, size, side in spec(w, scale):
        p = root / side / rel
        p.parent.mkdir(parents=True, exist_ok=True)
        h, left = hashlib.sha256(), size
        with open(p, "wb") as f:
            while left:
                b = rng.randbytes(min(left, 4 * MIB))
                f.write(b)
                h.update(b)
                left -= len(b)
        manifest[rel] = [size, h.hexdigest(), side]
    man.write_text(json.dumps(manifest))
    return root, manifest


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while b := f.read(4 * MIB):
            h.update(b)
    return h.hexdigest()


def verify(root, want):
    """want: rel -> (size, sha). Returns list of problems (at most 5)."""
    bad = []
    for rel, (size, dig) in want.items():
        p = root / rel
        try:
            if p.stat().st_size != size or sha(p) != dig:
                bad.append("differs: " + rel)
        except OSError:
            bad.append("missing: " + rel)
        if len(bad) >= 5:
            break
    return bad


# ---------------------------------------------------------------- accounting
class Group:
    """Processes of one side. cgroup v1 cpuacct or v2 when it can be had, /proc otherwise."""

    def __init__(self, name):
        self.dir, self.v2 = None, False
        for base, v2 in (("/sys/fs/cgroup/cpuacct", False), ("/sys/fs/cgroup", True)):
            if v2 and not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
                continue
            d = Path(base) / f"can-sync-bench-{os.getpid()}-{name}"
            try:
                d.mkdir()
                self.dir, self.v2 = d, v2
                break
            except OSError:
                continue
        self.roots, self.seen, self.peak, self.peak_one = set(), {}, 0, 0

    def join(self):  # in the child
        if self.dir:
            (self.dir / "cgroup.procs").write_text(str(os.getpid()))
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            # Where Linux schedules by session, niceness counts inside one only, and the session has its own.
            if nice:
                Path("/proc/self/autogroup").write_text(str(nice))
        except OSError:
            pass

    def pids(self):
        if self.dir:
            try:
                return [int(x) for x in (self.dir / "cgroup.procs").read_text().split()]
            except OSError:
                return []
        out, todo = [], list(self.roots)
        while todo:
            p = todo.pop()
            out.append(p)
            try:
                for t in os.listdir(f"/proc/{p}/task"):
                    todo += [int(x) for x in Path(f"/proc/{p}/task/{t}/children").read_text().split()]
            except OSError:
                pass
        return out

    def sample(self):
        tot = 0
        for p in self.pids():
            try:
                with open(f"/proc/{p}/status") as f:
                    m = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+)", f.read(), re.M))
                if not self.dir:
                    s = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
                    self.seen[p] = (int(s[11]) + int(s[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                continue
            tot += int(m.get("VmRSS", 0))
            self.peak_one = max(self.peak_one, int(m.get("VmHWM", 0)))
        self.peak = max(self.peak, tot)
        return tot

    def cpu(self):
        if self.dir and self.v2:
            return int(re.search(r"usage_usec (\d+)", (self.dir / "cpu.stat").read_text())[1]) / 1e6
        if self.dir:
            return int((self.dir / "cpuacct.usage").read_text()) / 1e9
        self.sample()
        return sum(self.seen.values())

    def close(self):
        if self.dir:
            for _ in range(20):
                try:
                    self.dir.rmdir()
                    return
                except OSError:
                    time.sleep(0.1)


def lo_bytes():
    if os.environ.get("PEERS_NETNS") != "1":
        return None
    for line in open("/proc/net/dev"):
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[8])
    return None


def psi():
    try:
        return int(re.search(r"some .*total=(\d+)", open("/proc/pressure/cpu").read())[1]) / 1e6
    except (OSError, TypeError):
        return None


def calib():
    """seconds one core needs for a fixed job right now: tells how busy the machine is"""
    b, t = bytes(MIB), now()
    for _ in range(64):
        hashlib.sha256(b).digest()
    return round(now() - t, 3)


class Meter:
    def __init__(self, groups):
        self.g, self.stop_ev = groups, threading.Event()
        self.th = threading.Thread(target=self._loop, daemon=True)
        self.th.start()

    def _loop(self):
        while not self.stop_ev.wait(0.1):
            for g in self.g.values():
                g.sample()

    def begin(self):
        for g in self.g.values():
            g.peak = g.peak_one = 0
        self.cal = calib()
        self.c0 = {k: g.cpu() for k, g in self.g.items()}
        self.b0, self.p0, self.t0 = lo_bytes(), psi(), now()
        return self.t0

    def end(self, t=None):
        t = now() if t is None else t
        for g in self.g.values():
            g.sample()
        cpu = {k: g.cpu() - self.c0[k] for k, g in self.g.items()}
        b1, p1 = lo_bytes(), psi()
        wall = now() - self.t0
        return {
            "seconds": round(t - self.t0, 3),
            "cpu_s": round(sum(cpu.values()), 3),
            "cpu_s_A": round(cpu["A"], 3), "cpu_s_B": round(cpu["B"], 3),
            "rss_A_MiB": round(max(self.g["A"].peak, self.g["A"].peak_one) / 1024, 1),
            "rss_B_MiB": round(max(self.g["B"].peak, self.g["B"].peak_one) / 1024, 1),
            "wire_bytes": None if b1 is None else b1 - self.b0,
            "calib_s": self.cal, "load1": round(os.getloadavg()[0], 2),
            "cpu_wait_share": None if p1 is None else round((p1 - self.p0) / max(wall, 1e-3), 2),
        }

    def close(self):
        self.stop_ev.set()
        self.th.join()


# ---------------------------------------------------------------- peers
def port(kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    s.bind(("127.0.0.1", 0))
    p = s.getsockname()[1]
    s.close()
    return p


class Peer:
    name, note, install = "", "", ""
    live = False      # notices changes by itself (W5)
    cold = False      # True: starting the processes belongs to the timed part
    two_way = False   # reconciles both directions: its 10 differences of W7 lie on both sides
    durable = "no fsync"

    def __init__(self, run, groups, opts, args, workload):
        self.workload = workload
        self.run, self.g, self.opts, self.args = run, groups, opts, args
        self.A, self.B = run / "A", run / "B"
        self.root = {"A": self.A, "B": self.B}
        self.procs, self.deadline, self.marks, self.extra, self.nlog = [], 0, {}, {}, 0

    # -- process helpers
    def spawn(self, side, argv, env=None, cwd=None):
        self.nlog += 1
        log = open(self.run / f"log-{self.nlog:02d}-{side}.txt", "wb")
        e = dict(os.environ, HOME=str(self.run / "home"), **(env or {}))
        g = self.g[side]
        p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env=e, cwd=cwd or self.run, preexec_fn=g.join, start_new_session=True)
        g.roots.add(p.pid)
        self.procs.append(p)
        return p

    def left(self):
        s = self.deadline - now()
        if s <= 0:
            raise Timeout()
        return s

    def wait(self, *ps):
        for p in ps:
            try:
                rc = p.wait(timeout=self.left())
            except subprocess.TimeoutExpired:
                raise Timeout()
            if rc:
                raise RuntimeError(f"{p.args[0]} exit {rc}: {self.tail()}")

    def tail(self):
        out = ""
        for f in sorted(self.run.glob("log-*.txt"))[-4:]:
            out += f"[{f.name}] " + f.read_bytes()[-300:].decode("utf8", "replace") + " "
        return out

    def listening(self, prt):
        while True:
            try:
                socket.create_connection(("127.0.0.1", prt), 1).close()
                return
            except OSError:
                self.left()
                time.sleep(0.02)

    def kill_all(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            alive = [p for p in self.procs if p.poll() is None]
            for p in alive:
                try:
                    os.killpg(p.pid, sig)   # its own session, started by us
                except OSError:
                    pass
            end = now() + 15
            for p in alive:
                try:
                    p.wait(timeout=max(0.1, end - now()))
                except subprocess.TimeoutExpired:
                    pass
        self.procs = []

    # -- what a peer says for itself
    def prepare(self, units, want):
        """before the clock"""

    def start(self): ...

    def transfer(self, units, want):
        """the work; returns when it ended, None for now"""
        raise NotImplementedError

    def stop(self):
        self.kill_all()

    def check(self, side, want):
        """every byte, outside the clock"""
        return verify(self.root[side], want)

    def live_write(self, name, content):
        """writes at A; returns what tells whether B has it"""
        (self.A / name).write_bytes(content)
        at_b = self.B / name

        def there():
            try:
                return at_b.stat().st_size == len(content) and at_b.read_bytes() == content
            except OSError:
                return False
        return there

    def differ(self, rng, want):
        """with both sides down, makes the 10 differences of W7; returns what is new"""
        time.sleep(1.1)
        old = rng.sample(sorted(r for r in want if r.startswith("tree/d")), 5)
        out = {r: rewrite(self.A / r, rng, want[r][0]) for r in old}
        where = self.B if self.two_way else self.A
        out.update({f"tree/new/n{i}": rewrite(where / f"tree/new/n{i}", rng, 4 * KIB) for i in range(5)})
        return out

    def reconcile(self, units, want, diffs):
        self.start()
        return self.transfer(units, want)

    def own_bytes(self):
        """bytes on the wire up to now that are the harness's own questions"""
        return 0

    @classmethod
    def version(cls, args): return None


def rewrite(p, rng, size):
    b = rng.randbytes(size)
    p.parent.mkdir(parents=True, exist_ok=True)
    t = p.parent / (".tmp-" + p.name)
    t.write_bytes(b)
    os.replace(t, p)
    return [size, hashlib.sha256(b).hexdigest()]


@functools.lru_cache(None)
def _ver(argv, rx):
    try:
        o = subprocess.run(argv, capture_output=True, text=True, timeout=20)
        return re.search(rx, o.stdout + o.stderr)[1]
    except Exception:
        return None


def ver(argv, rx=r"(\d+\.\d[\w.~+-]*)"):
    return _ver(tuple(str(a) for a in argv), rx)


# -- can-sync
class Http:
    """One kept-alive connection; all together count what they move, so that it can be taken off the wire figure."""
    moved = packets = 0

    def __init__(self, prt, token=None):
        self.port, self.sock, self.buf = prt, None, b""
        self.auth = f"Authorization: Bearer {token}\r\n" if token else ""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.buf = None, b""

    def _more(self):
        b = self.sock.recv(MIB)
        if not b:
            raise ConnectionError("closed by the host")
        Http.moved += len(b)
        Http.packets += 1 + len(b) // 65_000
        return b

    def ask(self, method, path, head="", body=(), length=0, into=None):
        """Returns status and body. `body` is a sequence of byte strings, sent one by one. `into` is given a long body
        piece by piece in place of returning it."""
        fresh = self.sock is None
        try:
            return self._ask(method, path, head, body, length, into)
        except (ConnectionError, BrokenPipeError):
            self.close()
            if fresh or (body and not isinstance(body, (list, tuple))):
                raise
            return self._ask(method, path, head, body, length, into)

    def _ask(self, method, path, head, body, length, into):
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port), 120)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self.auth}{head}"
        if method == "POST":
            text += f"Content-Length: {length}\r\n"
        first = (text + "\r\n").encode()
        if isinstance(body, (list, tuple)) and length <= MIB:
            self.sock.sendall(b"".join((first, *body)))
        else:
            self.sock.sendall(first)
            for piece in body:
                self.sock.sendall(piece)
        Http.moved += len(first) + length
        Http.packets += 1 + length // 65_000
        while b"\r\n\r\n" not in self.buf:
            self.buf += self._more()
        top, _, self.buf = self.buf.partition(b"\r\n\r\n")
        status = int(top[9:12])
        n = re.search(rb"(?i)\r\ncontent-length: *(\d+)", top)
        if n is None:
            raise RuntimeError(f"an answer without length: {top[:200]!r}")
        left, parts = int(n[1]), []
        while left:
            if not self.buf:
                self.buf = self._more()
            piece, self.buf = self.buf[:left], self.buf[left:]
            left -= len(piece)
            into(piece) if into else parts.append(piece)
        if re.search(rb"(?i)\r\nconnection: *close", top):
            self.close()
        return status, b"".join(parts)


class CanSync(Peer):
    """opts: verbose (0 to 3) for the hosts' logs, which lie in the run's folder (--keep)"""
    name, live, two_way = "can-sync", True, True
    note = "two hosts with embedded stores; TLS 1.3 in QUIC, SHA-256; ingest before the clock, start of B inside it"
    install = "cargo build --release   (or --can-sync PATH)"
    durable = "every asset durable"
    API = "/api/v1/can/0"
    BOUNDARY = "f3b1c7d5a9e84260bench"

    def prepare(self, units, want):
        self.exe, self.p, self.can, self.host, self.ids = self.args.can_sync, {}, {}, {}, {}
        init = self.run / "init.yaml"
        subprocess.run([self.exe, "init", init], check=True, capture_output=True, cwd=self.run,
                       env=dict(os.environ, HOME=str(self.run / "home")))
        secret = re.search(r"^sync_passphrase:.*$", init.read_text(), re.M)[0]
        self.ports = {s: (port(), port(), port(socket.SOCK_DGRAM)) for s in "AB"}
        for s in "AB":
            can, host, quic = self.ports[s]
            ticket = f"ticket_file: {self.run / 'A.ticket'}" if s == "A" else \
                     f"connect_ticket_file: {self.run / 'for-B.ticket'}"
            (self.run / f"{s}.yaml").write_text(f"""{secret}
device_name: {s}
data_dir: {self.run / s / 'data'}
storage_root: {self.run / s / 'store'}
relay_url: off
bind_addr: 127.0.0.1:{quic}
can_listen_addr: 127.0.0.1:{can}
listen_addr: 127.0.0.1:{host}
{ticket}
""")
            shutil.rmtree(self.root[s])      # the sources stay where they are; a host makes its own folders
            self.root[s].mkdir()
        self.both = any(s == "B" for s, _ in units)
        self.bring_up("A")
        if self.both:
            self.bring_up("B")
        for s in "AB" if self.both else "A":
            self.ingest_all(s, [r for r, v in self.man.items() if v[2] == s])
        self.settle()
        if not self.both:
            self.link()
        self.newest = {}

    def link(self):
        """lets B find A's ticket; without it the hosts do not know of each other"""
        shutil.copy(self.run / "A.ticket", self.run / "for-B.new")
        os.replace(self.run / "for-B.new", self.run / "for-B.ticket")

    def launch(self, s):
        v = int(self.opts.get("verbose", 0))
        self.p[s] = self.spawn(s, [self.exe, *(["-" + "v" * v] if v else []), "run", self.run / f"{s}.yaml"])
        self.can[s] = Http(self.ports[s][0])
        self.host[s] = None

    def status(self, s):
        """what the host says of itself; None while it cannot be asked"""
        try:
            if self.host[s] is None:
                token = (self.root[s] / "data" / "api_token").read_text().strip()
                if not token:
                    return None
                self.host[s] = Http(self.ports[s][1], token)
            code, body = self.host[s].ask("GET", "/status")
            return json.loads(body)["data"] if code == 200 else None
        except OSError:
            if self.p[s].poll() is not None:
                raise RuntimeError(f"can-sync {s} ended with {self.p[s].returncode}: {self.tail()}")
            return None

    def bring_up(self, s):
        self.launch(s)
        while self.status(s) is None or (s == "A" and not (self.run / "A.ticket").exists()):
            self.left()
            time.sleep(0.01)

    def stop(self):
        self.stop_one(*list(self.p))

    def stop_one(self, *sides):
        t = now()
        for s in sides:
            if self.p[s].poll() is None:
                self.p[s].send_signal(signal.SIGTERM)
        for s in sides:
            try:
                rc = self.p[s].wait(timeout=20)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"can-sync {s} does not end")
            if rc:
                raise RuntimeError(f"can-sync {s} ended with {rc}: {self.tail()}")
            self.can[s].close()
            if self.host[s]:
                self.host[s].close()
        self.extra[f"stop_{''.join(sides)}_s"] = round(now() - t, 3)

    def settle(self):
        """waits until no side works any more (write-back of an ingest), so that it is not in the figures"""
        subprocess.run(["sync", "-f", self.run])
        end = now() + 30
        quiet = 0
        while quiet < 3 and now() < end:
            was = sum(g.cpu() for g in self.g.values())
            time.sleep(0.4)
            quiet = quiet + 1 if sum(g.cpu() for g in self.g.values()) - was < 0.015 else 0
        subprocess.run(["sync", "-f", self.run])

    # -- the CAN API
    def ingest(self, con, name, content=None, path=None):
        """Returns the asset's id. `content` bytes, or a `path` that is streamed."""
        start = (f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                 "Content-Type: application/octet-stream\r\n\r\n").encode()
        end = f"\r\n--{self.BOUNDARY}--\r\n".encode()
        size = len(content) if path is None else path.stat().st_size

        def streamed():
            yield start
            with open(path, "rb", buffering=0) as f:
                while b := f.read(MIB):
                    yield b
            yield end
        body = [start, content, end] if path is None else streamed()
        code, answer = con.ask("POST", f"{self.API}/ingest",
                               f"Content-Type: multipart/form-data; boundary={self.BOUNDARY}\r\n", body,
                               len(start) + size + len(end))
        if code != 200:
            raise RuntimeError(f"ingest of {name}: {code} {answer[:300]!r}")
        return json.loads(answer)["data"]["hash"]

    def ingest_all(self, s, names):
        if not names:
            return
        work, problems = queue.SimpleQueue(), []
        for n in names:
            work.put(n)

        def run():
            con = Http(self.ports[s][0])
            try:
                while True:
                    n = work.get_nowait()
                    path = self.src / s / n
                    small = self.man[n][0] <= MIB
                    self.ids[n] = self.ingest(con, n, path.read_bytes() if small else None, None if small else path)
            except queue.Empty:
                pass
            except Exception as e:
                problems.append(e)
            finally:
                con.close()
        c, t = self.g[s].cpu(), now()
        ts = [threading.Thread(target=run) for _ in range(min(8, len(names)))]
        for x in ts:
            x.start()
        for x in ts:
            x.join()
        if problems:
            raise problems[0]
        self.extra[f"ingest_{s}_s"] = round(now() - t, 3)
        self.settle()
        self.extra[f"ingest_{s}_cpu_s"] = round(self.g[s].cpu() - c, 3)

    def read(self, s, rel, con=None):
        """GET of one asset; returns (status, size, sha256)"""
        h, n = hashlib.sha256(), 0

        def into(piece):
            nonlocal n
            n += len(piece)
            h.update(piece)
        code, _ = (con or self.can[s]).ask("GET", f"{self.API}/asset/{self.ids[rel]}", into=into)
        return code, n, h.hexdigest()

    def read_back(self, s, rel):
        """GET of one asset inside the clock: every byte taken in, none hashed here"""
        n = 0

        def into(piece):
            nonlocal n
            n += len(piece)
        code, _ = self.can[s].ask("GET", f"{self.API}/asset/{self.ids[rel]}", into=into)
        if code != 200 or n != self.man[rel][0]:
            raise RuntimeError(f"{s} says its set is equal, and answers {code} with {n} bytes for {rel}")

    def check(self, side, want):
        bad, work = [], queue.SimpleQueue()
        for r in want:
            work.put(r)

        def run():
            con = Http(self.ports[side][0])
            try:
                while len(bad) < 5:
                    r = work.get_nowait()
                    if self.read(side, r, con) != (200, *want[r]):
                        bad.append("differs or missing: " + r)
            except queue.Empty:
                pass
            except Exception as e:
                bad.append(f"{type(e).__name__}: {e}")
            finally:
                con.close()
        ts = [threading.Thread(target=run) for _ in range(4)]
        for x in ts:
            x.start()
        for x in ts:
            x.join()
        return bad

    # -- the work
    def until_equal(self, n, t0):
        """polls both hosts until both say: the same set of n assets, in sync"""
        said = {}
        while True:
            self.left()
            for s in "BA":
                st = self.status(s)
                if st is None:
                    continue
                self.marks.setdefault(f"up_{s}_s", now())
                lib = st["libraries"][0]
                if lib["peers"]:
                    self.marks.setdefault("connected_s", now())
                if s == "B" and lib["count"]:
                    self.marks.setdefault("first_at_B_s", now())
                if lib["count"] == n:
                    self.marks.setdefault(f"all_at_{s}_s", now())
                said[s] = (lib["in_sync"], lib["count"], lib["fingerprint"])
            if said.get("A") == said.get("B") == (True, n, said.get("A", (0, 0, 0))[2]):
                self.marks["equal_s"] = now()
                return
            time.sleep(min(0.05, max(0.005, (now() - t0) / 100)))    # asking costs CPU too

    def own_bytes(self):
        # Two headers of 66 bytes for each packet: its own, and as an estimate half of the acknowledgements.
        return Http.moved + 2 * 66 * Http.packets

    def transfer(self, units, want):
        t0 = now()
        if self.both:
            self.link()
            while True:      # two running hosts: the clock starts when they are connected
                asked = now()
                st = self.status("B")
                if st and st["libraries"][0]["peers"]:
                    break
                t0 = asked
                self.left()
                time.sleep(0.003)
            self.clock = t0
        else:
            self.launch("B")
        self.until_equal(len(want), t0)
        self.read_back("B", [r for r, v in self.man.items() if v[2] == "A"][-1])

    def live_write(self, name, content):
        asset = self.ingest(self.can["A"], name, content)

        def there():
            code, body = self.can["B"].ask("GET", f"{self.API}/asset/{asset}")
            return code == 200 and body == content
        return there

    def differ(self, rng, want):
        out = {}
        for s in "AB":
            self.bring_up(s)
            for i in range(5):
                b = rng.randbytes(4 * KIB)
                r = f"tree/new/{s}{i}"
                self.ids[r] = self.ingest(self.can[s], r, b)
                out[r] = [len(b), hashlib.sha256(b).hexdigest()]
                self.man[r] = [*out[r], s]
            self.settle()
            self.stop_one(s)
        return out

    def reconcile(self, units, want, diffs):
        t0 = now()
        for s in "AB":
            self.launch(s)
        self.until_equal(len(want), t0)
        for s, r in (("B", "tree/new/A4"), ("A", "tree/new/B4")):
            self.read_back(s, r)

    @classmethod
    def version(cls, args): return ver([args.can_sync, "--version"])


class CanSyncPlugins(CanSync):
    """opts: those of can-sync"""
    name = "can-sync-plugins"
    note = CanSync.note + "; three plugins on each host, compiled before"
    CHAIN = ("auto-tag", "keep-private", "normalise")

    def prepare(self, units, want):
        plugins = self.run / "plugins"       # beside the configurations, where both hosts look for them
        plugins.mkdir()
        for name in self.CHAIN:
            shutil.copy(Path(__file__).parent.parent / "plugins" / "prebuilt" / f"{name}.wasm", plugins)
        super().prepare(units, want)
        # As on a host that has run before: else B compiles them on the clock.
        shutil.copytree(self.run / "A" / "data" / "plugins" / "compiled", self.run / "B" / "data" / "plugins" / "compiled",
                        dirs_exist_ok=True)

    def check(self, side, want):
        _, told = self.host["B"].ask("GET", "/plugins")
        calls = {p["name"]: p["calls"] for p in json.loads(told)["data"]["plugins"]}
        if sorted(calls) != sorted(self.CHAIN) or not all(calls.values()):
            raise RuntimeError(f"B has not asked its plugins: {calls}")
        self.extra["plugin_calls_B"] = sum(calls.values())
        return super().check(side, want)


class CanSyncAsked(CanSyncPlugins):
    """opts: those of can-sync"""
    name = "can-sync-asked"
    note = CanSync.note + "; three plugins on each host that change nothing, compiled before: what asking alone costs"
    CHAIN = ("keep-private", "normalise", "redact")


class Rsync(Peer):
    name, note = "rsync", "rsync -a over a loopback daemon, no encryption"
    install = "apt-get install rsync"
    flags = []

    def start(self):
        self.port = port()
        conf = self.run / "rsyncd.conf"
        conf.write_text(f"use chroot = no\nlist = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
                        f"[a]\npath = {self.A}\nread only = no\n")
        self.spawn("A", ["rsync", "--daemon", "--no-detach", "--config", conf,
                         "--address", "127.0.0.1", "--port", self.port])
        self.listening(self.port)

    def transfer(self, units, want):
        u = f"rsync://127.0.0.1:{self.port}/a/"
        self.wait(*[self.spawn("B", ["rsync", "-a", *self.flags]
                               + ([u + t, f"{self.B}/"] if s == "A" else [self.B / t, u])) for s, t in units])

    @classmethod
    def version(cls, args): return ver(["rsync", "--version"])


class RsyncFsync(Rsync):
    name, note = "rsync-fsync", "rsync -a --fsync over a loopback daemon, no encryption"
    durable, flags = "fsync per file", ["--fsync"]


class Sendme(Peer):
    name = "sendme"
    note = "QUIC/TLS, BLAKE3; relay off, addresses-only ticket; import into its store is inside the timed part"
    install = "cargo install sendme --version 0.37.1 --locked   (takes some 20 minutes)"
    SEND = ["--relay", "disabled", "--ticket-type", "addresses", "--no-progress"]
    RECV = ["--relay", "disabled", "--no-progress"]

    def transfer(self, units, want):
        senders, recv = [], []
        for i, (s, t) in enumerate(units):
            (self.run / f"snd{i}").mkdir(exist_ok=True)
            p = self.spawn(s, ["sendme", "send", *self.SEND, "--magic-ipv4-addr", f"127.0.0.1:{port()}",
                               self.root[s] / t], cwd=self.run / f"snd{i}")
            senders.append((p, self.run / f"log-{self.nlog:02d}-{s}.txt"))
        for (s, _), (p, log) in zip(units, senders):
            o = "B" if s == "A" else "A"
            recv.append(self.spawn(o, ["sendme", "receive", *self.RECV, self.ticket(log, p)], cwd=self.root[o]))
        self.wait(*recv)
        t = now()
        for p, _ in senders:
            os.killpg(p.pid, signal.SIGINT)
        return t

    def ticket(self, log, p):
        while True:
            m = re.search(rb"sendme receive (blob[a-z0-9]+)", log.read_bytes())
            if m:
                return m[1].decode()
            if p.poll() is not None:
                raise RuntimeError("sendme send ended: " + self.tail())
            self.left()
            time.sleep(0.02)

    @classmethod
    def version(cls, args): return ver(["sendme", "--version"])


class Iroh(Peer):
    name = "iroh"
    note = "the transport of can-sync alone, for comparison: one stream out of memory, thrown away where it arrives"
    install = "cargo bench --bench transport --no-run"
    durable = "nothing stored"

    @staticmethod
    def binary(args):
        built = [p for p in args.can_sync.parent.glob("deps/transport-*") if not p.suffix and os.access(p, os.X_OK)]
        return max(built, key=lambda p: p.stat().st_mtime, default=None)

    def start(self):
        self.address = self.run / "address"
        self.size = sum(size for size, *_ in self.man.values())
        self.spawn("A", [self.binary(self.args), "send", self.address, self.size])
        while not self.address.exists():
            self.left()
            time.sleep(0.02)

    def transfer(self, units, want):
        self.wait(self.spawn("B", [self.binary(self.args), "receive", self.address]))
        if int((self.run / f"log-{self.nlog:02d}-B.txt").read_text()) != self.size:
            raise RuntimeError("bytes are missing")

    def check(self, side, want):
        return []   # there is nothing to look at

    @classmethod
    def version(cls, args):
        if cls.binary(args):
            return re.search(r'name = "iroh"\nversion = "([^"]+)"', (REPOSITORY / "Cargo.lock").read_text())[1]


# -- Syncthing
class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Syncthing(Peer):
    """opts: fswatch_delay (1, the least it takes; its own default is 10), reconnect (5; its own default is 60, and
    where both sides dial before either listens, that wait would be measured), low_priority (0), fsync (1), start=warm
    (connected, folder unpaused at t0; the default in W1) or cold (both processes start with the data in place)"""
    name, live, two_way = "syncthing", True, True
    install = "apt-get install syncthing"
    note = "TLS over TCP; start of both processes is inside the timed part, but in W1"
    durable = "fsync per file"
    KEY = "labkey"

    def __init__(self, *a):
        super().__init__(*a)
        self.cold = self.opts.get("start", "warm" if self.workload == "W1" else "cold") == "cold"

    def prepare(self, units, want):
        self.id, self.port, self.home, self.p = {}, {}, {}, {}
        for s in "AB":
            keep = self.args.lab / "cfg" / f"st{s}"
            if not (keep / "cert.pem").exists():
                keep.mkdir(parents=True, exist_ok=True)
                subprocess.run(["syncthing", "generate", f"--home={keep}", "--no-default-folder"], check=True,
                               capture_output=True)
            h = self.home[s] = self.run / f"st{s}"
            h.mkdir()
            for f in ("cert.pem", "key.pem"):
                shutil.copy(keep / f, h / f)
            self.id[s] = subprocess.run(["syncthing", f"--home={h}", "--device-id"], capture_output=True, text=True,
                                        check=True).stdout.strip()
            self.port[s] = port()
            (self.root[s] / ".stfolder").mkdir(exist_ok=True)
        for s in "AB":
            self.config(s, paused=not self.cold)

    def config(self, s, paused):
        o = self.opts
        dev = "".join(f'<device id="{self.id[x]}" name="{x}" compression="{o.get("compression", "metadata")}">'
                      f'<address>{"tcp://127.0.0.1:%d" % self.port[x]}</address></device>' for x in "AB")
        (self.home[s] / "config.xml").write_text(f"""<configuration version="36">
<folder id="f" label="f" path="{self.root[s]}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true"
 fsWatcherDelayS="{o.get('fswatch_delay', 1)}" ignorePerms="false" autoNormalize="true">
<filesystemType>basic</filesystemType>
{"".join(f'<device id="{self.id[x]}"></device>' for x in "AB")}
<minDiskFree unit="%">0</minDiskFree><markerName>.stfolder</markerName>
<disableFsync>{"false" if o.get('fsync', '1') == '1' else "true"}</disableFsync>
<paused>{"true" if paused else "false"}</paused></folder>
{dev}
<gui enabled="true" tls="false" debugging="false"><address>{self.home[s]}/gui.sock</address>
<apikey>{self.KEY}</apikey></gui>
<options><listenAddress>tcp://127.0.0.1:{self.port[s]}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><startBrowser>false</startBrowser>
<urAccepted>-1</urAccepted><urSeen>3</urSeen>
<crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<announceLANAddresses>false</announceLANAddresses><stunKeepaliveStartS>0</stunKeepaliveStartS>
<reconnectionIntervalS>{o.get('reconnect', 5)}</reconnectionIntervalS>
<setLowPriority>{"true" if o.get('low_priority', '0') == '1' else "false"}</setLowPriority>
<minHomeDiskFree unit="%">0</minHomeDiskFree></options></configuration>
""")

    def rest(self, s, method, path, body=None):
        c = UnixHTTP(f"{self.home[s]}/gui.sock")
        try:
            c.request(method, path, body=json.dumps(body) if body is not None else None,
                      headers={"X-API-Key": self.KEY})
            r = c.getresponse()
            d = r.read()
            if r.status != 200:
                raise OSError(f"{r.status} {d[:200]!r}")
            return json.loads(d) if d else None
        finally:
            c.close()

    def up(self):
        for s in "AB":
            while True:
                try:
                    self.rest(s, "GET", "/rest/system/ping")
                    break
                except (OSError, http.client.HTTPException):
                    if self.p[s].poll() is not None:
                        raise RuntimeError("syncthing ended: " + self.tail())
                    self.left()
                    time.sleep(0.05)

    def start(self):
        self.p = {}
        for s in "AB":
            try:
                os.unlink(f"{self.home[s]}/gui.sock")
            except OSError:
                pass
            self.p[s] = self.spawn(s, ["syncthing", "serve", f"--home={self.home[s]}", "--no-browser", "--no-restart",
                                       "--no-upgrade", "--skip-port-probing", "--no-default-folder"],
                                   {"STNODEFAULTFOLDER": "1"})
        self.up()
        self.marks["rest_up_s"] = now()
        if not self.cold:
            while not self.connected():
                self.left()
                time.sleep(0.1)

    def connected(self):
        try:
            return self.rest("A", "GET", "/rest/system/connections")["connections"][self.id["B"]]["connected"]
        except (OSError, KeyError, http.client.HTTPException):
            return False

    def status(self, s):
        try:
            return self.rest(s, "GET", "/rest/db/status?folder=f")
        except (OSError, http.client.HTTPException):
            return {}

    def in_sync(self, n):   # byte totals are no use here: Syncthing counts 128 bytes for each directory
        for s in "AB":
            d = self.status(s)
            if not (d.get("state") == "idle" and d.get("needTotalItems") == 0
                    and d.get("globalFiles") == d.get("localFiles") == n
                    and d.get("globalBytes") == d.get("localBytes")):
                return False
        return True

    def transfer(self, units, want):
        if not self.cold:
            for s in "AB":
                self.rest(s, "PATCH", f"/rest/config/folders/f", {"paused": False})
        t0 = now()
        while not self.in_sync(len(want)):
            if "connected_s" not in self.marks and self.connected():
                self.marks["connected_s"] = now()
            if "scanned_A_s" not in self.marks:
                d = self.status("A")
                if d.get("localFiles", 0) > 0 and d.get("state") != "scanning":
                    self.marks["scanned_A_s"] = now()
            self.left()
            time.sleep(min(2, max(float(self.opts.get("poll", 0.1)), (now() - t0) / 100)))   # asking costs CPU too

    def reconcile(self, units, want, diffs):
        self.start()
        while verify(self.B, diffs) or verify(self.A, diffs):
            if "connected_s" not in self.marks and self.connected():
                self.marks["connected_s"] = now()
            self.left()
            time.sleep(0.05)

    def stop(self):
        for s in self.p:
            try:
                self.rest(s, "POST", "/rest/system/shutdown")
            except (OSError, http.client.HTTPException):
                pass
        for p in self.p.values():
            try:
                p.wait(timeout=20)
            except subprocess.TimeoutExpired:
                pass
        self.kill_all()

    @classmethod
    def version(cls, args): return ver(["syncthing", "--version"], r"v(\S+)")


PEERS = {c.name: c for c in (CanSync, CanSyncPlugins, CanSyncAsked, Rsync, RsyncFsync, Syncthing, Sendme, Iroh)}
# Those that take long to build are left out where they are missing.
SPARED = ("sendme", "iroh")
# Who takes part in what when nobody is named. One fsync for each of 10,000 files takes rsync most of a minute.
DEFAULT = {"W1": ["can-sync", "rsync-fsync", "rsync", "syncthing"],
           "W2": ["can-sync", "rsync", "syncthing", "sendme", "iroh"],
           "W3": ["can-sync", "rsync", "syncthing"]}


# ---------------------------------------------------------------- runs
def run_chain(name, chain, args, rep, emit_to):
    run = args.lab / "runs" / f"{name}-{chain[0]}-{os.getpid()}-{rep}"
    shutil.rmtree(run, ignore_errors=True)
    (run / "home").mkdir(parents=True)
    args.ran.append(run)
    src, man = dataset(args.lab, chain[0], args.scale)
    for s in "AB":
        (run / s).mkdir()
        if (src / s).exists() and not name.startswith("can-sync"):
            subprocess.run(["cp", "-a", f"{src / s}/.", run / s], check=True)
    subprocess.run(["sync", "-f", run])
    units = [("A", "fromA"), ("B", "fromB")] if chain[0] == "W1" else [("A", "tree")]
    want = {r: v[:2] for r, v in man.items()}
    total = sum(v[0] for v in want.values())
    groups = {s: Group(s) for s in "AB"}
    meter = Meter(groups)
    peer = PEERS[name](run, groups, args.opts, args, chain[0])
    peer.src, peer.man = src, man

    def emit(w, d, ok, **kw):
        row = {"peer": name, "version": PEERS[name].version(args), "workload": w, "rep": rep, "nice": args.nice,
               "scale": args.scale, "opts": args.opts, "converged": ok, **d, **kw, **peer.extra}
        row["marks"] = {k: round(v - meter.t0, 3) for k, v in peer.marks.items()}
        emit_to(row)
        return ok

    def timed(work):
        """runs the work on the clock; returns figures and what went wrong"""
        peer.deadline, peer.marks, peer.clock, err = now() + args.timeout, {}, None, None
        begun, asked = meter.begin(), peer.own_bytes()
        t = None
        try:
            t = work()
        except Timeout:
            err = "time limit"
        except RuntimeError as e:
            err = str(e)
        d = meter.end(t)
        if d["wire_bytes"] is not None:
            d["wire_bytes"] -= peer.own_bytes() - asked
        if peer.clock:     # CPU and bytes count from the beginning, seconds from when the two were connected
            meter.t0 = peer.clock
            d["from_ticket_s"], d["seconds"] = d["seconds"], round(d["seconds"] - (peer.clock - begun), 3)
        return d, err

    try:
        peer.deadline = now() + args.timeout
        peer.prepare(units, want)
        for w in chain:
            if w in ("W1", "W2", "W3"):
                if not peer.cold:
                    peer.start()
                peer.deadline = now() + args.timeout

                def work():
                    if peer.cold:
                        peer.start()
                    return peer.transfer(units, want)
                d, err = timed(work)
                bad = [err] if err else peer.check("B", want) or (peer.check("A", want) if w == "W1" else [])
                d["MB_per_s"] = round(total / 1e6 / max(d["seconds"], 1e-3), 2)
                if not emit(w, d, not bad, bytes=total, files=len(want), **({"error": "; ".join(bad)} if bad else {})):
                    return
            elif w == "W5":
                if not peer.live:
                    continue
                rng, lat = random.Random(f"{SEED}-W5-{rep}"), []
                time.sleep(3)

                def work():
                    for i in range(args.live_n):
                        time.sleep(rng.uniform(0.3, 1.3))
                        there = peer.live_write(f"live-{i:03d}", rng.randbytes(10 * KIB))
                        t = now()
                        while not there():
                            peer.left()
                            if now() - t > 60:
                                raise RuntimeError("a file took over 60 s")
                            time.sleep(0.001)
                        lat.append(now() - t)
                d, err = timed(work)
                if lat:
                    lat.sort()
                    d.update(n=len(lat), median_s=round(statistics.median(lat), 4),
                             p95_s=round(lat[min(len(lat) - 1, int(len(lat) * .95))], 4),
                             min_s=round(lat[0], 4), max_s=round(lat[-1], 4))
                emit(w, d, err is None, **({"error": err} if err else {}))
            elif w == "W7":
                peer.stop()
                diffs = peer.differ(random.Random(f"{SEED}-W7"), want)
                want.update(diffs)
                subprocess.run(["sync", "-f", run])
                was, peer.cold = peer.cold, True
                d, err = timed(lambda: peer.reconcile(units, want, diffs))
                peer.cold = was
                bad = [err] if err else peer.check("B", want) or (peer.check("A", want) if peer.two_way else [])
                emit(w, d, not bad, files=len(want), **({"error": "; ".join(bad)} if bad else {}))
    except (Timeout, RuntimeError, subprocess.CalledProcessError) as e:
        emit(w if "w" in locals() else chain[0], {}, False, error=f"{type(e).__name__}: {e}")
    finally:
        try:
            peer.deadline = now() + 30
            peer.stop()
        except Exception as e:
            print(f"{name}: {e}", file=sys.stderr)
        peer.kill_all()
        meter.close()
        for g in groups.values():
            g.close()


def median(rows, column):
    v = [r[column] for r in rows if r.get(column) is not None]
    return statistics.median(v) if v else None


def fmt(v, d=3):
    return "-" if v is None else f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.{d}g}"


def summary(rows):
    """medians of the runs whose data were right, a Markdown table for each workload, and how they stand to the aims"""
    rows = [r for r in rows if r["converged"] is not None]
    label = lambda r: r["peer"] + "".join(f" {k}={v}" for k, v in sorted(r.get("opts", {}).items()) if k != "verbose")
    value = {}
    for w in sorted({r["workload"] for r in rows}):
        here = [r for r in rows if r["workload"] == w]
        of = {n: [r for r in here if label(r) == n] for n in sorted({label(r) for r in here})}
        good = {n: [r for r in g if r["converged"]] for n, g in of.items()}
        for n, g in good.items():
            value[w, n] = {c: median(g, c) for c in ("seconds", "median_s", "rss_A_MiB", "rss_B_MiB")}
            value[w, n]["equal_s"] = median([r["marks"] for r in g], "equal_s")
        base, other = (value.get((w, n), {}).get("seconds") for n in ("rsync", "syncthing"))
        size = median(here, "bytes") or 0
        print(f"\n### {w}\n")
        if w == "W5":
            print("| peer | ok/runs | n | min s | median s | p95 s | max s | CPU s A+B |\n" + "|---" * 8 + "|")
            for n, g in good.items():
                print(f"| {n} | {len(g)}/{len(of[n])} | {fmt(median(g, 'n'))} | " + " | ".join(
                    fmt(median(g, c)) for c in ("min_s", "median_s", "p95_s", "max_s", "cpu_s")) + " |")
            continue
        print("| peer | ok/runs | seconds (min-max) | x rsync | Syncthing / it | MB/s | CPU s A | CPU s B "
              "| peak A MiB | peak B MiB | wire MB | wire/payload |")
        print("|" + "---|" * 12)
        for n, g in of.items():
            ok = good[n]
            if not ok:
                print(f"| {n} | 0/{len(g)} | {str(g[-1].get('error'))[:100]} |" + " |" * 9)
                continue
            sec, wire = median(ok, "seconds"), median(ok, "wire_bytes")
            lo, hi = min(r["seconds"] for r in ok), max(r["seconds"] for r in ok)
            print(f"| {n} | {len(ok)}/{len(g)} | {fmt(sec)} ({fmt(lo)}-{fmt(hi)}) | {fmt(base and sec / base)} "
                  f"| {fmt(other and other / sec)} | "
                  + " | ".join(fmt(median(ok, c)) for c in ("MB_per_s", "cpu_s_A", "cpu_s_B", "rss_A_MiB", "rss_B_MiB"))
                  + f" | {fmt(wire / 1e6) if wire is not None else '-'} "
                  f"| {f'{wire / size:.3f}' if wire and size and w != 'W7' else '-'} |")
        ours = good.get("can-sync", [])
        if ours:
            beside = [f"{k} {fmt(median(ours, k))}" for k in
                      ("ingest_A_s", "ingest_A_cpu_s", "ingest_B_s", "ingest_B_cpu_s", "from_ticket_s",
                       "stop_AB_s", "stop_A_s", "stop_B_s")
                      if median(ours, k) is not None]
            marks = sorted({m for r in ours for m in r["marks"]},
                           key=lambda m: median([r["marks"] for r in ours], m) or 0)
            print(f"\ncan-sync beside the clock: {', '.join(beside) or '-'}; on it: "
                  + ", ".join(f"{m} {fmt(median([r['marks'] for r in ours], m))}" for m in marks) + ".")
    aims(value)


def aims(value):
    ratio = lambda w, a, b, c="seconds": (value.get((w, a), {}).get(c), value.get((w, b), {}).get(c))
    lines = []

    def line(w, text, got, met):
        lines.append(f"| {w} | {text} | {got} | {'yes' if met else 'NO'} |")

    def faster(w, n, least):
        it, ours = ratio(w, n, "can-sync")
        if it and ours:
            line(w, f"at least {least} times as fast as {n}", f"{it / ours:.2f}", it / ours >= least)

    def slower(w, n, most):
        it, ours = ratio(w, n, "can-sync")
        if it and ours:
            line(w, f"at most {most} times the time of {n}", f"{ours / it:.2f}", ours / it <= most)
    faster("W1", "syncthing", 3)
    slower("W1", "rsync-fsync", 1.5)
    faster("W2", "syncthing", 3)
    faster("W2", "sendme", 3)
    slower("W2", "rsync", 1.6)
    it, equal = value.get(("W2", "rsync"), {}).get("seconds"), value.get(("W2", "can-sync"), {}).get("equal_s")
    if it and equal:
        line("W2", "the same until both sets are equal, before the gigabyte is read back", f"{equal / it:.2f}",
             equal / it <= 1.6)
    for side in "AB":
        peak = value.get(("W2", "can-sync"), {}).get(f"rss_{side}_MiB")
        if peak:
            line("W2", f"peak memory of {side} under 160 MiB", f"{peak:.0f}", peak < 160)
    slower("W3", "rsync", 2)
    faster("W3", "syncthing", 8)
    live = value.get(("W5", "can-sync"), {}).get("median_s")
    if live:
        line("W5", "median under 25 ms", f"{live * 1000:.1f}", live < 0.025)
    again = value.get(("W7", "can-sync"), {}).get("seconds")
    if again:
        line("W7", "under 0.5 s", f"{again:.2f}", again < 0.5)
    if lines:
        print("\n### Aims\n\n| | aim | measured | met |\n|---|---|---|---|\n" + "\n".join(lines))


def private_net():
    """re-run inside a fresh network namespace: loopback only, its byte counter is ours alone"""
    if os.environ.get("PEERS_NETNS"):
        return
    un = shutil.which("unshare")
    flags = ["-n"] if os.getuid() == 0 else ["-rn"]
    if un and subprocess.run([un, *flags, "true"], capture_output=True).returncode == 0:
        os.environ["PEERS_NETNS"] = "1"
        os.execv(un, [un, *flags, sys.executable, *sys.argv])
    print("no network namespace: wire bytes are not counted", file=sys.stderr)


def lo_up():
    import fcntl, struct
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14s", b"lo", 0x1 | 0x8 | 0x40, b""))  # SIOCSIFFLAGS up, loopback, running
    s.close()


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--can-sync", type=Path, default=target / "release" / "can-sync", help="the binary to measure")
    ap.add_argument("--peer", action="append", default=[], help="name, repeatable; default: as suits the workload")
    ap.add_argument("--workload", default="W1,W2,W3,W5,W7", help="comma list; follow-ups share the run of their base")
    ap.add_argument("--reps", type=int, default=1)
    ap.add_argument("--timeout", type=float, default=480, help="seconds for each workload")
    ap.add_argument("--lab", type=Path, default=Path(tempfile.gettempdir()) / "can-sync-bench",
                    help="where data and runs lie: on the disk to be measured")
    ap.add_argument("--out", type=Path, help="JSON lines are added to this file too")
    ap.add_argument("--opt", action="append", default=[], help="key=value for the peer")
    ap.add_argument("--live-n", type=int, default=20)
    ap.add_argument("--nice", type=int, default=0,
                    help="niceness of all peers; below 0 (root) where other work shares the machine")
    ap.add_argument("--scale", type=int, default=1, help="divides the sizes, to try the harness; not for figures")
    ap.add_argument("--keep", action="store_true", help="leaves the folders of the runs, with logs")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--summary", type=Path, nargs="+")
    args = ap.parse_args()
    if args.summary:
        return summary([json.loads(x) for p in args.summary for x in open(p) if x.strip()])
    args.can_sync = args.can_sync.resolve()
    if args.list:
        for c in PEERS.values():
            print(f"{c.name:12} {c.version(args) or 'NOT INSTALLED':22} {c.note} [{c.durable}]")
        return
    chains = {}
    for w in args.workload.split(","):
        b = BASE.get(w, w)
        if b not in DEFAULT:
            ap.error(f"no workload {w}")
        chains.setdefault(b, [b])
        if w != b and w not in chains[b]:
            chains[b].append(w)
    missing = set()
    who = {}
    for b in chains:
        spared = [] if args.peer else [n for n in DEFAULT[b] if n in SPARED and not PEERS[n].version(args)]
        who[b] = args.peer or [n for n in DEFAULT[b] if n not in spared]
        for n in spared:
            print(f"{n} is not installed and left out of {b}; {PEERS[n].install}", file=sys.stderr)
        for n in who[b]:
            if n not in PEERS:
                ap.error(f"no peer {n}")
            if not PEERS[n].version(args):
                missing.add(n)
    if missing:
        for n in sorted(missing):
            print(f"{n} is not installed: {PEERS[n].install}", file=sys.stderr)
        return 1
    private_net()
    if os.environ.get("PEERS_NETNS") == "1":
        lo_up()
    args.lab = args.lab.resolve()
    args.lab.mkdir(parents=True, exist_ok=True)
    args.opts = dict(o.split("=", 1) for o in args.opt)
    if args.nice:
        os.nice(args.nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args.ran, rows = [], []

    def emit(row):
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.out:
            with open(args.out, "a") as f:
                f.write(json.dumps(row) + "\n")
    try:
        for rep in range(args.reps):          # peers take turns, so that noise hits all alike
            for b, chain in chains.items():
                for n in who[b]:
                    run_chain(n, chain, args, rep, emit)
    finally:
        # Only now: removing trees on a disk that discards slows down whatever is measured next.
        for run in args.ran:
            if args.keep:
                print(f"kept {run}", file=sys.stderr)
            else:
                shutil.rmtree(run, ignore_errors=True)
    summary(rows)
    return 0 if all(r["converged"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
