"""How a site's own message joins the others': with a noise and an amplitude of its own.

Both are chosen by the evidence of the site's rows given all others, whatever model of its rows the
message is of (``refinement``, ``graph_refinement``). With mu_0 and I + Lambda_0 the other sites'
product, and mu and I + Lambda the new one,

    Q            = y'R^-1 y + mu_0'(I + Lambda_0) mu_0 - mu'(I + Lambda) mu
    log evidence = -1/2 [n log(2 pi a) + log|R| + log|I + Lambda| - log|I + Lambda_0| + Q / a].
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self, TypeGuard

import numpy as np

from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.messages.evidence import LEAST_RESIDUAL, NOISE_RANGE, Evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.posterior import Posterior

__all__ = ["AROUND", "COARSE", "FINE", "WEIGHTING_ROUNDS", "Others", "other_kernel", "with_kernel"]

COARSE = tuple(8.0 ** (1 - i) for i in range(5))
"""Noises that are tried, of the global posterior's: 8 to 1/512."""

FINE = (8**-0.5, 8**0.5)
"""Noises that are tried then, of the best so far."""

AROUND = (8**-0.5, 1.0, 8**0.5)
"""Noises that are tried again, of the one before rows were weighted anew."""

WEIGHTING_ROUNDS = 3
"""Of weighting a site's rows by its own posterior, where targets are Student-t."""

_PRIOR_ROWS = 20
_ROWS_FOR_KERNEL = 50  # of a site: the evidence of fewer says little of how rough a function is


@dataclass(frozen=True)
class Others:
    """What the other sites' rows say, for a site that joins them.

    Attributes:
        belief: I + Lambda_0 and its shift.
        posterior: the global one.
        less: the log evidence that the site's rows have in it.
    """

    belief: Gaussian
    posterior: Posterior
    less: float = 0.0

    @classmethod
    def of(
        cls, others: ConditionalStatistics, own: ConditionalStatistics, posterior: Posterior
    ) -> Self:
        """From the other sites' statistics and the site's, each row by itself."""
        found = cls(others.message.with_prior(), posterior)
        plain, _ = found.judged(own, posterior.noise, amplitude=posterior.amplitude)
        return replace(found, less=plain.log_evidence)

    def likeliest(
        self,
        statistics: Callable[[Sequence[float]], Sequence[ConditionalStatistics]],
        centre: float,
        *grids: Sequence[float],
    ) -> Posterior:
        """The posterior of the likeliest noise.

        Args:
            statistics: the site's, for each s2.
            centre: a noise.
            grids: factors, of the centre and then of the best noise so far.

        Raises:
            NumericalError: no noise gives a proper model.
        """
        features = self.posterior.features
        floor = NOISE_RANGE[0] * float(features.kernel.diagonal(features.landmarks).mean())
        tried: dict[float, Posterior] = {}
        for factors in grids:
            noises = [max(centre * factor, floor) for factor in factors]
            for noise, own in zip(noises, statistics(noises), strict=True):
                with suppress(NumericalError):
                    tried[noise] = self.with_site(own, noise)
            if not tried:
                raise NumericalError("no noise explains this site's targets", where="evidence")
            centre = max(tried, key=lambda noise: tried[noise].log_evidence)
        return tried[centre]

    def judged(
        self, own: ConditionalStatistics, noise: float, *, amplitude: float | None = None
    ) -> tuple[Evidence, Gaussian]:
        """The evidence of own rows given the others', and the product of all messages.

        An amplitude that isn't given is the best one, with the shared one as if seen in
        ``_PRIOR_ROWS`` more rows, so that a site of a few rows doesn't trust them too far.
        """
        belief = self.belief * own.message
        power = self.belief.shift @ self.belief.mean - belief.shift @ belief.mean
        residual = max(own.quadratic + float(power), LEAST_RESIDUAL * own.quadratic)
        if amplitude is None:
            shared = self.posterior.amplitude
            amplitude = (residual + _PRIOR_ROWS * shared) / (own.count + _PRIOR_ROWS)
        volume = 2 * float(np.log(np.diag(belief.factor) / np.diag(self.belief.factor)).sum())
        fit = own.count * np.log(2 * np.pi * amplitude) + residual / amplitude
        log_evidence = float(-0.5 * (fit + volume + own.log_determinant))
        return Evidence(log_evidence, noise, amplitude), belief

    def with_site(self, own: ConditionalStatistics, noise: float) -> Posterior:
        """The posterior with the site's own message, for a noise s2.

        Its log evidence is the global one, less what the site's rows have in that, plus that of
        ``own``: the evidence of all rows, which compares this posterior with the global one, and
        with another one of the same site.
        """
        evidence, belief = self.judged(own, noise)
        return Posterior(
            self.posterior.features,
            belief.mean,
            belief.factor,
            evidence.amplitude,
            noise,
            self.posterior.log_evidence - self.less + evidence.log_evidence,
            precisions=self.posterior.precisions,
        )


def other_kernel(kernel: Kernel | None, features: Features, rows: int) -> TypeGuard[Kernel]:
    """Whether a site of so many rows may have ``kernel`` for its residual besides phi's own."""
    return kernel is not None and kernel != features.kernel and rows >= _ROWS_FOR_KERNEL


def with_kernel(features: Features, kernel: Kernel) -> Features:
    """Another kernel's features of the same landmarks, in the same metric."""
    return Features.build(kernel, features.landmarks, features.metric)
