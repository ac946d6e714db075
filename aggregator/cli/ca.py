"""`aggregator ca`: the certificate authority's commands.

Some are for the aggregator, some for the machine of an offline authority.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.cli.options import authority_option, directory_option
from edge_node import console
from edge_node.config.names import AGGREGATOR
from edge_node.errors import RefusedError

if TYPE_CHECKING:
    from aggregator.ca.offline_authority import Review
    from aggregator.ca.offline_files import RequestEntry
    from aggregator.directory.layout import Directory

__all__ = ["ca"]


@click.group()
def ca() -> None:
    """Keep the certificate authority offline, or replace it.

    \b
    Offline, that is with its key on another machine:
      aggregator ca init --ca DIR --federation NAME   there: then hand over DIR/certificate.pem
      aggregator init --authority certificate.pem ... on the aggregator
      aggregator ca requests FILE                     on the aggregator: what is to be signed
      aggregator ca sign FILE SIGNED --ca DIR         there
      aggregator ca import SIGNED                     on the aggregator

    \b
    A new authority, offline or not:
      aggregator ca rotate                            a new authority takes over
      aggregator ca retire                            once all nodes have renewed
    """  # noqa: D301 - not raw: click looks for the character \b


@ca.command()
@authority_option(required=True, text="The authority's directory, with its key.")
@click.option("--federation", required=True, help="The federation's name, as in its spec.")
@console.json_option
def init(authority: Path, federation: str, as_json: bool) -> None:
    """Make an offline authority, in a directory of its own machine."""
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
@directory_option
@console.json_option
def requests(directory: "Directory", file: Path, as_json: bool) -> None:
    """Write to FILE what the offline authority has to sign."""
    from aggregator.ca.offline_client import export_requests

    entries = export_requests(directory, file)
    rows = [(entry.node, entry.kind.value) for entry in entries]
    console.emit(
        {"file": str(file), "requests": [{"node": node, "kind": kind} for node, kind in rows]},
        as_json=as_json,
        text=lambda: console.table(("name", "kind"), rows),
    )


@ca.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("signed", type=click.Path(dir_okay=False, path_type=Path))
@authority_option(required=True, text="The authority's directory, with its key.")
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
    """Sign the requests in FILE, and write the certificates to SIGNED.

    Each request is shown before you are asked. A site reads its key's fingerprint from
    `edge-node enrol`: compare it. A request that must not be signed is left out and named, with
    exit code 7.
    """
    from aggregator.ca.offline_authority import OfflineAuthority
    from aggregator.ca.offline_files import RequestFile, read_file, write_file

    offline = OfflineAuthority.open(authority, days=days)
    content = read_file(file, RequestFile)
    reviews = offline.review(content, replace)
    good = [each.entry for each in reviews if each.problem is None]
    if not as_json:
        console.show(_shown(reviews, content.hosts))
    if good and not yes:
        click.confirm(f"Sign {len(good)}?", abort=True, err=True)
    write_file(signed, offline.issue(content, good))
    console.emit(
        {"signed": [entry.node for entry in good], "file": str(signed)},
        as_json=as_json,
        text=f"Signed {len(good)}, in {signed}."
        f" Next, on the aggregator: aggregator ca import {signed.name}",
    )
    if problems := [each.problem for each in reviews if each.problem is not None]:
        raise RefusedError(
            f"{len(problems)} of {len(reviews)} requests were not signed",
            where=str(file),
            found="; ".join(map(str, problems)),
        )


def _shown(reviews: "list[Review]", hosts: tuple[str, ...]) -> Any:
    rows = [
        (
            each.entry.node,
            _kind(each.entry, hosts),
            each.key,
            "NOT to be signed" if each.problem else "good",
        )
        for each in reviews
    ]
    return console.table(("name", "kind", "key's fingerprint", ""), rows)


def _kind(entry: "RequestEntry", hosts: tuple[str, ...]) -> str:
    """What is requested; for the aggregator's certificate also the hosts that will be in it."""
    from aggregator.registry.certificate_requests import RequestKind

    own = entry.kind is RequestKind.AGGREGATOR
    return f"{entry.kind.value} for {', '.join(hosts)}" if own and hosts else entry.kind.value


@ca.command("import")
@click.argument("signed", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="End an old authority though nodes depend on it.")
@directory_option
@console.json_option
def import_(directory: "Directory", signed: Path, force: bool, as_json: bool) -> None:
    """Import the certificates in SIGNED.

    A running aggregator uses them at once.
    """
    from aggregator.ca.offline_client import import_certificates

    imported = import_certificates(directory, signed, force=force)
    text = f"Imported the certificates of {', '.join(imported.names) or 'nobody'}."
    if imported.waiting:
        text += (
            f"\nThe old authority stays until these have renewed: {', '.join(imported.waiting)}."
            "\nSign their requests, and import again. Nodes that never come back:"
            " `aggregator deny NODE`, or --force."
        )
    facts = {"certificates": imported.names, "waiting": imported.waiting}
    console.emit(facts, as_json=as_json, text=text)


@ca.command()
@authority_option(required=False, text="The authority's directory, if it is offline.")
@directory_option
@console.json_option
def rotate(directory: "Directory", authority: Path | None, as_json: bool) -> None:
    """Make a new authority that takes over from the present one.

    The present one signs its certificate. So nodes come to trust both, and renew to certificates of
    the new one, all by themselves.
    """
    from aggregator.ca.authorities import Authorities

    place = authority or directory.authority
    rolled = Authorities.load(place, offline=_offline(directory, authority)).rotate(place)
    old, new = (each.hex() for each in rolled.fingerprints)
    console.emit(
        {"old": old, "new": new},
        as_json=as_json,
        text=f"A new authority takes over.\n  old  {old}\n  new  {new}\n"
        "Nodes renew by themselves; when `aggregator ca retire` finds that all have, it ends.",
    )


@ca.command()
@click.option("--force", is_flag=True, help="Though nodes depend on it: they must enrol again.")
@authority_option(required=False, text="The authority's directory, if it is offline.")
@directory_option
@console.json_option
def retire(directory: "Directory", authority: Path | None, force: bool, as_json: bool) -> None:
    """End the old authority.

    This is refused while its certificates are in use.
    """
    from aggregator.ca.authorities import Authorities

    place = authority or directory.authority
    authorities = Authorities.load(place, offline=_offline(directory, authority))
    names = _not_renewed(directory, authority, authorities.certificates[-1].certificate)
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


def _offline(directory: "Directory", authority: Path | None) -> bool:
    """Whether the aggregator's directory lacks the key."""
    from aggregator.directory.config import load_config

    return authority is None and load_config(directory).authority_offline


def _not_renewed(directory: "Directory", authority: Path | None, newest: bytes) -> list[str]:
    """Nodes whose certificate is not the newest authority's (DER), as far as is known here."""
    from aggregator.ca.offline_authority import OfflineAuthority
    from aggregator.ca.offline_client import not_renewed
    from aggregator.registry.registry import Registry

    if authority is not None:
        found = OfflineAuthority.open(authority).not_renewed()
        return [name for name in found if name != AGGREGATOR]
    with Registry.open(directory.registry) as registry:
        return not_renewed(registry, newest)
