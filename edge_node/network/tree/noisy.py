"""A node's contribution to a sum with noise: drawn, paid for and fixed once in each epoch."""

from edge_node.errors import RefusedError
from edge_node.network.tree.records import RunRecords
from edge_node.network.wire import fixed_point
from edge_node.network.wire.operation import Operation
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger

__all__ = ["noisy_words"]


def noisy_words(
    words: fixed_point.Words,
    noise: DiscreteGaussian,
    operation: Operation,
    cohort: int,
    *,
    records: RunRecords,
    ledger: PrivacyLedger | None,
) -> fixed_point.Words:
    """Words with this node's share of the noise.

    A restart within the epoch sends the same again. Another epoch has another cohort, and its total
    is another release: it has noise of its own, and is paid for.

    Args:
        words: the node's own sum, on the noise's grid.
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
