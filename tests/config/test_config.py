"""A spec that could not be meant is refused, with the key and what is wrong with it."""

from pathlib import Path

import msgspec
import pytest

from edge_node.config import (
    Floors,
    LandmarkKind,
    NodeConfig,
    SitePolicy,
    load_node_config,
    load_spec,
    parse_spec,
    to_toml,
)
from edge_node.errors import ConfigurationError

GOOD = """
name = "wards"
[data]
task = "classification"
target = "y"
classes = ["no", "yes"]
columns = [{ name = "a" }, { name = "c", kind = "categorical", categories = ["north", "south"] }]
"""


PUBLIC = '[model]\nlandmark_kinds = ["public"]\npublic_landmarks_sha256 = "' + 64 * "a" + '"\n'


def test_a_spec_is_read() -> None:
    """As it stands."""
    spec = parse_spec(GOOD)
    assert spec.data.columns[1].categories == ("north", "south")
    assert spec.model.tried_landmark_kinds == (LandmarkKind.GAUSSIAN, LandmarkKind.KMEANS)
    auto = parse_spec(GOOD + PUBLIC.replace('"public"', '"auto"')).model
    assert auto.tried_landmark_kinds == (*spec.model.tried_landmark_kinds, LandmarkKind.PUBLIC)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('{ name = "a" }', '{ name = "c" }', "names a column twice"),
        ('{ name = "a" }', '{ name = "y" }', "target 'y' is also an input"),
        ('["no", "yes"]', '["no"]', "at least two distinct"),
        ('["no", "yes"]', '["no", "yes", "no"]', "`data.classes` names a label twice"),
        ('["no", "yes"]', '["no", "yes "]', "`data.classes` has a label.*space"),
        ('"north", "south"', '"north", "north"', "c.categories` names a label twice"),
        ('"north", "south"', '"north", ""', "c.categories` has a label that is empty"),
        ('kind = "categorical", ', "", '`categories` are for columns of `kind = "categorical"`'),
        (
            '{ name = "a" }',
            '{ name = "a", kind = "site" }, { name = "b", kind = "site" }',
            "one of",
        ),
        ("classes", "clases", "clases"),
        ('"classification"', '"regression"', "is for classification"),
        ('"classification"', '"count"', "is for classification and ordinal targets"),
        ('"classification"', '"ordinal"', "at least three `data.classes`, in their order"),
        ('["no", "yes"]', '["no", "yes"]\nevent = "e"', "`data.event` is for survival only"),
        (
            '"classification"\ntarget = "y"\nclasses = ["no", "yes"]',
            '"survival"\ntarget = "y"',
            "survival needs `data.event`",
        ),
        (
            '"classification"\ntarget = "y"\nclasses = ["no", "yes"]',
            '"survival"\ntarget = "y"\nevent = "a"',
            "event 'a' is also an input column",
        ),
        ("[data]", '[data]\ntime = "t"', "`data.time` is for regression only"),
        ("[data]", '[model]\ndistribution = "weibull"\n[data]', "`model.distribution` is for"),
        ("[data]", '[data]\ntime = "y"', "`data.time` names the target, 'y'"),
    ],
)
def test_a_spec_that_could_not_be_meant(before: str, after: str, complaint: str) -> None:
    """Duplicates, labels that no cell can be, and keys that would have no effect."""
    assert before in GOOD
    with pytest.raises(ConfigurationError, match=complaint):
        parse_spec(GOOD.replace(before, after, 1))


@pytest.mark.parametrize("rows", [-7, 0, 1, 2])
@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("data", "min_rows_per_category"),
        ("model", "min_rows_per_landmark"),
        ("policy", "min_rows_per_category"),
        ("policy", "min_rows_per_landmark"),
    ],
)
def test_no_floor_is_below_three(table: str, key: str, rows: int, tmp_path: Path) -> None:
    """Neither the spec's nor the site's; a sum over two rows would be two rows."""
    texts = {
        "data": GOOD.replace("classes", f"{key} = {rows}\nclasses", 1),
        "model": GOOD + f"[model]\n{key} = {rows}\n",
        "policy": f'name = "a"\ndata = "rows.csv"\n[policy]\n{key} = {rows}\n',
    }
    path = tmp_path / "it.toml"
    path.write_text(texts[table])
    with pytest.raises(ConfigurationError, match=rf"`{table}.{key}` must be at least 3"):
        load_node_config(path) if table == "policy" else load_spec(path)
    path.write_text(texts[table].replace(f"{key} = {rows}", f"{key} = 3"))
    load_node_config(path) if table == "policy" else load_spec(path)


