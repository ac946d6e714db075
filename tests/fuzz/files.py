"""Decoders of files and texts: specs, node files, certificates, tokens, rows, models, records."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edge_node.config import Task, load_node_config, parse_spec, to_toml
from edge_node.config.names import split_address
from edge_node.data.sources.source import open_source
from edge_node.model.model import Model
from edge_node.network.exchange.records import RecordStore
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.certificates import parse_certificate, parse_certificates, subject_of
from edge_node.security.pki.private_keys import parse_key
from edge_node.security.pki.statement import Purpose, Statement
from edge_node.security.pki.tokens import Token
from edge_node.security.pki.uri import parse_certificate_uri
from edge_node.serving.server import answer
from tangentmesh.v1 import exchange_pb2, prediction_pb2
from tests.fuzz.targets import Target
from tests.program.test_program import learn, part, rows_for, spec_for
from tests.support.identities import issue

__all__ = ["file_targets"]

ROOT = Path(__file__).parents[2]
NODE_FILE = b"""name = "a"
data = "rows.csv"
listen = "0.0.0.0:7710"
advertise = "a.example:7710"
ignore = ["id"]
threads = 2

[policy]
min_cohort = 4
peers = ["b", "c", "d"]
tasks = ["regression"]
minimum_rows = 10
differencing = "consent"
"""
MESSAGE = Statement(Purpose.DEPARTURE, ("fuzz", "a", 1))
SPEC = spec_for(Task.REGRESSION, landmarks=8, site_block_rows=20, site_rows=30)


def file_targets(directory: Path) -> Iterator[Target]:
    """All of them; files are written in ``directory``."""
    yield from _texts(directory)
    yield from _identities(directory)
    yield from _rows(directory)
    yield from _models(directory)


def _text(read: Callable[[str], object]) -> Callable[[bytes], None]:
    """A decoder of text, as UTF-8 or, if it is none, as Latin-1."""

    def decode(data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        read(text)

    return decode


def _texts(directory: Path) -> Iterator[Target]:
    example = (ROOT / "deploy/examples/federation.toml").read_bytes()
    yield Target("spec", (to_toml(SPEC), example), _text(parse_spec), 30)
    node_file = directory / "node.toml"

    def node(data: bytes) -> None:
        node_file.write_bytes(data)
        load_node_config(node_file)

    yield Target("node file", (NODE_FILE,), node, 30)
    token = Token.create("localhost:7701", "a", bytes(range(32))).encode().encode()
    yield Target("token", (token,), _text(Token.decode))
    addresses = (b"a.example:7710", b"[::1]:7710", b"127.0.0.1:65535")
    yield Target("address", addresses, _text(split_address))
    uris = (b"tangentmesh://Lungs%20%26%20hearts/node/a", b"tangentmesh://x/aggregator")
    yield Target("URI", uris, _text(parse_certificate_uri))


def _identities(directory: Path) -> Iterator[Target]:
    authority = Authority.create(directory / "authority", "fuzz")
    member = issue(authority, "a")

    signature = MESSAGE.sign(member)

    def certificate(data: bytes) -> None:
        subject_of(parse_certificate(data, where="fuzz"), where="fuzz")
        check_certificate(data, authority.certificate_pem, name="a", federation="fuzz")
        MESSAGE.verify(data, signature)

    seeds = (member.certificate_pem, member.certificate_der, authority.certificate_pem)
    yield Target("certificate", seeds, certificate, 50)
    both = member.certificate_pem + authority.certificate_pem
    yield Target("certificates", (both,), lambda data: parse_certificates(data, where="fuzz"), 30)
    yield Target("signature", (signature,), _signed(member.certificate_der), 30)
    yield Target("private key", (member.key_pem,), lambda data: parse_key(data, where="fuzz"), 5)


def _signed(certificate: bytes) -> Callable[[bytes], None]:
    return lambda data: MESSAGE.verify(certificate, data)


def _rows(directory: Path) -> Iterator[Target]:
    lines = ("x,time,tiny,kind,y", "1.5,1.7e9,1e-12,a,3.25", ',,-2e-12,"b, c",-1e9', "0,1,2,,7")
    path = directory / "rows.csv"

    def table(data: bytes) -> None:
        path.write_bytes(data)
        for batch in open_source(path, SPEC.data).batches():
            assert np.isfinite(batch.target).all()

    yield Target("CSV rows", ("\n".join(lines).encode(),), table, 1)


def _models(directory: Path) -> Iterator[Target]:
    rows = rows_for(SPEC, 60, 11)
    model = learn(SPEC, [part(rows, np.arange(30)), part(rows, np.arange(30, 60))])["node-00"]
    path = directory / "model.npz"
    model.save(path)
    site = directory / "model.site.npz"
    shared, own = path.read_bytes(), site.read_bytes()

    def load(data: bytes) -> None:
        path.write_bytes(data)
        site.unlink(missing_ok=True)
        Model.load(path)

    def load_site(data: bytes) -> None:
        path.write_bytes(shared)
        site.write_bytes(data)
        Model.load(path)

    yield Target("model", (shared,), load, 2)
    yield Target("site's rows", (own,), load_site, 2)
    yield Target("query", _queries(), _answer(model), 2)
    yield from _state(directory)


def _queries() -> tuple[bytes, ...]:
    request = prediction_pb2.PredictRequest(level=0.9, posterior="global")
    for number in (1.5, -2.0, 1e9):
        row = request.rows.add()
        for name in ("x", "time", "tiny"):
            row.cells[name].number = number
        row.cells["kind"].text = "a"
    return (request.SerializeToString(),)


def _answer(model: Model) -> Callable[[bytes], None]:
    def answered(data: bytes) -> None:
        request = prediction_pb2.PredictRequest.FromString(data)
        answer(model, request, "a").SerializeToString()

    return answered


def _state(directory: Path) -> Iterator[Target]:
    """A record with the right digest, which only a program of another version could have left."""
    state = directory / "state"
    RecordStore(state).run(1)
    path = state / "run-1" / "step-00000000.pb"

    def start(data: bytes) -> None:
        path.write_bytes(hashlib.sha256(data).digest() + data)
        RecordStore(state).run(1)

    record = exchange_pb2.Record(run=1, step="s", kind=1, cohort=["a", "b"], epoch=1, payload=b"x")
    yield Target("record on disk", (record.SerializeToString(),), start, 20)
