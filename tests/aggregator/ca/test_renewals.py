"""Certificates of enrolled nodes: renewed without a new run, replaced, denied."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from aggregator.ca.authorities import Authorities
from aggregator.registry.registry import Denial
from edge_node.security.pki.certificates import fingerprint_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import renewal_request
from edge_node.security.pki.statement import Purpose, Statement
from tangentmesh.v1 import discovery_pb2
from tests.aggregator.discovered import Aborted, Call, Discovered

COMPLETE = {"phase": discovery_pb2.PHASE_COMPLETE, "epoch": 1, "run": 1}
RUNNING = {"phase": discovery_pb2.PHASE_RUNNING, "epoch": 1, "run": 1}


@pytest.fixture
def aggregator(aggregator: Discovered) -> Discovered:
    """Its calendar is the certificates'."""
    aggregator.date = aggregator.identities["b"].life[0].timestamp()
    return aggregator


def planned(aggregator: Discovered, node: str) -> bytes:
    """The certificate that the newest plan names."""
    return aggregator.registry.latest_plan().by_node[node].fingerprint


async def beats(aggregator: Discovered, **changes: object) -> None:
    """A heartbeat of everybody, and a look at the plan."""
    for node in "abc":
        await aggregator.beat(node, **changes)
    await aggregator.planning.update()


async def test_a_complete_run_takes_a_renewed_certificate_up(aggregator: Discovered) -> None:
    """Same run, same tree: only the epoch and the fingerprint differ, and both certificates are
    good on the way.
    """
    await aggregator.first_plan("a", "b", "c")
    before = aggregator.registry.latest_plan()
    old = aggregator.identities["b"]
    renewed = await aggregator.renew("b")
    await beats(aggregator, **COMPLETE)
    assert aggregator.registry.latest_plan() == before  # it may have been lost on the way
    aggregator.identities["b"] = renewed
    await beats(aggregator, **COMPLETE)
    after = aggregator.registry.latest_plan()
    assert (after.epoch, after.run) == (2, 1)
    assert planned(aggregator, "b") == renewed.fingerprint
    members = [replace(m, fingerprint=b"") for m in after.members]
    assert members == [replace(m, fingerprint=b"") for m in before.members]
    await beats(aggregator, **(COMPLETE | {"epoch": 2}))
    assert aggregator.registry.latest_plan() == after
    assert aggregator.registry.renewals() == {}
    aggregator.identities["b"] = old
    with pytest.raises(Aborted, match="this one is void"):
        await aggregator.beat("b")


async def test_children_are_told_the_renewed_certificate_of_their_parent(
    aggregator: Discovered,
) -> None:
    """The copy of the plan pins it."""
    await aggregator.first_plan("a", "b", "c")
    root = aggregator.registry.latest_plan().root
    child = next(n for n, parent in aggregator.registry.latest_plan().parents.items())
    aggregator.identities[root] = renewed = await aggregator.renew(root)
    await beats(aggregator, **COMPLETE)
    copy = (await aggregator.beat(child, **COMPLETE)).plan
    assert [m.certificate for m in copy.members if m.certificate] == [renewed.certificate_der]


async def test_a_run_in_progress_is_not_disturbed(aggregator: Discovered) -> None:
    """The renewed certificate waits for the next plan, whatever that is due for."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.identities["b"] = renewed = await aggregator.renew("b")
    await beats(aggregator, **RUNNING)
    assert aggregator.registry.latest_plan().epoch == 1
    await aggregator.beat("c", **(RUNNING | {"address": "elsewhere:7710"}))
    await aggregator.planning.update()
    assert aggregator.registry.latest_plan().epoch == 2
    assert planned(aggregator, "b") == renewed.fingerprint


async def test_but_for_a_certificate_that_is_about_to_end(aggregator: Discovered) -> None:
    """In the last eighth of its life: the next epoch of the same run."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.identities["b"] = renewed = await aggregator.renew("b")
    await beats(aggregator, **RUNNING)
    life = timedelta(days=1).total_seconds()
    aggregator.now += life * 0.87
    await beats(aggregator, **RUNNING)
    assert aggregator.registry.latest_plan().epoch == 1
    aggregator.now += life * 0.01
    await beats(aggregator, **RUNNING)
    plan = aggregator.registry.latest_plan()
    assert (plan.epoch, plan.run, planned(aggregator, "b")) == (2, 1, renewed.fingerprint)


