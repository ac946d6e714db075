"""A federation on one machine: an aggregator and its nodes as operating-system processes.

Whatever runs is a command an operator would type; only loopback addresses are used. Nodes are set
up and enrolled by what `edge-node init` and `edge-node enrol` call, without a process for each. The
system tests and the benchmarks drive the same class.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_node.config import FederationSpec, SitePolicy, to_toml
from edge_node.config.paths import NodePaths
from edge_node.errors import MachineError, NetworkError, TangentMeshError
from edge_node.node.setup import create_node, enrol_node
from edge_node.security.files import make_private_directory, write_atomically
from edge_node.serving.client import status
from edge_node.serving.status import NodeStatus

__all__ = ["LocalFederation", "Topology", "frozen", "write_spec"]

_POLL_SECONDS = 0.2
_PATIENCE = 20.0  # seconds for an exchange with the aggregator


def write_spec(spec: FederationSpec, path: Path) -> None:
    """Write a federation spec as the TOML file that people share."""
    write_atomically(path, to_toml(spec), mode=0o644)


@dataclass(frozen=True)
class Topology:
    """The neighbour graph, and each node's parent in its spanning tree (empty at the root)."""

    edges: Sequence[tuple[str, str]]
    parents: Mapping[str, str]


class LocalFederation:
    """Owns the processes it starts: use it as a context manager, and they end with it.

    Args:
        directory: everything lives below it: ``aggregator/`` and one folder a node.
        spec: the federation's spec.
        files: each node's data file.
        threads: processor threads a node may use; 0: all.
        policies: of nodes whose policy isn't the default.
    """

    def __init__(
        self,
        directory: Path,
        spec: FederationSpec,
        files: Mapping[str, Path],
        *,
        threads: int = 0,
        policies: Mapping[str, SitePolicy] | None = None,
    ) -> None:
        self.directory = directory
        self.spec = spec
        self.files = dict(files)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = threads
        self._policies = policies or {}
        self._enrolment_port = 0

    def __enter__(self) -> "LocalFederation":
        make_private_directory(self.directory)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self, progress: Callable[[str, float], None] = lambda *_: None) -> None:
        """Create the federation, enrol every node, and start all processes.

        Args:
            progress: is told what is done, and which share of it.
        """
        with ThreadPoolExecutor(2) as pool:  # signals don't reach its threads: none loses a process
            progress("Creating the federation", 0.0)
            pool.submit(self.create).result()
            progress("Starting the aggregator", 0.2)
            starting = pool.submit(self.start_aggregator)
            tokens = pool.submit(self.tokens, *self.files).result()
            starting.result()
            started = pool.map(self._enrol_and_start, self.files, tokens)
            for done, node in enumerate(started, start=1):
                progress(f"{node} has enrolled", 0.2 + 0.8 * done / len(self.files))

    def _enrol_and_start(self, node: str, token: str) -> str:
        self.enrol(node, token)
        self.start_node(node)
        return node

    def create(self) -> None:
        """``aggregator init``: certificate authority, registry, configuration."""
        spec_file = self.directory / "federation.toml"
        write_spec(self.spec, spec_file)
        discovery, self._enrolment_port = _free_ports(2)
        self.command(
            "aggregator", "init", "--dir", self._home("aggregator"), "--spec", str(spec_file),
            "--host", "localhost", "--host", "127.0.0.1",
            "--port", str(discovery), "--enrolment-port", str(self._enrolment_port),
        )  # fmt: skip

    def tokens(self, *nodes: str) -> list[str]:
        """``aggregator token``: a one-time token for each of some nodes."""
        if not nodes:
            return []
        return self.command(
            "aggregator", "token", *nodes, "--dir", self._home("aggregator")
        ).split()

    def enrol(self, node: str, token: str = "") -> None:
        """As ``edge-node init`` and ``edge-node enrol`` with the token; default: a fresh one."""
        paths = NodePaths(self.node_directory(node))
        create_node(
            paths,
            name=node,
            data=self.files[node],
            listen="127.0.0.1:0",
            advertise="127.0.0.1:0",
            no_inbound=False,
            ignore=(),
            threads=self._threads,
            policy=self._policies.get(node, SitePolicy()),
        )
        enrol_node(paths, token or self.tokens(node)[0], None, timeout=_PATIENCE)

    def start_aggregator(self) -> None:
        """``aggregator run``, and wait until it answers."""
        self.spawn("aggregator", "aggregator", "run", "--dir", self._home("aggregator"))
        _wait_for_port(self._enrolment_port, self.processes["aggregator"], self.log("aggregator"))

    def start_node(self, node: str) -> None:
        """``edge-node run``."""
        self.spawn(node, "edge_node", "run", "--dir", self._home(node))

    def kill(self, process: str) -> None:
        """``kill -9``: no farewell of any kind."""
        self.processes[process].kill()
        self.processes.pop(process).wait()

    def stop(self) -> None:
        """Ask every process to end, and make sure that it does."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def status(self, node: str) -> NodeStatus | None:
        """What the node says of itself; None while it doesn't answer."""
        try:
            return status(self.node_directory(node), timeout=5.0)
        except TangentMeshError:
            return None

    def follow(
        self, *, deadline: float, nodes: tuple[str, ...] = ()
    ) -> Iterator[dict[str, NodeStatus]]:
        """Yield the nodes' statuses until the caller is satisfied.

        Raises:
            NetworkError: ``deadline`` seconds have passed.
            MachineError: a process ended by itself.
        """
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            self._check_alive()
            found = {node: self.status(node) for node in nodes or tuple(self.files)}
            yield {node: answer for node, answer in found.items() if answer is not None}
            time.sleep(_POLL_SECONDS)
        raise NetworkError(
            "the federation was not done in time",
            expected=f"{deadline:.0f} s",
            found=f"{ {node: answer and answer.phase for node, answer in found.items()} }",
            where=str(self.directory),
            remedy="Read the nodes' log files there",
        )

    def wait_complete(
        self, *, deadline: float, nodes: tuple[str, ...] = ()
    ) -> dict[str, NodeStatus]:
        """Wait until the nodes hold the posterior of one and the same run and epoch."""
        for statuses in self.follow(deadline=deadline, nodes=nodes):
            if self.agree(statuses, nodes):
                return statuses
        raise AssertionError("follow ends by raising")

    def agree(self, statuses: Mapping[str, NodeStatus], nodes: tuple[str, ...] = ()) -> bool:
        """Whether these nodes (default: all) hold one posterior, learnt from all of them."""
        wanted = set(nodes or self.files)
        held = {
            (s.run, s.cohort)
            for node, s in statuses.items()
            if node in wanted and s.phase == "complete" and wanted <= set(s.cohort)
        }
        return (
            len(held) == 1
            and wanted <= set(statuses)
            and all(statuses[node].phase == "complete" for node in wanted)
        )

    def topology(self) -> Topology:
        """The neighbour graph and its tree, as the aggregator planned them."""
        text = self.command("aggregator", "status", "--json", "--dir", self._home("aggregator"))
        plan = json.loads(text)["plan"]
        parents = {member["node"]: member["parent"] or "" for member in plan["members"]}
        return Topology([(edge[0], edge[1]) for edge in plan["edges"]], parents)

    def node_directory(self, node: str) -> Path:
        """The node's own folder: configuration, identity, state."""
        return self.directory / node

    def log(self, process: str) -> Path:
        """The file with what the process wrote."""
        return self.directory / f"{process}.log"

    def command(self, module: str, *arguments: str) -> str:
        """Run one command to its end and return its output. Raises MachineError with its error."""
        done = subprocess.run(  # noqa: S603 - the project's own program
            [sys.executable, "-m", module, *arguments],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise MachineError(
                f"`{module} {arguments[0]}` failed with exit code {done.returncode}",
                found=done.stderr.strip(),
            )
        return done.stdout

    def _home(self, process: str) -> str:
        return str(self.directory / process)

    def spawn(self, name: str, module: str, *arguments: str) -> None:
        """Start a process whose output goes to its log."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - the project's own program
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _check_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise MachineError(
                    f"process {name} ended with exit code {process.returncode}",
                    where=str(self.log(name)),
                    found=_last_line(self.log(name)),
                )


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30.0
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise MachineError("the aggregator does not listen", where=str(log), found=_last_line(log))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process for a while, as a machine that hangs would (SIGSTOP, SIGCONT)."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)  # does nothing if it was killed meanwhile
