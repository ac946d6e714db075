"""What a heartbeat may say, and that one which may not changes nothing."""

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.services.heartbeat import read_report
from edge_node.config.names import check_node_name, split_address
from edge_node.errors import NetworkError
from edge_node.federation.report import Phase, Report
from edge_node.network.wire.report import report_message
from tangentmesh.v1 import discovery_pb2
from tests.aggregator.discovered import SESSION, Aborted, Discovered

LARGEST = 2**64 - 1


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("epoch", LARGEST, "an epoch near the newest, 1, found 18446744073709551615"),
        ("epoch", 2**62, "an epoch near the newest"),
        ("run", LARGEST, "a run near the newest, 1, found 18446744073709551615"),
        ("session", b"short", "a session of 16 bytes, found 5"),
        ("phase", 0, "a phase from 1 to 4, found 0"),
        ("phase", 5, "a phase from 1 to 4, found 5"),
        ("phase", -1, "a phase from 1 to 4, found -1"),
        ("waiting", {"seconds": -1}, "a time of waiting, found -1 s"),
        ("waiting", {"seconds": 2**63 - 1}, "a time of waiting"),
        ("waiting", {"nanos": -1}, "a time of waiting"),
        ("address", "nowhere", "'nowhere'"),
        ("address", "b:0", "'b:0'"),
        ("address", "b" * 300 + ":1", "at most 300 characters, found 302"),
        ("waiting_for", ["a", "Not A Name"], "names of nodes in waiting_for, found 'Not A Name'"),
        ("waiting_for", ["a", "a"], "distinct names in waiting_for"),
        ("unreachable", ["aggregator"], "names of nodes in unreachable, found 'aggregator'"),
        ("unreachable", [""], "names of nodes in unreachable, found ''"),
    ],
)
async def test_a_heartbeat_that_makes_no_sense(
    aggregator: Discovered, field: str, value: object, expected: str
) -> None:
    """It is refused by name and leaves no trace; the others are planned as if it had not come."""
    await aggregator.first_plan("a", "b", "c", "d")
    before = dict(aggregator.members.presences)
    await aggregator.members.write()
    with pytest.raises(Aborted) as caught:
        await aggregator.beat("c", **({"epoch": 1, "run": 1} | {field: value}))
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert expected in caught.value.details
    assert caught.value.details.startswith("c: ")
    assert aggregator.members.presences == before
    await aggregator.members.write()
    assert aggregator.registry.heartbeats()["c"].report == before["c"].report
    aggregator.now += 14
    for node in "abd":
        await aggregator.beat(node, epoch=1, run=1)
    aggregator.now += 2
    await aggregator.planning.update()
    plan = aggregator.registry.latest_plan()
    assert (plan.epoch, plan.run, aggregator.cohort) == (2, 1, "abd")


async def test_nodes_may_be_ahead_of_a_registry_from_a_backup(aggregator: Discovered) -> None:
    """They are overtaken, so that they listen again, and heard under the plan that does it."""
    for node in "abc":
        await aggregator.beat(node, epoch=2**32, run=2**32)
    aggregator.now += 3
    await aggregator.planning.update()
    plan = aggregator.registry.latest_plan()
    assert (plan.epoch, plan.run) == (2**32 + 1, 2**32 + 1)
    await aggregator.beat("a", epoch=plan.epoch, run=plan.run)


names = st.lists(st.sampled_from("abcdef"), unique=True).map(tuple)
reports = st.builds(
    Report,
    address=st.sampled_from(["", "a.example:7710", "[::1]:1"]),
    session=st.binary(min_size=16, max_size=16),
    epoch=st.integers(0, 2**32),
    run=st.integers(0, 2**32),
    phase=st.sampled_from(Phase),
    step=st.text(max_size=200),
    waiting_for=names,
    waiting=st.integers(0, 10**6).map(float),
    unreachable=names,
    reason=st.text(max_size=200),
    refused_epoch=st.integers(0, 2**32),
    spec_hash=st.binary(max_size=32),
)


@given(report=reports)
def test_the_aggregator_reads_what_a_node_reports(report: Report) -> None:
    """The same value on both sides of the wire."""
    wire = report_message(report).SerializeToString()
    request = discovery_pb2.HeartbeatRequest.FromString(wire)
    assert read_report(request, "a", epoch=1, run=1) == report


numbers = st.integers(0, LARGEST)
heartbeats = st.builds(
    discovery_pb2.HeartbeatRequest,
    address=st.text() | st.from_regex(r"[a-z]{1,3}:[0-9]{1,6}", fullmatch=True),
    session=st.just(SESSION) | st.binary(),
    epoch=st.integers(0, 3) | numbers,
    run=st.integers(0, 3) | numbers,
    phase=st.integers(1, 4) | st.integers(-(2**31), 2**31 - 1),
    step=st.text(),
    waiting_for=st.lists(st.sampled_from("abc") | st.text()),
    unreachable=st.lists(st.sampled_from("abc") | st.text()),
    reason=st.text(),
)


@given(request=heartbeats)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_report_is_sensible_or_refused(request: discovery_pb2.HeartbeatRequest) -> None:
    """Whatever comes: an error of the protocol, or values that a plan can hold."""
    try:
        report = read_report(request, "a", epoch=1, run=1)
    except NetworkError:
        return
    assert report.phase in Phase
    assert max(report.epoch, report.run) <= 2**32 + 1
    split_address(report.address or "leaf:1")
    for name in (*report.waiting_for, *report.unreachable):
        check_node_name(name)
