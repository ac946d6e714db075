"""The daemons' program on the same rows, and the bytes that a node sends and receives for it.

Sums are taken in the ring that daemons use, so a word takes the bytes that it takes when it is
masked. Over an edge of the tree a node sends its sum and receives the total, of the same size.
Keys, framing and what the root decides are not counted; `python -m benchmarks wire` measures them.
"""

from collections.abc import Mapping

from benchmarks.accuracy.answers import Answers
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.ours import answers_by
from benchmarks.figures import Row
from edge_node.config import Floors
from edge_node.data.sources.source import MemorySource
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.simulation import completed, sizes_signed

__all__ = ["learnt"]


def learnt(case: Case) -> tuple[dict[str, Answers], Row]:
    """The answers by their way, ``shared`` and ``site``, and the facts of the run."""
    spec = case.spec
    floors = Floors.of(spec)
    sources = {name: MemorySource((part,)) for name, part in case.parts.items()}
    sizes = sizes_signed(spec, sources, floors)
    federation = MemoryFederation(list(sources), sizes=sizes, shares=True)

    async def learn(network: Network) -> Model:
        return await infer(network, sources[network.node], spec, floors=floors)

    models = completed(federation.run(learn))
    return answers_by(case, models), _facts(federation, models)


def _facts(federation: MemoryFederation, models: Mapping[str, Model]) -> Row:
    provenance = next(iter(models.values())).provenance
    return {
        "sites": len(models),
        "rounds": provenance.traversals,
        "bytes": 2 * sum(size for _, size in federation.log),
        "landmarks": provenance.landmarks,
        "told": provenance.bill.told if provenance.bill else None,
    }