async def test_while_a_member_is_away_the_complete_run_waits(aggregator: Discovered) -> None:
    """A plan that it can't hear of would be no help to it."""
    await aggregator.first_plan("a", "b", "c")
    await beats(aggregator, **COMPLETE)
    aggregator.identities["b"] = await aggregator.renew("b")
    aggregator.now += 16
    for node in "ab":
        await aggregator.beat(node, **COMPLETE)
    await aggregator.planning.update()
    assert aggregator.registry.latest_plan().epoch == 1
    await beats(aggregator, **COMPLETE)
    assert aggregator.registry.latest_plan().epoch == 2


async def test_a_node_without_a_plan_need_not_wait(aggregator: Discovered) -> None:
    """Nobody knows its old certificate: the renewed one replaces it at once."""
    await aggregator.beat("a")
    old, renewed = aggregator.identities["a"], await aggregator.renew("a")
    aggregator.identities["a"] = renewed
    await aggregator.beat("a")
    await aggregator.planning.update()
    assert aggregator.registry.nodes()[0].fingerprint == renewed.fingerprint
    await aggregator.renew("a")  # and again
    aggregator.identities["a"] = old
    with pytest.raises(Aborted, match="void"):
        await aggregator.beat("a")


async def test_an_answer_that_was_lost_is_given_again(aggregator: Discovered) -> None:
    """The same key gets the same certificate; another key another one, and the first is void."""
    key = generate_key()
    first, again = await aggregator.renew("a", key), await aggregator.renew("a", key)
    assert first == again
    other = await aggregator.renew("a")
    assert other.certificate_pem != first.certificate_pem
    aggregator.identities["a"] = first
    with pytest.raises(Aborted, match="void"):
        await aggregator.beat("a")


async def test_a_renewed_certificate_outlives_the_aggregator(aggregator: Discovered) -> None:
    """It restarts between the renewal and the plan."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.identities["b"] = renewed = await aggregator.renew("b")
    aggregator.start()
    await beats(aggregator, **COMPLETE)
    assert planned(aggregator, "b") == renewed.fingerprint


async def test_one_renewal_at_a_time(aggregator: Discovered) -> None:
    """The one that waits for a plan can't be renewed: the plan would name what nobody has."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.identities["b"] = await aggregator.renew("b")
    await aggregator.beat("b", **RUNNING)
    with pytest.raises(Aborted, match="waits for the next plan"):
        await aggregator.renew("b")


@pytest.mark.parametrize("what", ["another's proof", "no proof", "old key", "not a request"])
async def test_only_the_owner_renews_and_with_a_new_key(aggregator: Discovered, what: str) -> None:
    """And the certificate before stays good."""
    a, b = aggregator.identities["a"], aggregator.identities["b"]
    csr, proof = renewal_request(a, a.key_pem if what == "old key" else generate_key())
    if what == "another's proof":
        csr, proof = renewal_request(b, generate_key())
    elif what == "no proof":
        proof = b""
    elif what == "not a request":
        csr, proof = b"csr", Statement(Purpose.RENEWAL, ("a",), b"csr").sign(a)
    request = discovery_pb2.RenewRequest(csr=csr, proof=proof)
    with pytest.raises(Aborted) as caught:
        await aggregator.service.Renew(request, Call(a))
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert aggregator.registry.renewals() == {}
    await aggregator.beat("a")


