"""`aggregator ca` and the denylist's commands, as an operator types them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aggregator.registry.certificate_requests import CertificateRequest, RequestKind
from aggregator.registry.registry import EnrolledNode, Registry
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import key_fingerprint, signing_request
from tests.aggregator.created import SPEC


def run(*words: object, code: int = 0, given: str = "") -> str:
    """A command; what it prints, or what it complains of."""
    done = subprocess.run(
        [sys.executable, "-m", "aggregator", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        input=given,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines: an authority in ``ca``, an aggregator in ``agg``, which has a certificate."""
    made = tmp_path_factory.mktemp("machines")
    (made / "spec.toml").write_text(SPEC)
    run("ca", "init", "--ca", made / "ca", "--federation", "hospitals")
    certificate = made / "ca" / "certificate.pem"
    text = run(
        "init", "--dir", made / "agg", "--spec", made / "spec.toml", "--host", "mesh.example",
        "--authority", certificate,
    )  # fmt: skip
    assert "aggregator ca requests" in text
    assert "aggregator ca import" in run("run", "--dir", made / "agg", code=3)
    run("ca", "requests", made / "q", "--dir", made / "agg")
    shown = run("ca", "sign", made / "q", made / "s", "--ca", made / "ca", given="y\n")
    assert "aggregator for mesh.example" in shown
    assert "of aggregator" in run("ca", "import", made / "s", "--dir", made / "agg")
    return made


def asked(path: Path, node: str) -> str:
    """A node has asked to enrol; its key's fingerprint."""
    csr = signing_request(generate_key(), node)
    with Registry.open(path / "agg" / "registry.sqlite") as registry:
        registry.add_token(csr, node, expires_at=1.0)
        request = CertificateRequest(node, RequestKind.ENROLMENT, csr, b"", 0.0)
        registry.redeem_for(request, csr, now=0.0)
    return key_fingerprint(csr, node)


def test_requests_are_shown_and_signed_if_somebody_says_so(path: Path) -> None:
    """With the keys' fingerprints; without a yes nothing is written."""
    key = asked(path, "a")
    facts: dict[str, Any] = json.loads(
        run("ca", "requests", path / "q1", "--dir", path / "agg", "--json")
    )
    assert facts["requests"] == [{"node": "a", "kind": "enrolment"}]
    words = ("ca", "sign", path / "q1", path / "s1", "--ca", path / "ca")
    run(*words, code=130, given="n\n")
    assert not (path / "s1").exists()
    assert key in run(*words, given="y\n")
    assert "of a." in run("ca", "import", path / "s1", "--dir", path / "agg")


def test_what_must_not_be_signed_has_an_exit_code(path: Path) -> None:
    """The rest is signed."""
    asked(path, "b")
    run("ca", "requests", path / "q2", "--dir", path / "agg")
    words = ("ca", "sign", path / "q2", path / "s2", "--ca", path / "ca", "--yes")
    run(*words)
    with Registry.open(path / "agg" / "registry.sqlite") as registry:
        registry.requests.drop("b")
    asked(path, "b")
    asked(path, "c")
    run("ca", "requests", path / "q2", "--dir", path / "agg")
    complaint = run(*words, code=7)
    assert "1 of 2 requests were not signed" in complaint
    assert "--replace b" in complaint
    run(*words, "--replace", "b", "--json")
    assert "of b, c." in run("ca", "import", path / "s2", "--dir", path / "agg")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sign", "spec.toml", "s", "--ca", "ca", "--yes"), 3),
        (("sign", "q", "s", "--ca", "agg", "--yes"), 5),
        (("import", "missing", "--dir", "agg"), 3),
        (("requests", "q", "--dir", "ca"), 3),
        (("rotate", "--dir", "agg"), 3),
        (("retire", "--ca", "ca"), 3),
        (("init", "--ca", "ca", "--federation", "hospitals"), 3),
    ],
)
def test_mistakes(path: Path, words: tuple[str, ...], code: int) -> None:
    """Each has its exit code, and its remedy."""
    names = {"spec.toml", "q", "s", "ca", "agg", "missing"}
    run("ca", *(str(path / word) if word in names else word for word in words), code=code)


def test_the_denylists_commands(path: Path) -> None:
    """By name or by fingerprint; nobody of that name is an error."""
    with Registry.open(path / "agg" / "registry.sqlite") as registry:
        node = EnrolledNode("d", b"DER", b"d" * 32, 0.0)
        registry.keep_enrolment(node, now=0.0)
    place = ("--dir", path / "agg", "--json")
    assert "no certificate has this name" in run("deny", "nobody", *place, code=3)
    (denied,) = json.loads(run("deny", "d", "--reason", "stolen", *place))["denied"]
    assert (denied["node"], denied["fingerprint"]) == ("d", (b"d" * 32).hex())
    listed = json.loads(run("denied", *place))["denied"]
    assert denied in listed
    run("allow", denied["fingerprint"], *place)
    assert denied not in json.loads(run("denied", *place))["denied"]
    run("allow", "d", *place, code=3)
