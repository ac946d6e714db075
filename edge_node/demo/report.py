"""What the demonstration leaves behind: report.json, predictions.csv, two pictures, a table."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from edge_node import console
from edge_node.config import DataSpec
from edge_node.demo.data.datasets import Dataset
from edge_node.demo.data.schema import schema_of
from edge_node.demo.data.sites import Site
from edge_node.demo.experiment import Outcome
from edge_node.demo.federation import Topology

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["comparison_table", "cost", "example_table", "node_table", "summary", "write_report"]

_EXAMPLES = 6
_FEWEST_ALONE = 4  # rows of a site, below which it is too small to stand alone


def summary(
    outcome: Outcome, dataset: Dataset, sites: Sequence[Site], topology: Topology, split: str
) -> dict[str, Any]:
    """The report for programs (report.json). ``bytes_per_edge`` is the mean over tree edges, both
    directions; differences from pooled are in standardised units of the latent function.
    """
    provenance = outcome.model.provenance
    edges = max(len(sites) - 1, 1)
    return {
        "task": dataset.data.task.value,
        "dataset": dataset.name,
        "split": split,
        "nodes": [
            {
                "id": site.name,
                "rows": site.train.num_rows,
                "test_rows": site.test.num_rows,
                "parent": topology.parents[site.name],
                "bytes_sent": outcome.statuses[site.name].bytes_sent,
                "bytes_received": outcome.statuses[site.name].bytes_received,
                "metrics": _known(outcome.local[site.name]),
                "metrics_alone": _known(outcome.local_alone.get(site.name)),
            }
            for site in sites
        ],
        "sums": provenance.sums,
        "traversals": provenance.traversals,
        "wall_seconds": round(outcome.wall_seconds, 3),
        "bytes_per_edge": sum(s.bytes_sent for s in outcome.statuses.values()) / edges,
        "secure_sum": outcome.secure_sum,
        "privacy": msgspec.to_builtins(provenance.privacy),
        "bill": provenance.bill.as_dict() if provenance.bill else None,
        "uncovered_share": provenance.uncovered_share,
        "explained": provenance.explained,
        "warnings": list(provenance.warnings),
        "evidence": provenance.log_evidence,
        "kernel": provenance.kernel,
        "landmark_kind": provenance.landmark_kind.value,
        "landmarks": provenance.landmarks,
        "metrics": {way: _known(figures) for way, figures in outcome.metrics.items()},
        "max_abs_mean_diff_vs_pooled": outcome.mean_difference,
        "max_abs_sd_diff_vs_pooled": outcome.sd_difference,
        "cohort": list(provenance.cohort),
        "notes": list(dataset.notes),
        "schema": [column.as_dict() for column in schema_of(dataset)],
    }


def _known(figures: Mapping[str, float] | None) -> dict[str, float | None] | None:
    """Figures for JSON, which has no NaN: none for one that the rows don't say, such as the
    concordance of a single row.
    """
    if figures is None:
        return None
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def write_report(
    directory: Path,
    report: Mapping[str, Any],
    outcome: Outcome,
    *,
    data: DataSpec,
    sites: Sequence[Site],
    topology: Topology,
) -> None:
    """Write report.json, predictions.csv, predictions.png and network.png."""
    (directory / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    rows = [row for site in sites for row in _prediction_rows(outcome, data, site)]
    with (directory / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    from edge_node.demo.figures import draw_network, draw_predictions  # a second of import time

    table = pa.concat_tables([site.test for site in sites])
    predictions = [row for site in sites for row in outcome.predictions[site.name]]
    draw_predictions(predictions, table, data, directory / "predictions.png")
    counts = {site.name: site.train.num_rows for site in sites}
    draw_network(topology.edges, topology.parents, counts, directory / "network.png")


def _prediction_rows(outcome: Outcome, data: DataSpec, site: Site) -> list[dict[str, Any]]:
    """Held-out rows as in predictions.csv: node, row, actual, then the prediction."""
    rows = []
    truth = site.test[data.target].to_pylist()
    for index, (actual, row) in enumerate(zip(truth, outcome.predictions[site.name], strict=True)):
        flat = {key: value for key, value in row.items() if key != "probabilities"}
        if "probabilities" in row:  # which the node's answer has in no order
            flat |= {f"p_{name}": row["probabilities"][name] for name in data.classes}
        rows.append({"node": site.name, "row": index + 1, "actual": actual, **flat})
    return rows


def cost(facts: Mapping[str, Any]) -> str:
    """What the run took and told, and how far it is from the pooled reference: ``summary``, for
    people.
    """
    return (
        f"{facts['sums']} sums in {facts['traversals']} traversals of the tree took "
        f"{facts['wall_seconds']:.1f} s, enrolment included; "
        f"{facts['bytes_per_edge'] / 1e6:.2f} MB over each tree edge.\n"
        f"{_told(facts['bill'])}"
        f"Largest difference from pooled: mean {facts['max_abs_mean_diff_vs_pooled']:.1e}, "
        f"sd {facts['max_abs_sd_diff_vs_pooled']:.1e} (standardised)."
    )


def _told(bill: Mapping[str, Any] | None) -> str:
    """What the run has told, a line for each thing to notice; nothing where noise protects it."""
    if bill is None:
        return ""
    return "".join(f"{line}\n" for line in (f"Told: {bill['summary']}.", *bill["notices"]))


def node_table(outcome: Outcome, sites: Sequence[Site]) -> "Table":
    """Per node: rows, and the figures on its own held-out rows, federated and alone."""
    names = list(next(iter(outcome.local.values())))
    return console.table(
        [
            "node",
            ">rows",
            ">held out",
            *(f">{name}" for name in names),
            *(f">{name}, alone" for name in names),
        ],
        [
            [
                site.name,
                site.train.num_rows,
                site.test.num_rows,
                *(f"{outcome.local[site.name][name]:.3f}" for name in names),
                *_alone(outcome, site, names),
            ]
            for site in sites
        ],
        title="Each node, on its own held-out rows",
    )


def _alone(outcome: Outcome, site: Site, names: Sequence[str]) -> list[str]:
    """The figures of a site that learns alone; where it can't, why: its rows are too few, or say
    nothing (a dash), as where its target is constant.
    """
    if figures := outcome.local_alone.get(site.name):
        return [f"{figures[name]:.3f}" for name in names]
    first = "too few rows" if site.train.num_rows < _FEWEST_ALONE else "-"
    return [first, *["-"] * (len(names) - 1)]


def comparison_table(outcome: Outcome) -> "Table":
    """Federated, pooled and alone, on all held-out rows."""
    names = list(outcome.metrics["federated"])
    labels = {
        "federated": "federated: sums only",
        "pooled": "pooled: all rows on one machine",
        "alone": f"alone: mean over {_sites(outcome)}",
        "refined": "refined: each site's own rows on top of the federated",
    }
    if outcome.model.refinement is None:
        del labels["refined"]
    if not outcome.metrics["alone"]:  # no site can
        del labels["alone"]
    return console.table(
        ["", *(f">{name}" for name in names)],
        [
            [label, *(f"{outcome.metrics[key][name]:.4f}" for name in names)]
            for key, label in labels.items()
        ],
        title="All held-out rows",
    )


def _sites(outcome: Outcome) -> str:
    """Those that can learn alone."""
    able, all_ = len(outcome.local_alone), len(outcome.local)
    return "the sites" if able == all_ else f"the {able} of {all_} sites that can"


def example_table(outcome: Outcome, data: DataSpec, sites: Sequence[Site]) -> "Table":
    """A few predictions, one node after the other."""
    in_turn = chain(*zip_longest(*(_prediction_rows(outcome, data, site) for site in sites)))
    picked = list(islice(filter(None, in_turn), _EXAMPLES))
    headings = [name for name in picked[0] if name != "row"]
    return console.table(
        [
            heading if heading in ("node", "actual", "label") else f">{heading}"
            for heading in headings
        ],
        [[_short(row[name]) for name in headings] for row in picked],
        title="A few predictions",
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
