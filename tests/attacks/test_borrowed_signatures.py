"""A signature that a key has made for one purpose, shown where another purpose is checked.

Everything but the purpose is as it should be: key, certificate, context and body. So the purpose
alone must make the difference, at each of the six places where signatures are checked.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec
import pytest

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.epoch.claims import cohort_of
from edge_node.network.epoch.keys import announcement, pairwise_masks
from edge_node.network.tree.agreement import check_testimonies
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.security.disclosure.departure import Departure
from edge_node.security.masks import MaskingKey
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.statement import KeyHolder, Purpose, SignedBody, Statement
from edge_node.security.pki.succession import Successor, succeed
from tests.support.mesh import Mesh, Peer

TRANSCRIPT = bytes(range(32))
VERSION = b"v" * 32


@dataclass(frozen=True)
class Place:
    """Where signatures for a purpose are checked.

    ``said`` is what ``signer`` must have signed; ``show`` hands a signature in.
    """

    said: Statement
    signer: KeyHolder
    show: Callable[[bytes], object]


@dataclass
class Scene:
    """Nodes a and b under one plan: a checks, b has signed; an authority and the one after it."""

    a: Identity
    b: Identity
    plan: Plan
    authority: Authority
    successor: Authority

    def place(self, purpose: Purpose) -> Place:
        """By purpose."""
        places = {
            Purpose.MASKING_KEY: self.masking_key,
            Purpose.CLAIM: self.claim,
            Purpose.TRANSCRIPT: self.transcript,
            Purpose.DEPARTURE: self.departure,
            Purpose.RENEWAL: self.renewal,
            Purpose.SUCCESSION: self.succession,
        }
        return places[purpose]()

    def sent(self, statement: Statement, signature: bytes) -> bytes:
        """As it comes along the tree."""
        return SignedBody(statement.body, self.b.certificate_der, signature).encode()

    def masking_key(self) -> Place:
        """An announcement."""
        own, public = MaskingKey.generate(), MaskingKey.generate().public
        claims = b"what all have claimed"
        context = ("b", self.plan.epoch, self.plan.hash, hashlib.sha256(claims).digest())
        said = Statement(Purpose.MASKING_KEY, context, public)
        mine = parse_gathered(announcement(own, self.a, self.plan, claims))

        def show(signature: bytes) -> object:
            payload = gathered(mine | {"b": self.sent(said, signature)})
            return pairwise_masks(own, self.a, self.plan, claims, payload)

        return Place(said, self.b, show)

    def claim(self) -> Place:
        """A claim; a's own is signed properly."""
        body = msgspec.msgpack.encode((self.plan.hash, 0, VERSION, True, 5, 0))
        context = ("b", self.plan.epoch, self.plan.hash)
        said = Statement(Purpose.CLAIM, context, body)
        mine = SignedBody.of(replace(said, context=("a", *context[1:])), self.a).encode()

        def show(signature: bytes) -> object:
            parts = {"a": mine, "b": self.sent(said, signature)}
            return cohort_of(self.a, self.plan, gathered(parts))

        return Place(said, self.b, show)

    def transcript(self) -> Place:
        """A testimony."""
        said = Statement(Purpose.TRANSCRIPT, ("b", 1), TRANSCRIPT)

        def show(signature: bytes) -> object:
            told = {"b": self.sent(said, signature)}
            return check_testimonies(told, "b", identity=self.a, run=1, transcript=TRANSCRIPT)

        return Place(said, self.b, show)

    def departure(self) -> Place:
        """A consent to be left out."""
        said = Statement(Purpose.DEPARTURE, (self.b.federation, "b", 7))

        def show(signature: bytes) -> object:
            departure = Departure("b", self.b.certificate_der, 7, signature)
            return departure.check(self.a.ca_pem, self.a.federation)

        return Place(said, self.b, show)

    def renewal(self) -> Place:
        """A request for another certificate."""
        csr = signing_request(generate_key(), "b")
        said = Statement(Purpose.RENEWAL, ("b",), csr)

        def show(signature: bytes) -> object:
            return check_renewal("b", self.b.certificate_der, csr, signature)

        return Place(said, self.b, show)

    def succession(self) -> Place:
        """A new authority."""
        old, new = (der_of(each.certificate_pem) for each in (self.authority, self.successor))
        said = Statement(Purpose.SUCCESSION, (), new)

        def show(signature: bytes) -> object:
            return succeed(self.a, [Successor(old), Successor(new, signature)])

        return Place(said, self.authority, show)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Scene:
    """One for all pairs."""
    directory: Path = tmp_path_factory.mktemp("borrowed")
    mesh = Mesh(authority, directory)
    for name in "ab":
        mesh.peers[name] = Peer(mesh.identity(name), directory / name, port=1)
    successor = Authority.create(directory / "next", authority.federation)
    plan = mesh.plan(1, {"a": "", "b": "a"})
    a, b = (mesh.peers[name].identity for name in "ab")
    return Scene(a, b, plan, authority, successor)


@pytest.mark.parametrize(("made", "used"), [*product(Purpose, Purpose)])
def test_a_borrowed_signature_is_refused(scene: Scene, made: Purpose, used: Purpose) -> None:
    """All pairs; a purpose's own signature is believed, which is the control."""
    place = scene.place(used)
    signature = replace(place.said, purpose=made).sign(place.signer)
    if made is used:
        place.show(signature)
    else:
        with pytest.raises(IdentityError):
            place.show(signature)
