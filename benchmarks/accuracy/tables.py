"""Tables of what was measured: means over the splits, and ours against each peer, no loss hidden.

A set's figures are those with all of its rows, or with the highest cap that was measured. Two ways
are compared on the splits that both have: the mean of the difference against its standard
error. Within one standard error it is a tie; a single split has no standard error, and no tie. A
way that refused a set has lost it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.figures import Row, decimals, markdown, wrapped

__all__ = ["summarise", "tables"]

_WAYS = ("shared", "site", "shared-raised", "site-raised")
_PEERS = ("alone", "gp", "boosting", "xgboost", "forest", "logistic")
_RUNS = {"shared": "federated", "shared-raised": "raised", **{peer: peer for peer in _PEERS}}

_MEASURES: Mapping[str, Mapping[str, str]] = {
    "regression": {"rmse": "RMSE", "nll": "NLL", "coverage95": "Coverage of 95 % intervals"},
    "classification": {
        "accuracy": "Accuracy",
        "log_loss": "Log loss",
        "ece": "ECE",
        "auroc": "AUROC",
    },
}
_COMPARED = {"regression": ("rmse", "nll"), "classification": ("accuracy", "log_loss", "auroc")}
_COSTS = {"cpu_seconds": "CPU seconds", "megabytes": "Megabytes"}
_HIGHER_IS_BETTER = ("accuracy", "auroc")

_HEAD = """# Wins and losses

Made by `python -m benchmarks accuracy --table`; [results.md](results.md) says what is
compared, and how."""

Figures = dict[str, dict[str, list[Row]]]
"""The splits of each way of each set."""


def tables(rows: Iterable[Row]) -> str:
    """All tables in Markdown: wins and losses, then the figures of each set."""
    rows = list(rows)
    versions = sorted({str(row["version"]) for row in rows if row["way"] in (*_WAYS, "alone")})
    blocks = [_HEAD, wrapped("Ours were measured at " + ", ".join(versions) + ".")]
    for task, measures in _MEASURES.items():
        figures = _figures(row for row in rows if row.get("task") == task)
        if not figures:
            continue
        blocks += [f"## {task.capitalize()}", _sets(figures), *_wins(figures, _COMPARED[task])]
        for measure, title in {**measures, **_COSTS}.items():
            blocks += [f"### {title} ({task})", _table(figures, measure)]
        blocks += _refusals(figures)
    return "\n\n".join(blocks) + "\n"


def summarise(rows: Iterable[Row]) -> list[Row]:
    """Mean and standard error over splits of each set and way."""
    return [
        {"set": name, "way": way, "splits": len(group), **_averages(group)}
        for name, ways in _figures(rows).items()
        for way, group in ways.items()
    ]


def _averages(group: Sequence[Row]) -> Row:
    found: Row = {}
    for measure in (*(key for each in _MEASURES.values() for key in each), *_COSTS):
        values = np.array([row[measure] for row in group if measure in row])
        if len(values):
            found[measure] = float(values.mean())
        if len(values) > 1 and measure not in _COSTS:
            found[f"{measure}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    return found


def _figures(rows: Iterable[Row]) -> Figures:
    rows = list(rows)
    most: dict[str, float] = {}
    for row in rows:
        most[row["set"]] = max(_most(row), most.get(row["set"], 0))
    found: Figures = {}
    for row in rows:
        if _most(row) == most[row["set"]]:
            found.setdefault(row["set"], {}).setdefault(row["way"], []).append(row)
    return found


def _most(row: Row) -> float:
    """The most rows to learn from; of all rows, infinity."""
    return float(row["most_rows"] or np.inf)


def _wins(figures: Figures, measures: Sequence[str]) -> Iterator[str]:
    """Won, tied and lost sets of ours against each peer; then every loss by its name."""
    lines, losses = [], []
    for ours in _WAYS:
        for peer in _PEERS:
            if ours == peer or not any({ours, peer} <= set(ways) for ways in figures.values()):
                continue
            cells = []
            for measure in measures:
                found = {
                    name: _compared(ways[ours], ways[peer], measure)
                    for name, ways in figures.items()
                    if {ours, peer} <= set(ways)
                }
                outcomes = list(found.values())
                cells.append(" - ".join(str(outcomes.count(o)) for o in ("win", "tie", "loss")))
                lost = [name for name, outcome in found.items() if outcome == "loss"]
                if lost:
                    title = f"- {ours} against {peer}, {_title(measure)}: "
                    losses.append(wrapped(title + ", ".join(lost), "  "))
            lines.append((ours, peer, *cells))
    heads = [f"{_title(measure)}: won - tied - lost" for measure in measures]
    yield markdown(("ours", "peer", *heads), lines)
    yield "Lost:"
    yield "\n".join(losses) or "None."


def _compared(ours: Sequence[Row], peers: Sequence[Row], measure: str) -> str:
    """Whether ours is a win, a tie or a loss; empty: they have no split in common."""
    if any("refused" in row for row in ours):
        return "loss"
    if any("refused" in row for row in peers):
        return "win"
    theirs = {row["split"]: row[measure] for row in peers if measure in row}
    found = [row for row in ours if row["split"] in theirs and measure in row]
    if not found:
        return ""
    gain = np.array([theirs[row["split"]] - row[measure] for row in found], dtype=float)
    if measure in _HIGHER_IS_BETTER:
        gain = -gain
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
    return "tie" if abs(gain.mean()) <= error else "win" if gain.mean() > 0 else "loss"


def _sets(figures: Figures) -> str:
    """What the sets are, and how many landmarks ours were allowed."""
    cells = []
    for name, ways in figures.items():
        first = next(row for group in ways.values() for row in group)
        splits = {row["split"] for group in ways.values() for row in group}
        facts = [
            _range(row[fact] for row in ways.get(way, []) if fact in row)
            for way, fact in (
                ("shared", "sites"),
                ("shared", "sums"),
                ("shared", "landmarks"),
                ("shared-raised", "landmarks"),
            )
        ]
        cells.append((name, f"{first['rows']}", f"{first['inputs']}", f"{len(splits)}", *facts))
    heads = ("set", "rows", "inputs", "splits", "sites", "sums", "landmarks", "landmarks, raised")
    return markdown(heads, cells)


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return "-" if not found else f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _table(figures: Figures, measure: str) -> str:
    heads = _RUNS if measure in _COSTS else {way: way for way in (*_WAYS, *_PEERS)}
    ways = [way for way in heads if any(way in found for found in figures.values())]
    cells = [
        (name, *(_cell(found.get(way, []), measure) for way in ways))
        for name, found in figures.items()
    ]
    return markdown(("set", *(heads[way] for way in ways)), cells)


def _cell(group: Sequence[Row], measure: str) -> str:
    found = _averages(group)
    if any("refused" in row for row in group):
        return "refused"
    if measure not in found:
        return "-"
    if measure in _COSTS:
        return f"{found[measure]:.3g}" if found[measure] < 1000 else f"{found[measure]:.0f}"
    error = found.get(f"{measure}_se")
    return decimals(found[measure]) + ("" if error is None else f"±{decimals(error)}")


def _refusals(figures: Figures) -> Iterator[str]:
    """Why a way has no figures of a set."""
    reasons = dict.fromkeys(
        wrapped(f"- {name}, {way}: {row['refused']}", "  ")
        for name, ways in figures.items()
        for way, group in ways.items()
        for row in group
        if "refused" in row
    )
    if reasons:
        yield "### Refused"
        yield "\n".join(reasons)


def _title(measure: str) -> str:
    return next(each[measure] for each in _MEASURES.values() if measure in each)
