"""The program over a whole federation in this process.

The estimators, the demonstration's references and the benchmarks all run it here. Nodes are tasks
on an in-process network, which adds in the same ring as the tree does, so a simulated federation
reaches the model that daemons would reach; one node with all rows, and the federation's parts, is
the pooled reference. What all nodes compute alike is computed once (`Network.once`), so that many
small sites cost little more than one large one.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, TypeVar

from edge_node.config import FederationSpec, Floors
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.distinct import distinct_rows
from edge_node.data.sources.joined import JoinedRows
from edge_node.data.sources.rare_classes import without_rare_classes
from edge_node.data.sources.source import Batch, Source
from edge_node.data.sums.census import Census
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.features.places import agree_candidate
from edge_node.program.parts import Parts, agree_parts
from edge_node.program.plan.allowances import allowance_of
from edge_node.security.disclosure.allowance import Allowance

__all__ = ["Report", "completed", "simulate", "simulate_parts", "simulate_pooled", "sizes_signed"]

T = TypeVar("T")
Report = Callable[[str, float, int, int | None], None]
"""Called with the step that is complete, the seconds since the start, how many steps are complete,
and how many there will be at most: None before they are planned."""

_SIGNALS = 0.2  # seconds: an interrupt just before a wait is noticed only after it


def simulate(
    spec: FederationSpec,
    sources: Mapping[str, Source],
    *,
    public: Batch | None = None,
    floors: Floors | None = None,
    parts: Parts | None = None,
    allowance: Allowance | None = None,
    report: Report | None = None,
) -> dict[str, Model]:
    """Run the program once at each of several nodes, and wait for all of them.

    It may be called from anywhere, also where an event loop runs already, as in a notebook.

    Args:
        spec: what the nodes agree on.
        sources: each node's rows by its name, one node or more. One node with all rows learns
            what the federation learns, to rounding, given its parts (`simulate_pooled`).
        public: public landmarks, as rows, where the spec has any.
        floors: the fewest rows that a node gives to a sum over a group. None: those of sites with
            this spec; of a single node, none: it hides nothing from itself.
        parts: the model's parts (`simulate_parts`). None: they are agreed on.
        allowance: what the rows may tell. None: as the sizes say that the nodes would sign; of a
            single node, any number.
        report: is told of each step when it is complete.

    Returns:
        Each node's model by its name. All share one posterior; a refinement is the node's own.

    Raises:
        ConfigurationError: the spec has public landmarks, and none are given.
        DataError: the rows don't fit the schema, or there is nothing to learn from them.
        CohortRefusedError: there are too few rows, or too few of a class.
        NumericalError: the model can't be computed from the totals.
        NetworkError: ``sources`` is empty.
    """
    started, own = time.monotonic(), floors or _floors(spec, sources)
    planned: int | None = None

    def completes(step: str) -> None:
        if report is not None:
            report(step, time.monotonic() - started, len(federation.log), planned)

    def foresees(steps: int) -> None:
        nonlocal planned
        planned = steps

    async def learnt(network: Network) -> Model:
        return await infer(
            network,
            sources[network.node],
            spec,
            public=public,
            floors=own,
            parts=parts,
            allowance=allowance,
            foresees=foresees,
        )

    sizes = {} if allowance else sizes_signed(spec, sources, own)
    federation = MemoryFederation(list(sources), completes=completes, sizes=sizes, shares=True)
    return completed(federation.run(learnt))


def simulate_parts(
    spec: FederationSpec,
    sources: Mapping[str, Source],
    *,
    public: Batch | None = None,
    floors: Floors | None = None,
    allowance: Allowance | None = None,
) -> Parts:
    """The parts on which several nodes agree; arguments and errors as for `simulate`."""
    return _agreed(spec, sources, public=public, floors=floors, allowance=allowance)[0]


def _agreed(
    spec: FederationSpec,
    sources: Mapping[str, Source],
    *,
    public: Batch | None,
    floors: Floors | None,
    allowance: Allowance | None,
) -> tuple[Parts, Allowance]:
    """The parts on which several nodes agree, and what their rows may tell."""
    own = floors or _floors(spec, sources)

    async def agreed(network: Network) -> tuple[Parts, Allowance]:
        source = without_rare_classes(sources[network.node], spec.data, own.category)
        may_tell = allowance or Allowance.unlimited()

        def check(census: Census) -> None:
            nonlocal may_tell
            may_tell = allowance or allowance_of(network, census, spec)

        recounting, parts = await agree_parts(
            network,
            source,
            spec,
            public=public,
            floors=own,
            check=check,
            allowance=lambda: may_tell,
        )
        schedule = parts.schedule(spec, may_tell)
        fit, candidate, _, _ = await agree_candidate(
            recounting,
            EncodedRows(source, parts.encoder),
            parts.landmarks,
            spec,
            schedule,
            fewest=own.landmark,
            alike=own.landmark,
            kept=parts.kept,
            bases=parts.bases,
        )
        parts = parts.with_centroids(candidate)
        return parts.with_moved(fit, candidate) if schedule.moves else parts, may_tell

    federation = MemoryFederation(
        list(sources), sizes=sizes_signed(spec, sources, own), shares=True
    )
    return next(iter(completed(federation.run(agreed)).values()))


def simulate_pooled(
    spec: FederationSpec,
    sources: Mapping[str, Source],
    *,
    public: Batch | None = None,
    floors: Floors | None = None,
    allowance: Allowance | None = None,
) -> Model:
    """What one machine learns from the rows that several nodes give, given their parts: what the
    nodes learn, to rounding. Arguments and errors as for `simulate`.
    """
    own = floors or _floors(spec, sources)
    rows = [without_rare_classes(each, spec.data, own.category) for each in sources.values()]
    parts, may_tell = _agreed(spec, sources, public=public, floors=own, allowance=allowance)
    pooled = {"pooled": JoinedRows(tuple(rows))}
    return simulate(spec, pooled, public=public, parts=parts, allowance=may_tell)["pooled"]


def sizes_signed(
    spec: FederationSpec, sources: Mapping[str, Source], floors: Floors
) -> dict[str, int]:
    """As each of several nodes would sign its rows; a single one hides nothing from itself."""
    if len(sources) < 2:
        return {}
    rows = {
        name: distinct_rows(without_rare_classes(each, spec.data, floors.category), spec.data)
        for name, each in sources.items()
    }
    return {name: 1 << (number.bit_length() - 1) for name, number in rows.items() if number}


def _floors(spec: FederationSpec, sources: Mapping[str, Source]) -> Floors:
    """Those of sites; none for a single node with all rows."""
    return Floors.of(spec) if len(sources) > 1 else Floors.none()


def completed(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work; in a thread of its own where a loop runs (notebooks).

    An interrupt ends the work when it waits next, and is raised. (Not where the running loop is
    that of ``asyncio.run``: its own handler takes the first interrupt, for its own task.)
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with closing(asyncio.new_event_loop()) as loop, ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the pool's thread: an interrupt while it starts would lose it
        task = loop.create_task(work)
        try:
            future = pool.submit(loop.run_until_complete, task)
            while not wait([future], timeout=_SIGNALS).done:
                pass
            return future.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            raise