def test_the_highest_floor_holds() -> None:
    """The code's, the spec's or the site's: none lowers another."""
    spec = parse_spec(GOOD)
    assert Floors.of(spec) == Floors(5, 5)
    assert Floors.of(spec, SitePolicy(min_rows_per_category=10)) == Floors(10, 5)
    data = msgspec.structs.replace(spec.data, min_rows_per_category=-7)
    model = msgspec.structs.replace(spec.model, min_rows_per_landmark=1)
    reckless = msgspec.structs.replace(spec, data=data, model=model)  # as if nobody checked it
    policy = SitePolicy(min_rows_per_category=0, min_rows_per_landmark=0)
    assert Floors.of(reckless, policy) == Floors(3, 3)


def test_a_site_column_is_not_the_only_input() -> None:
    """A node's name alone says nothing about a row."""
    text = GOOD.split("columns")[0] + 'columns = [{ name = "where", kind = "site" }]\n'
    with pytest.raises(ConfigurationError, match="an input beside the site column"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('"public"', '"public", "auto"', "stands alone"),
        ('"public"', '"kmeans"', "is for `public` or `auto` landmarks"),
        (64 * "a", "", "`public` landmarks need"),
        (64 * "a", 64 * "A", "64 digits 0-9, a-f"),
        (64 * "a", 63 * "a", "64 digits 0-9, a-f"),
        ("[model]", "[model]\nlandmarks = 1", "at least 2"),
    ],
)
def test_landmarks_that_could_not_be_meant(before: str, after: str, complaint: str) -> None:
    """A file that no kind needs, a kind without its file, a single landmark."""
    parse_spec(GOOD + PUBLIC)
    assert before in PUBLIC
    with pytest.raises(ConfigurationError, match=complaint):
        parse_spec(GOOD + PUBLIC.replace(before, after, 1))


def test_as_many_landmarks_as_rows_allow_unless_a_ceiling_is_given() -> None:
    """`auto` has a ceiling of its own; another word is refused."""
    assert parse_spec(GOOD + '[model]\nlandmarks = "auto"\n') == parse_spec(GOOD)
    assert parse_spec(GOOD).landmark_count == 500
    assert parse_spec(GOOD + "[model]\nlandmarks = 50\n").landmark_count == 50
    with pytest.raises(ConfigurationError, match="landmarks"):
        parse_spec(GOOD + '[model]\nlandmarks = "many"\n')


@pytest.mark.parametrize(("old", "new"), [("true", "auto"), ("false", "none")])
def test_a_setting_that_was_a_boolean_says_what_to_write(old: str, new: str) -> None:
    """And what it says is read."""
    text = f"{GOOD}[model]\nsite_refinement = {old}\n"
    with pytest.raises(ConfigurationError, match=rf'site_refinement = "{new}"'):
        parse_spec(text)
    again = parse_spec(text.replace(old, f'"{new}"'))
    assert again.model.site_refinement == new


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Settings that aren't given are left out, also of columns and policies: TOML has no null."""
    node = NodeConfig(name="a", data="rows.csv", listen="", advertise="")
    (tmp_path / "node.toml").write_bytes(to_toml(node))
    assert load_node_config(tmp_path / "node.toml") == node
    spec = parse_spec(GOOD)
    assert parse_spec(to_toml(spec).decode()).digest() == spec.digest()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[model]\nsite_refinement = "Graph"\n', '"none", "blocks", "graph", "auto"'),
        ("[model]\nsite_refinement = 1\n", '"none", "blocks", "graph", "auto"'),
        ('[model]\nactivations = ["relu", "tanh"]\n', '"relu", "erf", "gelu"'),
        ("[model]\nsite_neighbours = 1.5\n", ""),
        ("[model]\nsite_neighbors = 3\n", ""),
    ],
)
def test_a_word_that_is_none_is_refused_with_those_that_may_be(lines: str, words: str) -> None:
    """Also in a list; a number has no words."""
    with pytest.raises(ConfigurationError) as caught:
        parse_spec(GOOD + lines)
    assert caught.value.expected == words
    assert "README.md" in caught.value.remedy
