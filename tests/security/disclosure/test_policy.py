"""What a site's policy lets pass, and what it refuses."""

from pathlib import Path

import pytest

from edge_node.config import Level, PrivacyPolicy, PrivacySpec, SitePolicy, Task, load_node_config
from edge_node.errors import CohortRefusedError, ConfigurationError, RefusedError
from edge_node.security.disclosure.policy import check_cohort, check_privacy, check_task


def test_a_cohort_that_is_large_enough() -> None:
    """With anybody, where no peers are named."""
    check_cohort(SitePolicy(), "a", "abc")
    check_cohort(SitePolicy(min_cohort=4, peers=("b", "c", "d", "e")), "a", "abcd")


@pytest.mark.parametrize(
    ("policy", "cohort", "complaint"),
    [
        (SitePolicy(), "ab", "expected a cohort of at least 3, found a, b"),
        (SitePolicy(min_cohort=4), "abc", "expected a cohort of at least 4"),
        (SitePolicy(peers=("b", "c")), "abcxy", r"expected b, c, found x, y"),
    ],
)
def test_a_cohort_that_is_refused(policy: SitePolicy, cohort: str, complaint: str) -> None:
    """It is too small, or strangers are in it; the node counts as one of its peers."""
    with pytest.raises(CohortRefusedError, match=complaint):
        check_cohort(policy, "a", cohort)


def test_a_task() -> None:
    """Any, or those that are named."""
    check_task(SitePolicy(), Task.REGRESSION)
    check_task(SitePolicy(tasks=(Task.REGRESSION,)), Task.REGRESSION)
    with pytest.raises(RefusedError, match="found classification"):
        check_task(SitePolicy(tasks=(Task.REGRESSION,)), Task.CLASSIFICATION)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("min_cohort = 2", "at least 3, the hard floor"),
        ('peers = ["Not A Name"]', "can't have this name"),
        ('peers = ["a", "b"]', "fewer than `policy.min_cohort`"),
        ("minimum_rows = -1", "must not be negative"),
        ('differencing = "maybe"', "differencing"),
        ("min_cohorts = 3", "min_cohorts"),
        (
            '[policy.privacy]\nlevel = "record"\nepsilon = -1.0\ndelta = 1e-6',
            "epsilon` must be positive",
        ),
        (
            '[policy.privacy]\nlevel = "record"\nepsilon = 1.0\ndelta = 1e-6\nleast_honest = 0',
            "least_honest` must be at least 1: this site itself",
        ),
    ],
)
def test_a_policy_that_could_not_be_meant(tmp_path: Path, line: str, complaint: str) -> None:
    """The node doesn't start with it."""
    (tmp_path / "node.toml").write_text(f'name = "a"\ndata = "rows.csv"\n[policy]\n{line}\n')
    with pytest.raises(ConfigurationError, match=complaint):
        load_node_config(tmp_path / "node.toml")


@pytest.mark.parametrize(
    ("demanded", "offered", "complaint"),
    [
        (None, None, ""),
        (Level.RECORD, None, r'expected `\[privacy\]` with level = "record".*, found none'),
        (Level.RECORD, Level.RECORD, ""),
        (Level.RECORD, Level.SITE, ""),
        (Level.SITE, Level.RECORD, 'found level = "record"'),
    ],
)
def test_weaker_privacy_is_refused(
    demanded: Level | None, offered: Level | None, complaint: str
) -> None:
    """A site's rows include each row, so hiding the site is more."""
    demand = demanded and PrivacyPolicy(level=demanded, epsilon=1.0, delta=1e-6)
    promise = offered and PrivacySpec(level=offered, epsilon=1.0, delta=1e-6)
    if not complaint:
        check_privacy(SitePolicy(privacy=demand), promise)
    else:
        with pytest.raises(RefusedError, match=complaint):
            check_privacy(SitePolicy(privacy=demand), promise)


@pytest.mark.parametrize(
    ("curious", "cohort", "least", "fits"),
    [
        (1, 4, None, True),  # three of four must be honest, and the site leaves that to the spec
        (1, 4, 3, True),
        (1, 4, 2, False),
        (2, 4, 2, True),
        (3, 4, 1, True),
        (5, 4, 1, True),  # cohorts of four are refused by the noise itself; larger ones may do
    ],
)
def test_a_site_counts_on_so_many_honest_members(
    curious: int, cohort: int, least: int | None, fits: bool
) -> None:
    """Of any cohort that is large enough for it, N - `curious_members` must be honest."""
    demand = PrivacyPolicy(level=Level.RECORD, epsilon=1.0, delta=1e-6, least_honest=least)
    policy = SitePolicy(min_cohort=cohort, privacy=demand)
    promise = PrivacySpec(level=Level.RECORD, epsilon=1.0, delta=1e-6, curious_members=curious)
    if fits:
        check_privacy(policy, promise)
    else:
        with pytest.raises(RefusedError, match=r"2 honest members.*at least 3 must be"):
            check_privacy(policy, promise)


def test_a_least_number_of_rows_can_not_be_told_privately() -> None:
    """So the site must say which of the two it wants."""
    promise = PrivacySpec(level=Level.RECORD, epsilon=1.0, delta=1e-6)
    check_privacy(SitePolicy(minimum_rows=100), None)
    with pytest.raises(RefusedError, match=r"nobody counts rows.*expected `minimum_rows = 0`"):
        check_privacy(SitePolicy(minimum_rows=100), promise)
