"""Which factor graphs of a field have messages that converge: Vecchia's, and finite elements.

Both make a sparse posterior of the same kind of field, with a factor that each device owns. The
finite elements are those of Lindgren, Rue & Lindstrom 2011, section 2.3, for alpha = 2 (a Matern
field with nu = 1): with C the areas of devices and G the stiffness of the triangles between them,

    (kappa^2 C + G) x ~ N(0, C / tau^2),    kappa = sqrt(8) / range,    tau^2 = 1 / (4 pi kappa^2).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh
from scipy.spatial import Delaunay

from benchmarks.field.drawn import NOISE, Exact, a_field, drawn, in_a_square
from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.inference.fields.fleet import graph_of
from edge_node.inference.fields.quiet import Quiet, Talk
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Messages, respond
from edge_node.inference.messages.propagation.schedules import State, Synchronous
from edge_node.inference.messages.propagation.solve import marginals

__all__ = ["measure_priors"]

_SETTINGS = ((0.0, 0.5), (0.005, 0.5), (0.02, 0.5), (0.02, 0.2), (0.05, 0.5), (0.05, 0.2))
_TOLERANCE = 1e-5  # of the residual
_MOST = 400
_EVERY = 5  # steps between two looks
_LOST = 1e8  # a residual from which nothing comes back


def measure_priors(devices: int) -> Iterator[Row]:
    """Steps until the residual is small, of three schedules, or how they end."""
    for own, measuring in _SETTINGS:
        fleet, _ = drawn(devices, measuring=measuring, samples=0, field=a_field(own))
        setting = {"prior": "Vecchia", "own": own, "measuring": measuring}
        yield _row(devices, setting, graph_of(fleet), Exact(fleet).precision)
    for measuring in (0.5, 0.2):
        graph, A = _finite_elements(devices, measuring)
        yield _row(devices, {"prior": "finite elements", "measuring": measuring}, graph, A)


def _row(devices: int, setting: Row, graph: FactorGraph, A: Any) -> Row:
    plain, damped = Synchronous(), Synchronous(0.3)
    quiet = Quiet(0, tolerance=1e-3 * _TOLERANCE, lost=0.2)
    start = _start(graph)
    return {
        "part": "prior", "devices": devices, **setting, "walks": _walk_radius(A),
        "together": _end(lambda state: plain.step(graph, state), State(start.inbox), graph),
        "damped": _end(lambda state: damped.step(graph, state), State(start.inbox), graph),
        "quiet": _end(lambda state: quiet.step(graph, state), start, graph),
    }  # fmt: skip


def _start(graph: FactorGraph) -> Talk:
    """Everybody takes the others for N(0, 1)."""
    (family,) = graph.families
    heard = Messages.flat(family.scope.shape, 1, graph.shift.shape[-1])
    heard = Messages(np.ones_like(heard.precision), heard.shift)
    nobody = np.zeros(graph.size, dtype=np.intp)
    return Talk(inbox=(respond(family, heard),), heard=heard, spoken=nobody)


def _end(step: Callable[[Any], Any], state: Any, graph: FactorGraph) -> str:
    """After how many steps the residual is small; "diverges", or what it is in the end."""
    residual = np.inf
    with np.errstate(all="ignore"):
        for steps in range(1, _MOST + 1):
            state = step(state)
            if steps % _EVERY:
                continue
            residual = graph.residual(marginals(graph, state.inbox)[0])
            if residual < _TOLERANCE:
                return str(steps)
            if not residual < _LOST:
                return "diverges"
    return f"{residual:.0e}"


def _walk_radius(A: Any) -> float:
    """The spectral radius of the absolute partial correlations: below 1, walk-summable."""
    scale = sparse.diags_array(1.0 / np.sqrt(A.diagonal()))
    absolute = abs(sparse.eye_array(A.shape[0]) - scale @ A @ scale)
    return float(eigsh(absolute, k=1, return_eigenvectors=False, tol=1e-4)[0])


def _finite_elements(devices: int, measuring: float) -> tuple[FactorGraph, Any]:
    random = np.random.default_rng(0)
    kappa = np.sqrt(8.0) / 10.0
    area, G = _elements(in_a_square(devices, random))
    K = sparse.csr_array(sparse.diags_array(kappa**2 * area) + G)
    R = 4.0 * np.pi * kappa**2 * area
    own = np.where(random.random(devices) < measuring, 1.0 / NOISE, 0.0)
    scope, design = _slots(K)
    target = np.zeros((devices, 1, 1))
    stars = Observations(scope, design[:, :, None, None], target, R[:, None, None])
    shift = (own * random.normal(size=devices))[:, None, None]
    A = sparse.csc_array(K.T @ sparse.diags_array(1.0 / R) @ K + sparse.diags_array(own))
    return FactorGraph(own[:, None, None], shift, (stars,)), A


def _elements(places: Matrix) -> tuple[Vector, Any]:
    """Areas (n,) and stiffness (n, n) of linear elements on Delaunay's triangles."""
    corners = Delaunay(places).simplices.astype(np.intp)
    edges = places[np.roll(corners, -2, axis=1)] - places[np.roll(corners, -1, axis=1)]
    surface = 0.5 * np.abs(np.linalg.det(edges[:, :2]))
    stiffness = np.einsum("tik,tjk->tij", edges, edges) / (4.0 * surface[:, None, None])
    thirds = np.repeat(surface / 3.0, 3)
    area: Vector = np.bincount(corners.ravel(), thirds, len(places)).astype(np.float64)
    ends = np.repeat(corners, 3, axis=1).ravel(), np.tile(corners, 3).ravel()
    shape = len(places), len(places)
    return area, sparse.csr_array(sparse.coo_array((stiffness.ravel(), ends), shape=shape))


def _slots(K: Any) -> tuple[Any, Matrix]:
    """Each row's variables (n, a), its own first, and their coefficients (n, a)."""
    rows, columns = K.nonzero()
    values = np.asarray(K[rows, columns])
    order = np.lexsort((rows != columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    counts = np.bincount(rows)
    slot = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    scope = np.full((len(counts), counts.max()), -1, dtype=np.intp)
    design = np.zeros(scope.shape)
    scope[rows, slot], design[rows, slot] = columns, values
    return scope, design
