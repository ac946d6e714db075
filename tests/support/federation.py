"""A federation of real processes, and what one machine would learn from its rows."""

import io
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from threading import Lock

import msgspec
import numpy as np

from aggregator.cli import cli as aggregator_cli
from edge_node import console
from edge_node.cli import cli as edge_node_cli
from edge_node.config import DataSpec, FederationSpec, ModelSpec
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.demo.federation import LocalFederation
from edge_node.errors import MachineError
from edge_node.model.model import Model
from edge_node.program.simulation import simulate_pooled

__all__ = ["Federation", "assert_pooled", "model_of"]

_COMMAND_LINES = {"aggregator": aggregator_cli, "edge_node": edge_node_cli}
_ANSWERED_HERE = {"enrol", "init", "privacy", "status", "token"}
_ONE_AT_A_TIME = Lock()  # standard output is the process's


class Federation(LocalFederation):
    """As the demonstration's: aggregator and nodes are processes.

    The commands that set up and ask spare theirs: the same command lines are read and answered in
    the test's own process.
    """

    def enrol_all(self, *nodes: str) -> None:
        """Create the federation, start its aggregator, and enrol these nodes (default: all)."""
        self.create()
        self.start_aggregator()
        for node in nodes or self.files:
            self.enrol(node)

    def start_nodes(self, *nodes: str) -> None:
        """Start these nodes (default: all), one after the other."""
        for node in nodes or self.files:
            self.start_node(node)

    def command(self, module: str, *arguments: str) -> str:
        """Run one command to its end and return its output. Raises MachineError with its error."""
        if arguments[0] not in _ANSWERED_HERE:
            return super().command(module, *arguments)
        out, err = io.StringIO(), io.StringIO()
        with _ONE_AT_A_TIME, redirect_stdout(out), redirect_stderr(err):
            try:
                console.main(_COMMAND_LINES[module], arguments, program=module)
            except SystemExit as end:
                code = end.code
        if code:
            raise MachineError(
                f"`{module} {arguments[0]}` failed with exit code {code}", found=err.getvalue()
            )
        return out.getvalue()


def model_of(federation: LocalFederation, node: str) -> Model:
    """The posterior on a node's disk."""
    return Model.load(NodePaths(federation.node_directory(node)).model)


def assert_pooled(federation: LocalFederation, nodes: Iterable[str]) -> None:
    """Each of these nodes holds the posterior that one machine learns from their rows, given the
    parts on which they agree.
    """
    cohort, spec = tuple(sorted(nodes)), federation.spec
    rows = tuple((node, federation.files[node].read_text()) for node in cohort)
    limits = (spec.most_told, spec.coalition)
    pooled = _learnt(rows, msgspec.json.encode(spec.data), msgspec.json.encode(spec.model), limits)
    (batch,) = open_source(federation.files[cohort[0]], spec.data).batches()
    mean, sd = pooled.latent(batch)
    for node in cohort:
        model = model_of(federation, node)
        assert model.provenance.cohort == cohort
        theirs = model.latent(batch)
        np.testing.assert_allclose(theirs[0], mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)


@cache
def _learnt(
    rows: tuple[tuple[str, str], ...], data: bytes, model: bytes, limits: tuple[float, int]
) -> Model:
    """The pooled posterior of each node's file; the same rows are learnt from once."""
    spec = FederationSpec(
        name="pooled",
        data=msgspec.json.decode(data, type=DataSpec),
        model=msgspec.json.decode(model, type=ModelSpec),
        most_told=limits[0],
        coalition=limits[1],
    )
    with tempfile.TemporaryDirectory() as folder:
        sources = {}
        for node, text in rows:
            file = Path(folder) / f"{node}.csv"
            file.write_text(text)
            sources[node] = open_source(file, spec.data)
        return simulate_pooled(spec, sources)
