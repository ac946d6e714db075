"""When a new authority may issue certificates."""

from aggregator.ca.trust import NodesTrust

OLD, NEW = b"old", b"new"


def test_all_nodes_that_are_here_must_trust_it() -> None:
    """Whoever is away for long is not waited for; where nobody is, nobody trusts it."""
    trust = NodesTrust(patience=15.0)
    assert not trust.of_all(NEW)
    trust.heard("a", frozenset({OLD, NEW}), now=0.0)
    trust.heard("b", frozenset({OLD}), now=0.0)
    assert trust.of_all(OLD)
    assert not trust.of_all(NEW)
    trust.heard("a", frozenset({OLD, NEW}), now=14.9)
    assert not trust.of_all(NEW), "b may still be here"
    trust.heard("a", frozenset({OLD, NEW}), now=15.0)
    assert trust.of_all(NEW)
    trust.heard("b", frozenset({OLD}), now=16.0)
    assert not trust.of_all(NEW), "b is back"
