"""Tables of what was measured: figures of each set and spread, and every figure that ours lost.

Flower's ways have figures after several rounds. They are compared with by the round that was best
on the test rows, measure by measure: nobody could have chosen it so, and it is in their favour.
Costs are those of the round with the least error. What ours refused to learn is lost.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from benchmarks.figures import Row, decimals, markdown

__all__ = ["tables"]

_OURS = ("shared", "site", "shared-raised", "site-raised")
_PEERS = {"mlp": "FedAvg", "mlp-own": "FedAvg, own", "xgboost": "bagged XGBoost"}
_SPREADS = {"clustered": "clustered", "iid": "IID"}

_MEASURES: Mapping[str, Mapping[str, str]] = {
    "regression": {"rmse": "RMSE", "nll": "NLL", "coverage95": "coverage"},
    "classification": {
        "accuracy": "accuracy",
        "log_loss": "log loss",
        "ece": "ECE",
        "auroc": "AUROC",
    },
}
_COMPARED = {"regression": ("rmse", "nll"), "classification": ("accuracy", "log_loss", "auroc")}
_HIGHER_IS_BETTER = ("accuracy", "auroc")
_COSTS = {"bytes": "bytes", "cpu_seconds": "CPU seconds", "rounds": "rounds"}

_HEAD = """# Beside Flower

Made by `python -m benchmarks fedavg --table`; [results.md](results.md#beside-flower) says what is
compared, and how."""

Groups: TypeAlias = dict[tuple[str, str], dict[str, list[Row]]]
"""The rows of each way, of each set and spread."""


def tables(rows: Iterable[Row]) -> str:
    """All tables in Markdown."""
    rows = list(rows)
    versions = sorted({str(row["version"]) for row in rows if "version" in row})
    blocks = [_HEAD, f"Ours were measured at {', '.join(versions) or 'no version yet'}."]
    for task, measures in _MEASURES.items():
        groups = _grouped(row for row in rows if row["task"] == task)
        if not groups:
            continue
        least = _COMPARED[task][0]
        blocks += [
            f"## {task.capitalize()}",
            _figures(groups, measures, least),
            f"### {measures[least]} after so many rounds ({task})",
            _by_rounds(groups, least),
            f"### Lost ({task})",
            _losses(groups, task),
        ]
    return "\n\n".join(blocks) + "\n"


def _grouped(rows: Iterable[Row]) -> Groups:
    found: Groups = {}
    for row in rows:
        ways = found.setdefault((row["set"], row["spread"]), {})
        ways.setdefault(row["way"], []).append(row)
    return found


def _best(rows: Sequence[Row], measure: str) -> Row:
    """The row with the best figure; of equal ones, the first, which cost least."""
    sign = -1 if measure in _HIGHER_IS_BETTER else 1
    return min(rows, key=lambda row: sign * row.get(measure, math.inf))


def _figures(groups: Groups, measures: Mapping[str, str], least: str) -> str:
    """Ours, and Flower's at the best round by the first measure, and at the last."""
    lines = []
    for (name, spread), ways in groups.items():
        for way in (*_OURS, *_PEERS):
            shown = [_best(ways[way], least), ways[way][-1]] if way in ways else []
            for row in shown[:1] if len(shown) == 2 and shown[0] is shown[1] else shown:
                title = way if way in _OURS else f"{_PEERS[way]}, {_which(row, shown)}"
                figures = [_shown(row, measure) for measure in measures]
                lines.append((name, _SPREADS[spread], title, *figures, *_costs(row)))
    heads = ("set", "sites", "way", *measures.values(), "rounds", "MB a node", "CPU seconds")
    return markdown(heads, lines)


def _which(row: Row, shown: Sequence[Row]) -> str:
    if shown[0] is shown[1]:
        return "last round"
    return "best round" if row is shown[0] else "last round"


def _shown(row: Row, measure: str) -> str:
    return "refused" if "refused" in row else decimals(row[measure])


def _costs(row: Row) -> tuple[str, str, str]:
    if "refused" in row:
        return ("-",) * 3
    return f"{row['rounds']}", f"{row['bytes'] / 1e6:.3g}", f"{row['cpu_seconds']:.3g}"


def _by_rounds(groups: Groups, measure: str) -> str:
    after = sorted(
        {row["rounds"] for ways in groups.values() for p in _PEERS for row in ways.get(p, [])}
    )
    lines = []
    for (name, spread), ways in groups.items():
        for peer, title in _PEERS.items():
            found = {row["rounds"]: decimals(row[measure]) for row in ways.get(peer, [])}
            if found:
                figures = (found.get(each, "-") for each in after)
                lines.append((name, _SPREADS[spread], title, *figures))
    return markdown(("set", "sites", "way", *map(str, after)), lines)


def _losses(groups: Groups, task: str) -> str:
    """What ours lost against each peer, by measure and by cost; all else it has won or tied."""
    measures = {key: _MEASURES[task][key] for key in _COMPARED[task]} | _COSTS
    lines = []
    for ours in _OURS:
        for peer, title in _PEERS.items():
            both = {key: ways for key, ways in groups.items() if {ours, peer} <= set(ways)}
            if both:
                cells = (_lost(both, ours, peer, each, _COMPARED[task][0]) for each in measures)
                lines.append((ours, title, f"{len(both)}", *cells))
    return markdown(("ours", "peer", "compared", *measures.values()), lines)


def _lost(groups: Groups, ours: str, peer: str, measure: str, least: str) -> str:
    lost = [
        key for key, ways in groups.items() if _is_lost(ways[ours][0], ways[peer], measure, least)
    ]
    if len(lost) == len(groups) > 1:
        return "all"
    names = {spread: [name for name, each in lost if each == spread] for spread in _SPREADS}
    shown = (f"{_SPREADS[spread]} {', '.join(own)}" for spread, own in names.items() if own)
    return "; ".join(shown) or "-"


def _is_lost(ours: Row, peers: Sequence[Row], measure: str, least: str) -> bool:
    if "refused" in ours:
        return measure not in _COSTS
    theirs = _best(peers, least if measure in _COSTS else measure)
    difference = ours[measure] - theirs[measure]
    return bool(difference < 0 if measure in _HIGHER_IS_BETTER else difference > 0)
