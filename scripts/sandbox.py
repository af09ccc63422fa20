"""What the scripts here share: a standing sandbox, its agents' control sockets, plain NBD writes, /proc."""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

try:
    import nbd
except ImportError:
    nbd = None  # only scripts that write need it; scripts/setup test installs python3-libnbd

PATIENCE = int(os.environ.get("CSNAP_PATIENCE", 120))  # seconds any single wait may take before it is a failure
CHUNK = 65536
BLOCK = 4096
REGION = 256 << 20  # of the origin, one for each node


class Failure(Exception):
    """What was expected and did not come true."""


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait(what, condition, seconds=PATIENCE):
    """Returns the condition's first true value."""
    end = now() + seconds
    while True:
        value = condition()
        if value:
            return value
        if now() > end:
            raise Failure(f"waited {seconds} s in vain: {what}")
        time.sleep(0.005)


def listens(path):
    """A Unix socket's name is there before anybody may connect to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


class Sandbox:
    """`csnapctl sandbox --json` without a scenario; whoever uses it does the harm, by process id."""

    def __init__(self, binaries, nodes=3, profile="lan", log=None, under=()):
        """`under`: a program that runs it, such as strace."""
        self.count, self.profile = nodes, profile
        command = [*under, f"{binaries}/csnapctl", "sandbox", "--nodes", str(nodes), "--profile", profile, "--json"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log or subprocess.DEVNULL)
        self.pending = b""
        try:
            self.nodes = self._nodes(self._line(PATIENCE))
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind and issubclass(kind, Failure):
            for line in self.explain():
                print(line, file=sys.stderr)
        self.stop()

    def explain(self):
        """What each agent says of itself, for a failure."""
        for node in self.nodes:
            status = self.status(node)
            if not status:
                yield f"node {node}: its agent does not answer"
                continue
            keys = ("role", "phase", "server", "epoch", "round", "adoptedEpoch", "adoptedRound", "clientsResumed", "voters")
            yield f"node {node}: " + ", ".join(f"{key} {status.get(key)}" for key in keys)
            yield from (f"    waits {wait['seconds']:.1f} s: {wait['text']}" for wait in status["waits"])
            events = self.events(node)
            yield from (f"    {event['at'] / 1e9:.3f} {event['text']}" for event in events[-25:])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _line(self, seconds):
        end = now() + seconds
        while b"\n" not in self.pending:
            readable, _, _ = select.select([self.process.stdout], [], [], max(end - now(), 0))
            data = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            if not data:
                raise Failure("the sandbox ended or does not answer")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    @staticmethod
    def _nodes(answer):
        return {node["node"]: node for node in answer["nodes"]}

    def ask(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        answer = self._line(30)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def refresh(self):
        """Process ids change with each restart."""
        self.nodes = self._nodes(self.ask("nodes"))
        return self.nodes

    def kill(self, node, *kinds):
        """kill -9, by process id; agent, server, client, or all of them."""
        for kind in kinds or ("agent", "server", "client"):
            pid = self.nodes[node][f"{kind}Pid"]
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def call(self, node, method, /, **parameters):
        return varlink(self.nodes[node]["controlSocket"], method, parameters)

    def events(self, node):
        """All that its agent has kept."""
        events, more = [], True
        while more:
            after = {"since": events[-1]["cursor"]} if events else {}
            page = self.call(node, "Events", **after)
            events, more = events + page["events"], page["hasMore"]
        return events

    def status(self, node):
        """None while its agent does not answer."""
        try:
            return self.call(node, "GetStatus")["status"]
        except (OSError, ValueError):
            return None

    def view(self, nodes=None):
        """(server, epoch, round) if all of `nodes` agree, it is active and none waits, warnings aside; else None."""
        seen = set()
        for node in nodes or self.nodes:
            status = self.status(node)
            if not status or status["phase"] != "active" or not status["clientsResumed"]:
                return None
            if any(not wait["warning"] for wait in status["waits"]):
                return None
            seen.add((status.get("server"), status["epoch"], status["round"]))
        return seen.pop() if len(seen) == 1 else None

    def server(self, nodes=None):
        view = self.view(nodes)
        return view and view[0]

    def tenure(self, nodes=None):
        view = self.view(nodes)
        return view and view[1:]


def play(binaries, scenario, profile, *options, seconds=300):
    """One scenario of the sandbox. Returns (its result or {}, exit code, all it printed); bounded by `seconds`."""
    command = [f"{binaries}/csnapctl", "sandbox", "--scenario", scenario, "--profile", profile, "--json", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it ends its processes and removes its files
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        output += f"\ngiven up after {seconds} s\n"
    last = [line for line in output.splitlines() if line.startswith("{")]
    return (json.loads(last[-1]) if last else {}), process.returncode, output


def varlink(path, method, parameters):
    """One call; raises ValueError for what the service refuses."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        call = {"method": f"io.csnap.Agent.{method}", "parameters": parameters}
        connection.sendall(json.dumps(call).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            more = connection.recv(65536)
            if not more:
                raise ConnectionError(f"{path}: closed in the midst of an answer")
            data += more
    reply = json.loads(data[:-1])
    if "error" in reply:
        raise ValueError(f"{method}: {reply['error']} {reply.get('parameters')}")
    return reply.get("parameters") or {}


def block(node, sequence, offset):
    """4 KiB that nobody else writes."""
    return (struct.pack("<QQQQ", node, sequence, offset, ~sequence & (1 << 64) - 1) * (BLOCK // 32))


def connect(path):
    if nbd is None:
        sys.exit("python3-libnbd is missing: run scripts/setup test")
    handle = nbd.NBD()
    handle.set_export_name("origin")
    handle.connect_unix(path)
    return handle


class Writer(threading.Thread):
    """Plain NBD writes through one node's client, one at a time, each of 4 KiB in a chunk that was never written, so
    that each needs a grant; after a region's worth, in chunks of before. `first`: the chunk to begin with."""

    def __init__(self, node, path, period=0.01, first=0, reconnects=False):
        super().__init__(daemon=True)
        self.node, self.path, self.period, self.reconnects = node, path, period, reconnects
        self.sequence = first
        self.writes = []  # (begun, completed)
        self.acknowledged = {}  # offset: sequence
        self.uncertain = set()  # offsets whose last write got no answer
        self.error = None
        self.stopping = threading.Event()
        self.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                handle = connect(self.path)
                self._write(handle)
                handle.shutdown()
            except nbd.Error as error:
                # An error number means that a request was answered with an error; none, that the connection is gone.
                if not self.reconnects or self.answered_error(error):
                    self.error = error
                    return
                time.sleep(0.02)

    @staticmethod
    def answered_error(error):
        return error.errnum in (5, 28)

    def _write(self, handle):
        chunks = REGION // CHUNK
        while not self.stopping.is_set():
            place = self.sequence % (chunks * (CHUNK // BLOCK))
            offset = (self.node - 1) * REGION + place % chunks * CHUNK + place // chunks * BLOCK
            begun = now()
            self.uncertain.add(offset)
            handle.pwrite(block(self.node, self.sequence, offset), offset)
            completed = now()
            self.acknowledged[offset] = self.sequence
            self.uncertain.discard(offset)
            self.writes.append((begun, completed))
            self.sequence += 1
            rest = self.period - (completed - begun)
            if rest > 0:
                time.sleep(rest)

    def first_begun_after(self, instant):
        """When a write begun after that instant was first completed, or None."""
        return next((done for begun, done in list(self.writes) if begun >= instant), None)

    def first_completed_after(self, instant):
        return next((done for _, done in list(self.writes) if done >= instant), None)

    def longest(self, instant):
        return max((done - begun for begun, done in list(self.writes) if done >= instant), default=0)

    def stop(self):
        """The request in hand ends first; raises what a request was answered."""
        self.stopping.set()
        self.join(timeout=PATIENCE)
        if self.is_alive():
            raise Failure(f"node {self.node}: a write never ends")
        if self.error:
            raise Failure(f"node {self.node}: {self.error}")

    def verify(self, path):
        """Reads back through any node's client what was acknowledged; returns the blocks read, raises on a wrong one."""
        handle = connect(path)
        for offset, sequence in self.acknowledged.items():
            if offset in self.uncertain:
                continue
            if handle.pread(BLOCK, offset) != block(self.node, sequence, offset):
                raise Failure(f"node {self.node}: the acknowledged write {sequence} at {offset} is lost")
        handle.shutdown()
        return len(self.acknowledged) - len(self.uncertain & self.acknowledged.keys())


# What /proc says of a process.


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def proportional_bytes(pid, which="Pss"):
    """PSS: memory, each shared page counted by its part. `Pss_Anon`: of it what the process itself has written; the rest
    is code, whose parts depend on who else runs."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{which}:"))


def processor_seconds(pid):
    """User and system time, all threads."""
    nanoseconds = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def exists(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False
