"""`aggregator ca`: the authority's commands, on its own machine and on the aggregator's."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node import console
from edge_node.errors import RefusedError

if TYPE_CHECKING:
    from aggregator.ca.offline_ca import Judgement

__all__ = ["ca"]


@click.group()
def ca() -> None:
    """The authority that makes members: keep its key on another machine, or replace it.

    \b
    A key of its own machine:
      aggregator ca init --ca DIR --federation NAME      there: then hand over DIR/certificate.pem
      aggregator init --authority certificate.pem ...    on the aggregator
      aggregator ca requests FILE                        on the aggregator: what is to be signed
      aggregator ca sign FILE SIGNED --ca DIR            there
      aggregator ca import SIGNED                        on the aggregator

    \b
    A new key, wherever it is kept:
      aggregator ca rotate                               a new authority takes over
      aggregator ca retire                               once all nodes have renewed
    """  # noqa: D301 - not raw: click looks for the character \b


def authority_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--ca``, passed as ``authority``."""
    return click.option(
        "--ca",
        "authority",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The authority's directory, with its key.",
    )(function)


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--ca`` and ``--dir``, passed as ``authority`` and ``path``."""
    function = click.option(
        "--ca",
        "authority",
        type=click.Path(file_okay=False, path_type=Path),
        help="The authority's directory, where it is not the aggregator's.",
    )(function)
    return aggregator_option(function)


def aggregator_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dir``, passed as ``path``."""
    return click.option(
        "--dir",
        "-d",
        "path",
        envvar="AGGREGATOR_DIR",
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The aggregator's directory.",
    )(function)


@ca.command()
@authority_option
@click.option("--federation", required=True, help="The federation's name, as in its spec.")
@console.json_option
def init(authority: Path, federation: str, as_json: bool) -> None:
    """Make an authority in a directory of its own machine."""
    from edge_node.security.pki.authority import Authority

    made = Authority.create(authority, federation)
    certificate = authority / "certificate.pem"
    console.emit(
        {
            "federation": federation,
            "certificate": str(certificate),
            "fingerprint": made.fingerprint.hex(),
        },
        as_json=as_json,
        text=f"Made the authority of {federation!r} in {authority}; guard and back up its key.\n"
        f"  fingerprint  {made.fingerprint.hex()}\n"
        f"Next, on the aggregator: aggregator init --authority {certificate.name} --spec ...",
    )


@ca.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@aggregator_option
@console.json_option
def requests(path: Path, file: Path, as_json: bool) -> None:
    """Write to FILE what the authority, on its own machine, has to sign."""
    from aggregator.ca.offline_client import write_requests
    from aggregator.directory.layout import Directory

    entries = write_requests(Directory(path), file)
    rows = [(entry.node, entry.kind.value) for entry in entries]
    console.emit(
        {"file": str(file), "requests": [{"node": node, "kind": kind} for node, kind in rows]},
        as_json=as_json,
        text=lambda: console.table(("name", "kind"), rows),
    )


