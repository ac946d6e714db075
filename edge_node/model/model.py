"""What a node holds when the program has run: encoder, posterior, and where they come from.

A model answers queries by itself, even with the aggregator and all peers down. On disk it is a
NumPy archive without pickles, replaced atomically. The site's own rows, which refine the model, lie
in a second archive beside it, and are for this site alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec, Task, Which
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch
from edge_node.errors import DataError
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.graph_refinement import ClassGraphRefinement
from edge_node.inference.classification.sites.refinement import ClassRefinement
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.regression.graph_refinement import GraphRefinement
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.answers import (
    class_probabilities,
    count_moments_and_bounds,
    time_predictions,
)
from edge_node.model.archive import FORMAT, read_archive, refusing_damage, write_archive
from edge_node.model.own import OwnPosterior, own_path, read_own, write_own
from edge_node.model.predictions import (
    ClassPredictions,
    IntervalPredictions,
    Predictions,
    joined,
)
from edge_node.model.provenance import Notes, Provenance
from edge_node.security.files import remove

__all__ = ["Model"]

_MANY = 10  # rows of a class, as its share would have it, of which one should be predicted


@dataclass(frozen=True)
class Model:
    """Encoder and posterior under one schema, with their provenance.

    ``refinement`` is this site's own, where it has one (of a regression, or of classes);
    ``prefers_site`` says whether it answers unless another posterior is asked for. ``notes`` are an
    estimator's.
    """

    data: DataSpec
    encoder: Encoder
    posterior: Posterior | ClassPosterior | LatentPosterior
    provenance: Provenance
    refinement: OwnPosterior | None = None
    prefers_site: bool = False
    notes: Notes | None = None

    def predict(
        self,
        batch: Batch,
        *,
        level: float = 0.95,
        which: Which = Which.AUTO,
        times: Sequence[float] = (),
    ) -> Predictions:
        """Predict a batch's targets.

        Args:
            batch: raw rows, as `data.sources.source` reads them; a target is ignored.
            level: probability that an interval holds a new observation (not of classes).
            which: the posterior that answers; by default the one that the site prefers. Rows far
                from all of the site's own are always answered by the global one.
            times: at which the probability is asked that the event is later (survival).

        Raises:
            DataError: ``level`` is not strictly between 0 and 1, or this node has no refinement;
                ``times`` are not positive, or the target is no time.
        """
        return self.predict_all([batch], level=level, which=which, times=times)

    def predict_all(
        self,
        batches: Iterable[Batch],
        *,
        level: float = 0.95,
        which: Which = Which.AUTO,
        times: Sequence[float] = (),
    ) -> Predictions:
        """As `predict`, of one batch or more after the other; what is warned of is all rows'."""
        if not 0 < level < 1:
            raise DataError(
                "not a probability", where="level", expected="0 < level < 1", found=str(level)
            )
        self._check_times(times)
        refinement, parts = self._answering(which), []
        for batch in batches:
            inputs = self.encoder.encode(batch)
            warnings = (*self.provenance.warnings, *self.encoder.warnings_for(batch))
            parts.append(self._answers(inputs, refinement, level, times, warnings))
        answers = joined(parts)
        if not isinstance(self.posterior, ClassPosterior) or refinement is not None:
            return answers  # a site may have no rows of a class
        assert isinstance(answers, ClassPredictions)  # noqa: S101 - of the same task
        absent = self._never_predicted(self.posterior, answers.probabilities)
        return replace(answers, warnings=answers.warnings + absent)

    def _answers(
        self,
        inputs: Matrix,
        refinement: OwnPosterior | None,
        level: float,
        times: Sequence[float] = (),
        warnings: tuple[str, ...] = (),
    ) -> Predictions:
        """Predictions at encoded inputs (n, d)."""
        if isinstance(self.posterior, ClassPosterior):
            assert not isinstance(refinement, Refinement | GraphRefinement)  # noqa: S101 - of the same task
            probabilities = (refinement or self.posterior).predict_proba(inputs)
            return ClassPredictions(self.data.classes, probabilities, warnings)
        if isinstance(self.posterior, LatentPosterior):
            return self._through_likelihood(self.posterior, inputs, level, times, warnings)
        assert not isinstance(refinement, ClassRefinement | ClassGraphRefinement)  # noqa: S101 - of the same task
        mean, variance, widths = self._observation(inputs, refinement, level)
        mean, deviation = self.encoder.unscale(mean, np.sqrt(variance))
        half_width = widths * deviation
        return IntervalPredictions(mean, deviation, mean - half_width, mean + half_width, warnings)

    def _through_likelihood(
        self,
        posterior: LatentPosterior,
        inputs: Matrix,
        level: float,
        times: Sequence[float],
        warnings: tuple[str, ...],
    ) -> Predictions:
        """Predictions of counts, of ordered classes, of times."""
        if self.data.task is Task.SURVIVAL:
            return time_predictions(posterior, inputs, level, times, warnings)
        if self.data.task is Task.COUNT:
            answers = count_moments_and_bounds(posterior, inputs, level)
            return IntervalPredictions(*answers, warnings)
        probabilities = class_probabilities(posterior, inputs)
        return ClassPredictions(self.data.classes, probabilities, warnings, ordered=True)

    def _check_times(self, times: Sequence[float]) -> None:
        if times and self.data.task is not Task.SURVIVAL:
            raise DataError(
                "survival at a time is for times to an event",
                where="times",
                expected='a model of `task = "survival"`',
                found=str(self.data.task),
            )
        if not all(0 < time < float("inf") for time in times):
            raise DataError(
                "not a time", where="times", expected="positive numbers", found=str(list(times))
            )

    def _never_predicted(self, posterior: ClassPosterior, probabilities: Matrix) -> tuple[str, ...]:
        """A sentence for each class that is most probable in none of many rows (n, C)."""
        predicted = np.bincount(probabilities.argmax(axis=1), minlength=len(self.data.classes))
        shares = np.exp(posterior.offsets)
        return tuple(
            f"class {label!r} is predicted for none of {len(probabilities)} rows; of the rows that"
            f" the model was learnt from, {share:.0%} have it"
            for label, share, rows in zip(self.data.classes, shares, predicted, strict=True)
            if not rows and share * len(probabilities) >= _MANY
        )

    def latent(self, batch: Batch) -> tuple[Matrix, Matrix]:
        """Mean and sd of the latent function that all nodes share, at a batch.

        Standardised units, (n, outputs) each.
        """
        inputs = self.encoder.encode(batch)
        if isinstance(self.posterior, ClassPosterior):
            contrasts, covariance = self.posterior.latent(inputs)
            return contrasts, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        if isinstance(self.posterior, LatentPosterior):
            mean, variance = self.posterior.latent(inputs)
        else:
            mean, variance = self.posterior.predict(inputs)
        return mean[:, None], np.sqrt(variance)[:, None]

    def _answering(self, which: Which) -> OwnPosterior | None:
        """The refinement, if it is asked for or preferred; else None."""
        refinement = self.refinement
        if which is Which.SITE and refinement is None:
            raise DataError(
                "this node holds no posterior of its own",
                where="posterior",
                expected="auto or global",
                found="site",
                remedy="It takes `model.site_refinement`, for a regression or for classes",
            )
        if which is Which.GLOBAL or refinement is None:
            return None
        return refinement if which is Which.SITE or self.prefers_site else None

    def _observation(
        self, inputs: Matrix, refinement: Refinement | GraphRefinement | None, level: float
    ) -> tuple[Vector, Vector, Vector]:
        """Mean and variance (n,) of new observations, in standardised units, and half the width
        (n,) of intervals of probability ``level``, in standard deviations.
        """
        assert isinstance(self.posterior, Posterior)  # noqa: S101 - classes went elsewhere
        if refinement is None:
            mean, variance = self.posterior.predict(inputs)
            widths = np.full(len(mean), self.posterior.calibration.half_width(level))
            return mean, variance + self.posterior.noise_variance, widths
        mean, variance, answered = refinement.predict(inputs)
        variance += refinement.noise_variance
        widths = np.full(len(mean), refinement.posterior.calibration.half_width(level))
        if not answered.all():
            shared = self._observation(inputs[~answered], None, level)
            for each, part in zip((mean, variance, widths), shared, strict=True):
                each[~answered] = part
        return mean, variance, widths

    def save(self, path: Path) -> None:
        """Write the model and, beside it, the site's refinement, atomically. Raises MachineError.

        Without a refinement, one that an earlier model left is removed.
        """
        header = {
            "format": FORMAT,
            "data": msgspec.to_builtins(self.data),
            "encoder": self.encoder.to_dict(),
            "provenance": msgspec.to_builtins(self.provenance),
            "notes": msgspec.to_builtins(self.notes),
        }
        text, own = msgspec.json.encode(header), own_path(path)
        if self.refinement is not None:
            write_own(own, text, self.refinement, prefers_site=self.prefers_site)
        numbers = np.frombuffer(text, dtype=np.uint8)
        write_archive(path, {"header": numbers, **self.posterior.to_arrays()})
        if self.refinement is None:
            remove(own)  # an earlier model's rows

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read a model back.

        Raises:
            DataError: there is none, or the file is damaged or of another version.
        """
        with refusing_damage(path):
            arrays = read_archive(path)
            text = arrays.pop("header").tobytes()
            header = msgspec.json.decode(text)
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']}")
            data = msgspec.convert(header["data"], DataSpec)
            posterior = _POSTERIORS.get(data.task, LatentPosterior).from_arrays(arrays)
            encoder = Encoder.from_dict(header["encoder"])
            provenance = msgspec.convert(header["provenance"], Provenance)
            notes = msgspec.convert(header["notes"], Notes | None)
            shared = cls(data, encoder, posterior, provenance, notes=notes)
            shared._check_answer(None)
        with refusing_damage(own_path(path)):
            refinement, prefers = read_own(own_path(path), text, posterior)
            if refinement is not None:
                shared._check_answer(refinement)
        return replace(shared, refinement=refinement, prefers_site=prefers)

    def _check_answer(self, refinement: OwnPosterior | None) -> None:
        """Answer the average row: what has other shapes, or no numbers, can't. Raises ValueError,
        or whatever the answer does.
        """
        average = np.zeros((1, len(self.encoder.feature_names)))
        with np.errstate(all="ignore"):
            answers = self._answers(average, refinement, level=0.5)
        for values in vars(answers).values():
            if isinstance(values, np.ndarray) and not np.isfinite(values).all():
                raise ValueError("numbers that are not finite")


_POSTERIORS: Mapping[Task, type[Posterior] | type[ClassPosterior]] = {
    Task.REGRESSION: Posterior,
    Task.CLASSIFICATION: ClassPosterior,
}
"""What a model's archive holds, by task; of all others, a `LatentPosterior`."""
