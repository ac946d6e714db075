"""A node's contribution to a sum, as words: fixed on disk before it is first masked.

Two vectors under one mask would show their difference. So whatever a node contributes to a step is
fixed once, and a restart sends it again: words without noise for the whole run, words with noise
for one epoch.
"""

import hashlib

from edge_node.arrays import Vector
from edge_node.errors import CohortRefusedError, RefusedError
from edge_node.federation.plan import Plan
from edge_node.network.base import Terms
from edge_node.network.exchange.records import RunRecords
from edge_node.network.wire.fixed_point import Limbs, from_bytes, to_bytes
from edge_node.network.wire.operation import Operation
from edge_node.network.wire.segments import Segments
from edge_node.security.disclosure.contribution import Telling
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger, Release
from edge_node.step import Step

__all__ = ["fixed_words", "noisy_words", "telling_of"]


def fixed_words(vector: Vector, segments: Segments, sequence: int, records: RunRecords) -> Limbs:
    """Words without noise, and without a check word, which depends on the step.

    Args:
        vector: the node's own, (k,).
        segments: which words it takes.
        sequence: the step's position in the run. A step that is complete needs no words any more;
            nothing is fixed for it.
        records: of the run.

    Raises:
        NumericalError: a value is not finite or too large.
        RefusedError: before a restart, the node's contribution was another one.
        MachineError: the disk is full or not writable.
    """
    words = segments.encode(vector)
    if sequence < records.frontier:
        return words
    kind = hashlib.sha256(segments.label.encode()).digest()
    if (kept := records.contribution(sequence)) is not None:
        if kept.startswith(kind):
            return from_bytes(kept[len(kind) :])
        raise RefusedError(
            "this node's contribution to the step has another length or scale than before the"
            " restart",
            where=f"step {sequence} of run {records.run}",
            remedy="Two vectors under one mask would be readable: join the next run",
        )
    records.keep_contribution(sequence, kind + to_bytes(words))
    return words


def noisy_words(
    words: Limbs,
    segments: Segments,
    noise: DiscreteGaussian,
    operation: Operation,
    plan: Plan,
    *,
    records: RunRecords,
    ledger: PrivacyLedger | None,
) -> Limbs:
    """Words with this node's share of the noise: drawn and paid for once in each epoch.

    A restart within the epoch sends the same again. Another epoch has another cohort, and its total
    is another release: it has noise of its own, and is paid for.

    Words are kept first and paid for second; only then they are returned. So whatever a crash
    leaves can be told: words that are kept may go out once they are paid for, and where neither
    is on disk nothing was sent. Words that are paid for and not kept may have been sent: noise
    is not drawn again under masks that may have been used.

    Args:
        words: the node's own, of whole numbers.
        segments: which words they are.
        noise: what the total must hold.
        operation: the step in its epoch.
        plan: the epoch's; its members share the noise, and its hash is in their masks.
        records: of the run.
        ledger: where it is paid for.

    Raises:
        RefusedError: the site's budget doesn't allow it, or there is no ledger; nothing was sent.
        CohortRefusedError: the words are paid for and lost; nothing more is sent in this epoch.
        MachineError: the disk is full or not writable; nothing was sent.
    """
    if ledger is None:
        raise RefusedError(
            "a sum with noise, and no ledger of what privacy it costs", where=str(operation)
        )
    release = Release(plan.run, plan.epoch, plan.hash, operation.step, len(plan.cohort))
    kept = records.noisy_contribution(plan.epoch, operation.sequence)
    if kept is None:
        if ledger.find(release) is not None:
            raise _lost(operation)
        noisy = segments.add(words, segments.encode(noise.share(release.cohort)))
        kept = to_bytes(noisy)
        records.keep_noisy_contribution(plan.epoch, operation.sequence, kept)
    ledger.charge(noise, release)
    return from_bytes(kept)


def _lost(operation: Operation) -> CohortRefusedError:
    return CohortRefusedError(
        "this node's contribution to a sum with noise is paid for, and its file is lost or damaged",
        where=str(operation),
        remedy="Two draws of noise under one mask would be readable: the next epoch has new masks."
        " Look after the disk",
    )


def telling_of(step: Step, vector: Vector, words: Limbs, terms: Terms) -> Telling:
    """What a node's words tell.

    Args:
        step: the step.
        vector: the node's own, (k,).
        words: the same as words, without noise.
        terms: of the sum.
    """
    return Telling(
        numbers=len(vector) if step.tells_numbers else 0,
        most=terms.get("most_numbers"),
        words=hashlib.sha256(to_bytes(words)).digest(),
        silent=not vector.any(),
    )
