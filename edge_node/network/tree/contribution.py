"""A node's contribution to a sum, as words: fixed on disk before it is first masked.

Two vectors under one mask would show their difference. So whatever a node contributes to a step is
fixed once, and a restart sends it again: words without noise for the whole run, words with noise
for one epoch.
"""

from edge_node.arrays import Vector
from edge_node.errors import RefusedError
from edge_node.network.exchange.records import RunRecords
from edge_node.network.wire import fixed_point
from edge_node.network.wire.operation import Operation
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger

__all__ = ["fixed_words", "noisy_words"]


def fixed_words(vector: Vector, sequence: int, records: RunRecords) -> fixed_point.Words:
    """Words (k, 2) without noise.

    Args:
        vector: the node's own, (k,).
        sequence: the step's position in the run. A step that is complete needs no words any more;
            nothing is fixed for it.
        records: of the run.

    Raises:
        NumericalError: a value is not finite or too large.
        RefusedError: before a restart, the node's contribution was another one.
        MachineError: the disk is full or not writable.
    """
    words = fixed_point.encode(vector)
    if sequence < records.frontier:
        return words
    if (kept := records.contribution(sequence)) is not None:
        if len(kept) == words.nbytes:
            return fixed_point.from_bytes(kept)
        raise RefusedError(
            "this node's contribution to the step has another length than before the restart",
            where=f"step {sequence} of run {records.run}",
            expected=f"{len(kept)} bytes",
            found=f"{words.nbytes} bytes",
            remedy="Two vectors under one mask would be readable: join the next run",
        )
    records.keep_contribution(sequence, fixed_point.to_bytes(words))
    return words


def noisy_words(
    words: fixed_point.Words,
    noise: DiscreteGaussian,
    operation: Operation,
    cohort: int,
    *,
    records: RunRecords,
    ledger: PrivacyLedger | None,
) -> fixed_point.Words:
    """Words (k, 2) with this node's share of the noise: drawn and paid for once in each epoch.

    A restart within the epoch sends the same again. Another epoch has another cohort, and its total
    is another release: it has noise of its own, and is paid for.

    Args:
        words: the node's own, (k, 2), on the noise's grid.
        noise: what the total must hold.
        operation: the step in its epoch.
        cohort: how many nodes share the noise.
        records: of the run.
        ledger: where it is paid for.

    Raises:
        RefusedError: the site's budget doesn't allow it, or there is no ledger; nothing was sent.
        MachineError: the disk is full or not writable.
    """
    epoch, sequence = operation.epoch, operation.sequence
    if (kept := records.noisy_contribution(epoch, sequence)) is not None:
        return fixed_point.from_bytes(kept)
    if ledger is None:
        raise RefusedError(
            "a sum with noise, and no ledger of what privacy it costs", where=str(operation)
        )
    share = fixed_point.encode(noise.share(cohort))
    ledger.charge(noise, run=operation.run, epoch=epoch, step=operation.step, cohort=cohort)
    noisy = fixed_point.add(words, share)
    records.keep_noisy_contribution(epoch, sequence, fixed_point.to_bytes(noisy))
    return noisy
