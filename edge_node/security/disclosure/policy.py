"""Whether a site's policy lets it take part: pure functions that raise or return.

The policy stands in the site's own node file. What it forbids is refused here, before anything is
masked; nothing that a plan or a federation's spec says can change that.
"""

from collections.abc import Iterable

from edge_node.config import FederationSpec, PrivacySpec, SitePolicy, Task
from edge_node.errors import CohortRefusedError, RefusedError

__all__ = ["check_cohort", "check_disclosure", "check_privacy", "check_task"]

_WHERE = "[policy] of node.toml"


def check_cohort(policy: SitePolicy, node: str, cohort: Iterable[str]) -> None:
    """Check that a node may add its part to sums over a cohort.

    Args:
        policy: the node's.
        node: its name.
        cohort: the names of all nodes in the sums, its own among them.

    Raises:
        CohortRefusedError: the cohort is too small, or a stranger is in it.
    """
    members = frozenset(cohort)
    if len(members) < policy.min_cohort:
        raise CohortRefusedError(
            f"{node} takes part in no sum over so few nodes",
            where=_WHERE,
            expected=f"a cohort of at least {policy.min_cohort}",
            found=", ".join(sorted(members)),
            remedy="Wait for more nodes, or lower `min_cohort`",
        )
    strangers = members - {node, *policy.peers} if policy.peers else frozenset()
    if strangers:
        raise CohortRefusedError(
            f"{node} takes part in no sum with nodes that are not its `peers`",
            where=_WHERE,
            expected=", ".join(policy.peers),
            found=", ".join(sorted(strangers)),
            remedy="Add them to `peers`, or wait for a plan without them",
        )


def check_task(policy: SitePolicy, task: Task) -> None:
    """Check that a node may take part in this kind of learning at all. Raises RefusedError."""
    if policy.tasks and task not in policy.tasks:
        raise RefusedError(
            "this site does not take part in such a task",
            where=_WHERE,
            expected=", ".join(policy.tasks),
            found=task,
            remedy="Add it to `tasks`, and start the node again",
        )


def check_disclosure(policy: SitePolicy, spec: FederationSpec) -> None:
    """Check that a federation lets rows tell no more than a site allows.

    A run's sums are planned from the spec, for all sites alike. So a site that allows less takes
    part in nothing until the spec allows less, too. With differential privacy noise protects what
    is told, and there is nothing to check.

    Raises:
        RefusedError: it lets them tell more, or thinks of fewer members who pool what they know.
    """
    if spec.privacy is None and spec.most_told > policy.most_told:
        raise RefusedError(
            "the federation lets rows tell more than this site allows",
            where=_WHERE,
            expected=f"at most {policy.most_told:g} numbers per cell of data",
            found=f"`most_told = {spec.most_told:g}` in the federation's spec",
            remedy="Ask the federation's operator for less, or raise `most_told` of this site",
        )
    if spec.privacy is None and spec.coalition < policy.coalition:
        raise RefusedError(
            "the federation is planned for fewer members who pool what they know than this site"
            " demands",
            where=_WHERE,
            expected=f"`coalition` of at least {policy.coalition}",
            found=f"`coalition = {spec.coalition}` in the federation's spec",
            remedy="Ask the federation's operator for more, or lower `coalition` of this site",
        )


def check_privacy(policy: SitePolicy, promise: PrivacySpec | None) -> None:
    """Check that a federation promises as much differential privacy as a site demands.

    A private run counts no rows, so a site may not demand a least number of them. Whether the site
    can afford the run is for its ledger to say: `security.privacy.privacy_ledger`.

    Args:
        policy: the site's.
        promise: the spec's; None: no privacy.

    Raises:
        RefusedError: it promises less; or it needs more honest members than the site counts on, in
            any cohort that is large enough for the site; or the site demands a least number of
            rows, and a private run counts none.
    """
    if promise is not None and policy.minimum_rows:
        raise RefusedError(
            "with differential privacy nobody counts rows before they are summed",
            where=_WHERE,
            expected="`minimum_rows = 0`",
            found=str(policy.minimum_rows),
            remedy="Take it out: noise hides few rows as well as many",
        )
    demand = policy.privacy
    if demand is None:
        return
    if promise is not None and promise.level.covers(demand.level):
        _check_honest(policy.min_cohort, demand.least_honest, promise)
        return
    raise RefusedError(
        "this site takes part in sums with differential privacy only, and the spec promises less",
        where=_WHERE,
        expected=f'`[privacy]` with level = "{demand.level}" in the federation\'s spec',
        found=f'level = "{promise.level}"' if promise else "none",
        remedy="Ask the federation's operator, or change `[policy.privacy]`",
    )


def _check_honest(min_cohort: int, least: int | None, promise: PrivacySpec) -> None:
    """Check what holds for any cohort; what depends on its size is for the ledger to check."""
    needed = promise.honest(min_cohort)
    if least is not None and needed > least:
        raise RefusedError(
            "noise would hide this site's rows only if more members are honest than it counts on",
            where=_WHERE,
            expected=f"noise that {least} honest members make, this one among them"
            " (`privacy.least_honest`)",
            found=f"at least {needed} must be honest",
            remedy="Ask the federation's operator to raise `privacy.curious_members`",
        )
