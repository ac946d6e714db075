"""How the demonstration spreads rows over sites, and when it can't."""

from pathlib import Path

import pytest

from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import Dataset, breast_cancer
from edge_node.demo.data.sites import Site, split, write_sites
from edge_node.errors import ConfigurationError, DataError


def own(folder: Path, rows: int, *, sites: int = 4) -> Dataset:
    """A user's file with so many rows, over so many sites."""
    path = folder / "own.csv"
    lines = [f"{i % 9},{i / 7},clinic {i % sites}\n" for i in range(rows)]
    path.write_text("age,y,site\n" + "".join(lines))
    return load_csv(path, "y", site_column="site")


@pytest.mark.parametrize("how", ["iid", "clustered", "by-column"])
def test_every_row_is_at_one_site(tmp_path: Path, how: str) -> None:
    """To learn from or to test on; the site column is no input."""
    sites = split(own(tmp_path, 80), how, 3)
    assert len(sites) == (4 if how == "by-column" else 3)
    rows = sum(site.train.num_rows + site.test.num_rows for site in sites)
    assert rows == 80
    assert all(site.train.column_names == ["age", "y"] for site in sites)
    files = write_sites(sites, tmp_path)
    assert list(files) == [site.name for site in sites]
    assert files[sites[0].name].read_text().splitlines()[0] == '"age","y"'


@pytest.mark.parametrize("rows", [1, 10, 23, 24, 39])
@pytest.mark.parametrize("how", ["iid", "clustered"])
def test_too_few_rows(tmp_path: Path, how: str, rows: int) -> None:
    """The user's file, how many rows it needs, and how many it has."""
    with pytest.raises(DataError) as caught:
        split(own(tmp_path, rows), how, 5)
    error = caught.value
    assert error.where == str(tmp_path / "own.csv")
    assert "at least 40" in error.expected
    assert error.found == f"{rows} with a target"
    assert ("--nodes 3" in error.remedy) == (rows >= 24)  # fewer nodes must be a way out


@pytest.mark.parametrize("nodes", [-1, 0, 1, 2])
def test_too_few_nodes(nodes: int) -> None:
    """It is the option that is to be changed: there is no spec to be corrected."""
    with pytest.raises(ConfigurationError) as caught:
        split(breast_cancer(), "clustered", nodes)
    assert (caught.value.where, caught.value.found) == ("--nodes", str(nodes))
    assert "--nodes 3" in caught.value.remedy


@pytest.mark.parametrize(("sites", "problem"), [(2, "too few sites"), (60, "too many sites")])
def test_the_number_of_sites(tmp_path: Path, sites: int, problem: str) -> None:
    """Of two, each could subtract its part; sixty would be too many processes."""
    with pytest.raises(DataError) as caught:
        split(own(tmp_path, 240, sites=sites), "by-column", 5)
    error = caught.value
    assert (error.problem, error.found) == (problem, str(sites))
    assert error.where == f"{tmp_path / 'own.csv'}: column 'site'"
    assert "--site-column" in error.remedy


def test_a_site_with_one_row(tmp_path: Path) -> None:
    """Nothing could be tested on; the file and the site are named."""
    with pytest.raises(DataError, match=r"own.csv: site 'clinic-3': a site has one row"):
        split(own(tmp_path, 7), "by-column", 5)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Oslo", "oslo"), ("東京", "大阪"), ("St. Mary", "st--mary"), ("", "Unknown")],
)
def test_sites_that_would_be_one_node(tmp_path: Path, one: str, other: str) -> None:
    """Two hospitals never share a node in silence; with other names each has its own."""
    path = tmp_path / "own.csv"

    def sites(*labels: str) -> list[Site]:
        lines = [f"{i / 7},{i / 3},{label}\n" for i in range(10) for label in labels]
        path.write_text("a,y,site\n" + "".join(lines))
        return split(load_csv(path, "y", site_column="site"), "by-column", 3)

    assert len(sites("Bern", "Rom", "Paris", one)) == 4
    with pytest.raises(DataError, match="can't be told apart") as caught:
        sites("Bern", "Rom", one, "Paris", other)
    assert caught.value.where == f"{path}: column 'site'"
    assert caught.value.found == f"{one!r} and {other!r}"


def test_no_site_takes_another_process_s_name(tmp_path: Path) -> None:
    """The aggregator has a folder, a log and a process of that name."""
    path = tmp_path / "own.csv"
    lines = [f"{i / 7},{i / 3},{('Aggregator', 'b', 'c')[i % 3]}\n" for i in range(60)]
    path.write_text("a,y,site\n" + "".join(lines))
    sites = split(load_csv(path, "y", site_column="site"), "by-column", 3)
    assert [site.name for site in sites] == ["b", "c", "site-aggregator"]


def test_without_a_site_column(tmp_path: Path) -> None:
    """By-column needs one."""
    with pytest.raises(ConfigurationError, match="--site-column COLUMN"):
        split(breast_cancer(), "by-column", 5)
