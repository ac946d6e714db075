"""Write the example hospitals' files: real biopsies, split so that each hospital sees its own kind.

python deploy/examples/make.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from edge_node.demo.data.datasets import breast_cancer
from edge_node.demo.data.sites import split

HERE = Path(__file__).parent


def main() -> None:
    """Four hospitals' rows, and twenty rows to predict."""
    dataset = breast_cancer()
    sites = split(dataset, "clustered", 4, test_share=0.1)
    for site in sites:
        pyarrow.csv.write_csv(site.train, HERE / f"{site.name}.csv")
    unseen = pa.concat_tables([site.test for site in sites]).drop_columns([dataset.data.target])
    pyarrow.csv.write_csv(unseen.slice(0, 20), HERE / "new.csv")


if __name__ == "__main__":
    main()