async def test_the_new_authority_issues_once_all_nodes_trust_it(
    aggregator: Discovered, tmp_path: Path
) -> None:
    """Before that, a node that doesn't could not reach one with a certificate of the new one."""
    aggregator.authority.save(tmp_path)
    rolled = Authorities.load(tmp_path).rotate(tmp_path)
    aggregator.service.issuer.authorities = lambda: rolled
    both = list(rolled.fingerprints)
    await aggregator.beat("b", authorities=both[:1])
    assert not (await aggregator.beat("a", authorities=both)).renew
    assert not rolled.newest_issued((await aggregator.renew("a")).certificate_der)
    assert (await aggregator.beat("b", authorities=both)).renew
    assert rolled.newest_issued((await aggregator.renew("b")).certificate_der)


def deny(aggregator: Discovered, identity: Identity) -> None:
    """`aggregator deny`, as another program would write it."""
    aggregator.registry.deny([Denial(identity.fingerprint, identity.node, "stolen", 1e9)])


async def test_a_denied_node_is_refused_and_left_out(aggregator: Discovered) -> None:
    """It is told when and why; the others go on without it, and come to know its fingerprint."""
    await aggregator.first_plan("a", "b", "c", "d")
    deny(aggregator, aggregator.identities["b"])
    await aggregator.members.refresh()
    with pytest.raises(Aborted, match=r"denied.*2001-09-09 01:46 UTC: stolen") as caught:
        await aggregator.beat("b", **RUNNING)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(Aborted, match="denied"):
        await aggregator.renew("b")
    for node in "ad":
        await aggregator.beat(node, **RUNNING)
    reply = await aggregator.beat("c", **(RUNNING | {"denylist": b"of nothing"}))
    assert list(reply.denylist.fingerprints) == [aggregator.identities["b"].fingerprint]
    held = aggregator.members.certificates.denylist_digest
    assert not (await aggregator.beat("c", **(RUNNING | {"denylist": held}))).HasField("denylist")
    await aggregator.planning.update()
    assert aggregator.cohort == "acd"
    aggregator.start()
    with pytest.raises(Aborted, match="denied"):
        await aggregator.beat("b", **RUNNING)
    aggregator.registry.allow([aggregator.identities["b"].fingerprint])
    await aggregator.members.refresh()
    await aggregator.beat("b", **RUNNING)


@pytest.mark.parametrize("denied", [True, False])
async def test_whoever_is_denied_renews_nothing_before_the_service_hears(
    aggregator: Discovered, denied: bool
) -> None:
    """Another program writes the denial. A certificate that is issued now would outlive it."""
    await aggregator.first_plan("a", "b", "c", "d")
    if denied:
        deny(aggregator, aggregator.identities["b"])
        with pytest.raises(Aborted, match="denied or replaced in the meantime") as caught:
            await aggregator.renew("b")
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    else:
        await aggregator.renew("b")
    assert bool(aggregator.registry.renewals()) is not denied


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_key_that_is_being_replaced_renews_nothing(
    aggregator: Discovered, replaced: bool
) -> None:
    """It asks while the machine that replaces it enrols. The one with the token wins."""
    registry, held = aggregator.registry, aggregator.members.certificates
    registry.add_token(b"again", "b", expires_at=aggregator.date, replace=True)
    new = replace(held.nodes["b"], fingerprint=fingerprint_of(b"new"), certificate=b"new")
    if replaced:
        registry.enrol(b"again", "b", now=aggregator.date, issue=lambda: new)
        with pytest.raises(Aborted, match="denied or replaced in the meantime"):
            await aggregator.renew("b")
    else:
        await aggregator.renew("b")
    assert bool(registry.renewals()) is not replaced


async def test_a_replaced_certificate_is_denied(aggregator: Discovered) -> None:
    """Other nodes hear of it, too: whoever has the lost key can't use it anywhere."""
    lost = aggregator.identities["b"]
    aggregator.registry.add_token(b"again", "b", expires_at=aggregator.date, replace=True)
    renewed = await aggregator.renew("b")
    node = aggregator.members.certificates.nodes["b"]
    new = replace(node, fingerprint=fingerprint_of(b"new"), certificate=b"new")
    aggregator.registry.enrol(b"again", "b", now=aggregator.date, issue=lambda: new)
    denied = {each.fingerprint for each in aggregator.registry.denials()}
    assert denied == {lost.fingerprint, renewed.fingerprint}
