"""The program of a spec with differential privacy: rows are used in one sum only, which has noise.

Encoding, landmarks and kernel come from the spec, which must state what a run without privacy
would find out by sums. The nodes draw the sum's noise together
(`security.privacy.discrete_gaussian`), and the posterior accounts for it
(`inference.private.noisy_regression`). docs/privacy.md derives all of it.
"""

import msgspec
import numpy as np

from edge_node.config import FederationSpec, LandmarkKind, Level, PrivacySpec, Task
from edge_node.data.encoding.bounds import bounded_encoder, presumed_covariance
from edge_node.data.encoding.encoder import EncodedRows, Encoder
from edge_node.data.sources.limited import limited_rows
from edge_node.data.sources.source import Batch, Source
from edge_node.errors import ConfigurationError
from edge_node.inference.classification.classes import LabelRows
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.features.landmarks import gaussian_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import kernel_grid
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.private.noisy_classification import noisy_class_posterior
from edge_node.inference.private.noisy_regression import noisy_evidence, noisy_posterior
from edge_node.inference.private.release import NoisySums, Scales, local_release
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.network.base import Network, decide
from edge_node.program.features.candidates import AnyRows, Candidate, agree_features
from edge_node.program.features.landmarks import encode_public
from edge_node.program.provenance import provenance_of
from edge_node.program.root_decisions import read_noisy_evidence
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_cost import noise_multiplier
from edge_node.step import Content, Step

__all__ = ["infer_privately"]

_RELEASE = Step("release", Content.NOISY)
_BOUND = 2.0**62  # of a total of whole numbers: one 64-bit word each, exact


async def infer_privately(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    run: int = 0,
) -> Model:
    """Run the program at one node; arguments, result and errors as for `edge_node.program.infer`.

    Raises:
        ConfigurationError: the spec promises no privacy, public landmarks are missing, or OpenDP is
            not installed.
        RefusedError: the site's own policy or budget doesn't allow it; nothing was sent.
    """
    privacy = spec.privacy
    if privacy is None:
        raise ConfigurationError("the spec has no `[privacy]`", where=f"node {network.node}")
    encoder = bounded_encoder(spec)
    candidate = _candidate(network.node, encoder, spec, public)
    (features,) = await agree_features(network, "basis", [candidate])
    rows: AnyRows = EncodedRows(limited_rows(source, spec), encoder)
    if classes := len(spec.data.classes):
        rows = LabelRows(rows, np.full(classes, -np.log(classes)))
    sums = await _agree_release(network, rows, features, classes, privacy)
    posterior, evidence = await _agree_posterior(network, sums, features, spec.data.task)
    provenance = provenance_of(
        network,
        spec,
        candidate,
        run=run,
        learnt_in=_RELEASE,
        rows=round(sums.count),
        landmarks=len(features.landmarks),
        log_evidence=evidence.log_evidence,
        uncovered_share=_uncovered_share(sums),
    )
    encoder = msgspec.structs.replace(encoder, rows=round(sums.count))
    return Model(spec.data, encoder, posterior, provenance)


def _candidate(
    node: str, encoder: Encoder, spec: FederationSpec, public: Batch | None
) -> Candidate:
    """The spec's kernel, and landmarks that don't depend on rows."""
    (kernel,), (kind,) = kernel_grid(spec.model), spec.model.landmark_kinds
    if kind is LandmarkKind.PUBLIC:
        landmarks = encode_public(node, encoder, spec, public)
    else:
        presumed = presumed_covariance(encoder)
        landmarks = gaussian_landmarks(presumed, spec.landmark_count, spec.model.seed)
    return Candidate(kernel, kind, landmarks)


async def _agree_release(
    network: Network, rows: AnyRows, features: Features, classes: int, privacy: PrivacySpec
) -> NoisySums:
    """The one sum over rows, with noise."""
    outputs = classes - 1 if classes else None
    target = float(np.sqrt(1.0 - 1.0 / classes)) if classes else 1.0
    scales = Scales.of(features, target, outputs)
    rows_hidden = (privacy.rows_per_site or 1) if privacy.level is Level.SITE else 1
    noise = DiscreteGaussian(
        level=privacy.level,
        multiplier=noise_multiplier(privacy.epsilon, privacy.delta),
        sensitivity=scales.sensitivity * rows_hidden,
        size=scales.length,
        tolerated=privacy.curious_members,
    )
    own = local_release(rows, features, scales)
    bounds = ((scales.length, _BOUND),)
    total = await network.sum(_RELEASE, own, noise=noise, bounds=bounds)
    return NoisySums.read(total, scales, noise.total_sigma(len(network.steps[_RELEASE])))


async def _agree_posterior(
    network: Network, sums: NoisySums, features: Features, task: Task
) -> tuple[Posterior | ClassPosterior, Evidence]:
    """The posterior, with the amplitude and noise that the root found."""
    chosen = await decide(
        network, "choice", lambda: msgspec.json.encode(vars(noisy_evidence(sums)))
    )
    evidence = read_noisy_evidence(chosen, sums, step="choice")
    if task is Task.CLASSIFICATION:
        return noisy_class_posterior(sums, features, evidence), evidence
    return noisy_posterior(sums, features, evidence), evidence


def _uncovered_share(sums: NoisySums) -> float:
    """The share of the prior variance that landmarks don't cover, between 0 and 1 despite noise."""
    return float(np.clip(sums.uncovered / (sums.mean_power * sums.count), 0.0, 1.0))
