"""A classifier from noisy sums: label regression, and what its noise says of probabilities.

Targets are (onehot(y) - 1/C) Q, contrasts of the classes at equal probabilities. Regression of
them (`noisy_regression`) estimates contrasts h of the probabilities. Its noise variance kappa is
what is left of a label once h is known: the mean of Q' (diag p - p p') Q, the curvature of the
softmax likelihood. With one curvature for all rows, Newton's step from equal probabilities
(`classification.variational`) arrives at logits g = h / kappa.

At kappa = 1/C, the curvature at equal probabilities, this is the one-sweep classifier, whose odds
never exceed exp(C) to 1. Where classes separate well, kappa is small, and probabilities are as
sure as they may be: if h is Gaussian within each of two classes, g is the logit exactly (the
residual variance takes Fisher's place; least squares is linear discriminant analysis).

Kappa includes, on average, what landmarks leave uncovered of h. So predictions add to the variance
of g only what an input has beyond that average: counted twice, it makes probabilities timid
(stations' PM2.5 above a limit, epsilon 8: log loss .38 instead of .34, ECE .10 instead of .02).
"""

import numpy as np

from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.private.noisy_regression import NoisySpectrum
from edge_node.inference.private.release import NoisySums

__all__ = ["noisy_class_posterior"]


def noisy_class_posterior(
    sums: NoisySums, features: Features, evidence: Evidence
) -> ClassPosterior:
    """The classifier's posterior, around equal probabilities.

    Args:
        sums: of targets (n, q), contrasts of the classes.
        features: phi, r of them.
        evidence: label regression's noise and amplitude, from ``noisy_evidence``.

    Raises:
        NumericalError: Lambda + I / a is not positive definite.
    """
    spectrum, q = NoisySpectrum.of(sums), sums.shift.shape[1]
    noise = evidence.amplitude * (spectrum.uncovered + evidence.noise)
    curvature = min(noise, 1.0 / (q + 1))
    message = spectrum.message(noise, evidence.amplitude)
    mean = message.with_prior(evidence.amplitude).mean / curvature
    gram = Eigenbasis.of(message.precision)
    amplitude = evidence.amplitude / curvature**2
    approximation = Approximation(mean, curvature**2 * np.eye(q), gram, amplitude)
    offsets = np.full(q + 1, -np.log(q + 1.0))
    allowance = spectrum.uncovered
    return ClassPosterior(features, approximation, offsets, evidence.log_evidence, allowance)
