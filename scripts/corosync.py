"""Five corosync nodes in network namespaces of their own, as something to measure beside: knet, AES-256 and SHA-256."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

from sandbox import Failure, wait


class Corosync:
    """Runs while the `with` does. It needs root, `ip` and `corosync`; a service of the machine is left alone."""

    def __init__(self, nodes, token):
        """`token`: milliseconds until a silent node is taken for dead."""
        self.nodes, self.token = range(1, nodes + 1), token
        self.prefix, self.processes = f"csnap-c{os.getpid()}", {}

    @staticmethod
    def is_possible():
        return os.geteuid() == 0 and all(shutil.which(name) for name in ("corosync", "corosync-keygen", "ip", "unshare"))

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="csnap-corosync-")
        try:
            self._make_network()
            self._configure()
            for node in self.nodes:
                self._start(node)
            wait("corosync's nodes have found each other", self._is_whole)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _name(self, node):
        return f"{self.prefix}-{node}"

    def _ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def _make_network(self):
        """A bridge in a namespace, and one namespace for each node."""
        hub = self._name("hub")
        self._ip("netns", "add", hub)
        self._ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", hub, "link", "set", "bridge", "up")
        for node in self.nodes:
            name = self._name(node)
            self._ip("netns", "add", name)
            self._ip("link", "add", "uplink", "netns", name, "type", "veth", "peer", "name", f"to{node}", "netns", hub)
            self._ip("-n", name, "address", "add", f"10.99.0.{node}/24", "dev", "uplink")
            for device in ("lo", "uplink"):
                self._ip("-n", name, "link", "set", device, "up")
            self._ip("-n", hub, "link", "set", f"to{node}", "master", "bridge", "up")

    def _configure(self):
        key = f"{self.directory}/key"
        subprocess.run(["corosync-keygen", "-l", "-k", key], check=True, capture_output=True)
        lines = ["totem {", " version: 2", " cluster_name: bench", " transport: knet", " crypto_cipher: aes256",
                 " crypto_hash: sha256", f" keyfile: {key}", f" token: {self.token}", " token_coefficient: 0", "}",
                 "quorum {", " provider: corosync_votequorum", "}",
                 "logging {", " to_stderr: no", " to_syslog: no", "}", "nodelist {"]
        for node in self.nodes:
            lines += [" node {", f"  ring0_addr: 10.99.0.{node}", f"  name: n{node}", f"  nodeid: {node}", " }"]
        with open(f"{self.directory}/corosync.conf", "w") as file:
            file.write("\n".join([*lines, "}", ""]))

    def _inside(self, node, command):
        """Its lock, database and shared memory are of this machine's corosync otherwise."""
        mounts = " && ".join(f"mount -t tmpfs tmpfs {path}" for path in ("/run", "/var/lib/corosync", "/dev/shm"))
        return ["ip", "netns", "exec", self._name(node), "unshare", "--mount", "sh", "-c", f"{mounts} && exec {command}"]

    def _start(self, node):
        with open(f"{self.directory}/{node}.log", "wb") as log:
            self.processes[node] = subprocess.Popen(
                self._inside(node, f"corosync -f -c {self.directory}/corosync.conf"), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)

    def _is_whole(self):
        for node, process in self.processes.items():
            if process.poll() is not None:
                with open(f"{self.directory}/{node}.log") as log:
                    raise Failure(f"corosync on node {node} ended: {log.read()[-300:]}")
            asked = subprocess.run(
                ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", f"--net=/proc/{process.pid}/ns/net",
                 "corosync-quorumtool", "-s"], capture_output=True, text=True)
            if f"Total votes:      {len(self.nodes)}" not in asked.stdout:
                time.sleep(0.1)
                return False
        return True

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in [*map(self._name, self.nodes), self._name("hub")]:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)
