"""How time and memory grow, as figures, a picture and a table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import Row
from benchmarks.propagation.methods import METHODS

__all__ = ["draw_propagation", "slopes", "table"]


def slopes(rows: Sequence[Row], least: int = 10_000) -> list[Row]:
    """How seconds and megabytes grow: the slope of their logarithm against that of the
    variables, for each case and method with two sizes or more from ``least``.
    """
    found = []
    for case, method in dict.fromkeys((row["case"], row["method"]) for row in rows):
        some = [
            row
            for row in rows
            if (row["case"], row["method"]) == (case, method)
            and int(row["variables"]) >= least
            and not row.get("cause")
        ]
        if len(some) > 1:
            n = np.log([float(row["variables"]) for row in some])
            fits = {
                name: float(
                    np.polyfit(n, np.log([max(float(row[name]), 1e-9) for row in some]), 1)[0]
                )
                for name in ("seconds", "megabytes")
            }
            found.append({"case": case, "method": method, **fits})
    return found


def draw_propagation(rows: Sequence[Row], path: Path) -> None:
    """Seconds against variables, one panel a case."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(row["case"] for row in rows))
    figure, panels = plt.subplots(
        1, len(cases), figsize=(10, 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for case, axes in zip(cases, panels[0], strict=True):
        for number, method in enumerate(METHODS):
            some = [r for r in rows if (r["case"], r["method"]) == (case, method)]
            some = [row for row in some if not row.get("cause")]
            if some:
                n = [float(row["variables"]) for row in some]
                seconds = [float(row["seconds"]) for row in some]
                axes.loglog(n, seconds, ".-", color=f"C{number}", label=method)
        axes.set(title=f"{case} coupling", xlabel="variables", ylabel="seconds")
        axes.grid(alpha=0.3)
    labelled = panels[0, 0].get_legend_handles_labels()
    figure.legend(*labelled, fontsize=7, loc="outside right center")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def table(rows: Sequence[Row], at: int = 100_000) -> list[str]:
    """The lines of a table: seconds by the number of variables, their slope, and what is taken at
    one of the numbers.
    """
    sizes = list(dict.fromkeys(int(row["variables"]) for row in rows))
    growth = {(each["case"], each["method"]): each["seconds"] for each in slopes(rows)}
    found = {(row["case"], row["method"], int(row["variables"])): row for row in rows}
    heads = ["coupling", "method", *map(_power, sizes), "slope"]
    heads += ["MB", "steps", "messages a variable"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for case, method in dict.fromkeys((row["case"], row["method"]) for row in rows):
        seconds = [_seconds(found.get((case, method, n), {})) for n in sizes]
        slope = growth.get((case, method))
        taken = _taken(found.get((case, method, at), {}))
        lines.append(_line([case, method, *seconds, f"{slope:.2f}" if slope else "-", *taken]))
    return lines


def _seconds(row: Row) -> str:
    return row.get("cause") or _short(row.get("seconds"), 2)


def _taken(row: Row) -> list[str]:
    """Megabytes, steps, and messages a variable."""
    if row.get("cause") or not row:
        return ["-"] * 3
    a_variable = float(row["messages"]) / float(row["variables"])
    steps = int(row["steps"])
    return [_short(row["megabytes"], 3), str(steps or "-"), str(round(a_variable) or "-")]


def _short(number: float | str | None, digits: int) -> str:
    if number in (None, ""):
        return "-"
    rounded = float(f"{float(number):.{digits}g}")
    return f"{rounded:.0f}" if rounded >= 10**digits else f"{rounded:#.{digits}g}".rstrip(".")


def _power(number: int) -> str:
    return f"10^{round(np.log10(number))}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
