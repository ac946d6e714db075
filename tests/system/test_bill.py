"""What a run of real processes has told: status, model and ledgers say the same."""

import json

import pytest

from edge_node.config.paths import NodePaths
from edge_node.security.disclosure.ledger import Ledger
from tests.support.federation import Federation, model_of
from tests.system.conftest import Make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

RAISED = 1000.0


def check_bill(federation: Federation, node: str) -> dict[str, object]:
    """Check that status, model and ledger of a node agree; returns the bill."""
    paths = NodePaths(federation.node_directory(node))
    home = str(paths.root)
    status = json.loads(federation.command("edge_node", "status", "--dir", home, "--json"))
    bill = model_of(federation, node).provenance.bill
    life = Ledger.open(paths.ledger, paths.ledger_key, new=False).life
    assert bill is not None
    assert status["bill"] == bill.as_dict()
    assert status["told"] == life.told() == bill.told > 0
    told = {str(each.step): each.telling.numbers for each in life.contributions}
    assert {step: numbers for step, numbers in told.items() if numbers} == dict(bill.steps)
    return bill.as_dict()


def test_everybody_knows_what_was_told(make_federation: Make) -> None:
    """At every node the same bill, in words and numbers; and a ceiling that was raised is named."""
    federation = make_federation(nodes=3, most_told=RAISED, metric_repetitions=0, newton_steps=0)
    federation.enrol_all()
    federation.start_nodes()
    federation.wait_complete(deadline=120)
    first, *others = (check_bill(federation, node) for node in federation.files)
    assert others == [first] * 2
    assert "the ceiling was raised from 0.5 to 1000" in str(first["notices"])
    home = str(federation.node_directory("hospital-a"))
    shown = federation.command("edge_node", "status", "--dir", home)
    assert "per cell of the others' rows, of 1000 at most" in shown
    assert "NOTICE" in shown