@ca.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("signed", type=click.Path(dir_okay=False, path_type=Path))
@authority_option
@click.option("--replace", multiple=True, metavar="NAME", help="Its key is lost; repeatable.")
@click.option("--days", default=90.0, show_default=True, help="Lifetime of certificates.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@console.json_option
def sign(  # noqa: PLR0917 - click passes them by name
    authority: Path,
    file: Path,
    signed: Path,
    replace: tuple[str, ...],
    days: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign the requests in FILE, after a look at each; write certificates to SIGNED.

    A site can read its key's fingerprint from `edge-node enrol`: compare it. A request that must
    not be signed is left out and named, with exit code 7.
    """
    from aggregator.ca.offline_ca import Signer
    from aggregator.ca.offline_files import RequestFile, read_paper, write_paper

    signer, paper = Signer.open(authority, days=days), read_paper(file, RequestFile)
    judgements = signer.judge(paper, replace)
    good = [each.entry for each in judgements if each.problem is None]
    if not as_json:
        console.show(_shown(judgements, paper.hosts))
    if good and not yes:
        click.confirm(f"Sign {len(good)}?", abort=True, err=True)
    write_paper(signed, signer.sign(paper, good))
    console.emit(
        {"signed": [entry.node for entry in good], "file": str(signed)},
        as_json=as_json,
        text=f"Signed {len(good)}, in {signed}. Next, on the aggregator: aggregator ca import",
    )
    if problems := [each.problem for each in judgements if each.problem is not None]:
        raise RefusedError(
            f"{len(problems)} of {len(judgements)} requests were not signed",
            where=str(file),
            found="; ".join(map(str, problems)),
        )


def _shown(judgements: "list[Judgement]", hosts: tuple[str, ...]) -> Any:
    rows = [
        (
            each.entry.node,
            each.entry.kind.value + (" for " + ", ".join(hosts) if hosts and own else ""),
            each.key,
            "NOT to be signed" if each.problem else "good",
        )
        for each in judgements
        for own in [each.entry.kind.value == "aggregator"]
    ]
    return console.table(("name", "kind", "key's fingerprint", ""), rows)


@ca.command("import")
@click.argument("signed", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Though an authority retires that nodes depend on.")
@aggregator_option
@console.json_option
def take(path: Path, signed: Path, force: bool, as_json: bool) -> None:
    """Take in what SIGNED holds; a running aggregator uses it at once."""
    from aggregator.ca.offline_client import take_in
    from aggregator.directory.layout import Directory

    taken = take_in(Directory(path), signed, force=force)
    text = f"Took in the certificates of {', '.join(taken.names) or 'nobody'}."
    if taken.waiting:
        text += (
            f"\nThe old authority stays until these have renewed: {', '.join(taken.waiting)}."
            "\nSign their requests, and import again. Nodes that never come back:"
            " `aggregator deny NODE`, or --force."
        )
    facts = {"certificates": taken.names, "waiting": taken.waiting}
    console.emit(facts, as_json=as_json, text=text)


@ca.command()
@place_options
@console.json_option
def rotate(path: Path, authority: Path | None, as_json: bool) -> None:
    """Make a new authority that takes over from the present one, which signs for it.

    Nodes come to trust both, and renew to certificates of the new one, all by themselves.
    """
    from aggregator.ca.authorities import Authorities
    from aggregator.directory.layout import Directory

    place = authority or Directory(path).authority
    rolled = Authorities.load(place, elsewhere=_elsewhere(path, authority)).rotate(place)
    old, new = (each.hex() for each in rolled.fingerprints)
    console.emit(
        {"old": old, "new": new},
        as_json=as_json,
        text=f"A new authority takes over.\n  old  {old}\n  new  {new}\n"
        "Nodes renew by themselves; when `aggregator ca retire` finds that all have, it ends.",
    )


@ca.command()
@click.option("--force", is_flag=True, help="Though nodes depend on it: they must enrol again.")
@place_options
@console.json_option
def retire(path: Path, authority: Path | None, force: bool, as_json: bool) -> None:
    """End the old authority's time. Refused while certificates of it are in use."""
    from aggregator.ca.authorities import Authorities
    from aggregator.ca.offline_ca import Signer
    from aggregator.ca.offline_client import outdated
    from aggregator.directory.layout import Directory
    from aggregator.registry.registry import Registry

    place = authority or Directory(path).authority
    authorities = Authorities.load(place, elsewhere=_elsewhere(path, authority))
    if authority is not None:
        names = [name for name in Signer.open(place).outdated() if name != "aggregator"]
    else:
        with Registry.open(Directory(path).registry) as registry:
            names = outdated(registry, authorities.certificates[-1].certificate)
    if names and authorities.rolling and not force:
        raise RefusedError(
            "the old authority's certificates are still in use",
            where=str(place),
            found=", ".join(names),
            remedy="Wait until these nodes have renewed. Nodes that never come back:"
            " `aggregator deny NODE`; or --force: they must enrol again",
        )
    left = authorities.retire(place)
    fingerprint = left.fingerprints[0].hex()
    console.emit(
        {"authority": fingerprint},
        as_json=as_json,
        text=f"The old authority has retired; the federation's is {fingerprint}.",
    )


def _elsewhere(path: Path, authority: Path | None) -> bool:
    """Whether the aggregator's directory lacks the key."""
    from aggregator.directory.layout import Directory, load_config

    return authority is None and load_config(Directory(path)).authority_elsewhere
