"""A site that demands more rows than the federation has: it says so, before a value is summed."""

import pytest

from edge_node.config.paths import NodePaths
from tests.system.conftest import Make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_site_that_demands_more_rows_refuses_by_name(make_federation: Make) -> None:
    """After the counts, and with what it demands and what came; no node has a posterior."""
    federation = make_federation(nodes=3)
    federation.enrol_all()
    demanding = "hospital-c"
    config = NodePaths(federation.node_directory(demanding)).config
    text = config.read_text()
    assert "minimum_rows = 0" in text
    config.write_text(text.replace("minimum_rows = 0", "minimum_rows = 1000000"))
    federation.start_nodes()
    for statuses in federation.follow(deadline=120):
        reason = statuses[demanding].reason if demanding in statuses else ""
        if "at least 1000000" in reason:
            break
    assert "`policy.minimum_rows` of this site: too few rows in the federation" in reason
    assert statuses[demanding].phase == "refused"
    assert statuses[demanding].steps_completed == 1
    assert all(status.posterior_time is None for status in statuses.values())
