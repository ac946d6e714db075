"""Write the example hospitals' files: real biopsies, split so that each hospital sees its own kind.

python deploy/examples/make.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from edge_node.config import FederationSpec, ModelSpec, TimingSpec
from edge_node.demo.data.datasets import breast_cancer
from edge_node.demo.data.sites import split
from edge_node.demo.federation import write_spec

HERE = Path(__file__).parent


def main() -> None:
    """Four hospitals' rows, twenty rows to predict, and the federation's spec."""
    dataset = breast_cancer()
    sites = split(dataset, "clustered", 4, test_share=0.1)
    for site in sites:
        pyarrow.csv.write_csv(site.train, HERE / f"{site.name}.csv")
    unseen = pa.concat_tables([site.test for site in sites]).drop_columns([dataset.data.target])
    pyarrow.csv.write_csv(unseen.slice(0, 20), HERE / "new.csv")
    spec = FederationSpec(
        name="breast-cancer",
        data=dataset.data,
        model=ModelSpec(landmarks=150),
        timing=TimingSpec(heartbeat=1.0, liveness=10.0, settle=3.0),
        minimum_nodes=len(sites),
    )
    write_spec(spec, HERE / "federation.toml")


if __name__ == "__main__":
    main()
