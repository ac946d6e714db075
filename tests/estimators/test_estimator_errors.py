"""What the estimators refuse: a ValueError that speaks of parameters, and is the program's too."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from edge_node.config import DataSpec, FederationSpec, ModelSpec
from edge_node.errors import (
    CohortRefusedError,
    ConfigurationError,
    DataError,
    MachineError,
    NumericalError,
)
from edge_node.estimators import (
    FitError,
    InputError,
    ParameterError,
    RefusedRowsError,
    TangentMeshClassifier,
    TangentMeshRegressor,
)
from edge_node.estimators.errors import in_users_words, translated

X, y = load_diabetes(return_X_y=True)
SPEECH = re.compile(r"\bspec\b|TOML|federation|daemon", re.IGNORECASE)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown kernel": (
        {"kernels": ("linear",)},
        "must be a sequence, each element a str among .*'ntk'.*'rbf'.*Got .'linear',. instead",
    ),
    "a text for a sequence": ({"kernels": "ntk"}, "must be a sequence"),
    "a number for a sequence": ({"depths": 2}, "must be a sequence, each element an int"),
    "a number out of its range": ({"depths": (0,)}, r"must be positive integers. Got \(0,\)"),
    "an empty sequence": ({"activations": ()}, r"is empty. Got \(\) instead"),
    "a value twice": ({"biases": (1.0, 1.0)}, "names a value twice"),
    "a fraction": ({"landmarks": 1.5}, "must be an int or 'auto'|'auto' or an int"),
    "one landmark": ({"landmarks": 1}, "must be at least 2"),
    "a negative number": ({"newton_steps": -1}, "must not be negative. Got -1"),
    "infinity": ({"weight_variance": np.inf}, "must be positive. Got inf"),
    "a text for a number": ({"weight_variance": "2"}, "must be a float or None|None or a float"),
    "a boolean for an int": ({"seed": True}, "must be an int. Got True"),
    "a boolean for a choice": (
        {"site_refinement": True},
        r"must be a str among .'none', 'blocks', 'graph', 'auto'.; True is now 'auto'. Got True",
    ),
    "an int for a choice": ({"site_refinement": 3}, "must be a str among"),
    "no neighbours": ({"site_neighbours": 0}, "must be from 1 to 1000. Got 0"),
    "too many of them": ({"site_neighbours": 10**9}, "must be from 1 to 1000. Got 1000000000"),
    "an image of another size": ({"image": (3, 3, 1)}, "must be height, width and channels"),
    "too small a floor": ({"min_rows_per_category": 1}, "must be at least 3"),
    "a text for a floor": ({"min_rows_per_category": "many"}, "must be an int. Got 'many'"),
    "no numbers to tell": ({"most_told": 0.0}, "must be a positive, finite number. Got 0.0"),
    "landmarks in a file": ({"landmark_kinds": ("public",)}, "landmark"),
    "no threads": ({"threads": 0}, "must be None or an int, 1 or more"),
    "a text for a switch": ({"verbose": "yes"}, "must be a bool or a number"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], message: str) -> None:
    """By `fit`, with what it must be and what it was, as scikit-learn's messages do."""
    with pytest.raises(ParameterError, match=message) as caught:
        TangentMeshRegressor(**wrong).fit(X, y)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ConfigurationError)
    assert next(iter(wrong)) in str(caught.value)
    assert not SPEECH.search(str(caught.value))


def settings() -> Iterator[tuple[str, Any]]:
    """Each parameter that is a field of the spec, with the field's type."""
    for table in (ModelSpec, DataSpec, FederationSpec):
        for field in msgspec.structs.fields(table):
            if field.name in TangentMeshRegressor._get_param_names():
                yield field.name, field.type


def test_every_parameter_is_checked() -> None:
    """No type of a setting is an object: each refuses one, by the parameter's name."""
    names = [name for name, _ in settings()]
    assert len(names) > 15
    for name in names:
        with pytest.raises(ParameterError, match=f"'{name}' parameter of TangentMeshClassifier"):
            TangentMeshClassifier(**{name: object()}).fit(X, y > 100)


def test_sites_that_may_tell_too_little() -> None:
    """The error says which parameter lifts the ceiling, and lifting it helps."""
    rows = np.random.default_rng(0).permutation(len(y))[:36]
    few, target, sites = X[rows], y[rows], np.arange(36) % 3
    with pytest.raises(RefusedRowsError, match=r"may (not )?tell.*`most_told`") as caught:
        TangentMeshRegressor().fit(few, target, sites=sites)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CohortRefusedError)
    assert not SPEECH.search(str(caught.value))
    raised = TangentMeshRegressor(most_told=50.0, depths=(1,), biases=(1.0,), metric_repetitions=0)
    assert raised.fit(few, target, sites=sites).model_.provenance.bill.most_told == 50.0


@pytest.mark.parametrize(
    ("inputs", "target", "message"),
    [
        (X, np.full(len(y), 3.25), "target is constant in all rows"),
        (np.ones_like(X), y, "every input is constant in all rows"),
    ],
    ids=["target", "inputs"],
)
def test_nothing_to_learn_is_a_value_error(inputs: Any, target: Any, message: str) -> None:
    """What a daemon would report, without its federation."""
    with pytest.raises(InputError, match=message) as caught:
        TangentMeshRegressor().fit(inputs, target)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, DataError)
    assert not SPEECH.search(str(caught.value))


def test_numbers_without_a_model_are_a_value_error() -> None:
    """What can't be computed is caused by the rows, too; a full disk is not."""
    with pytest.raises(FitError, match=r"^evidence: no noise") as caught, translated():
        raise NumericalError("no noise explains the targets", where="evidence")
    assert isinstance(caught.value, ValueError)
    with pytest.raises(MachineError) as other, translated():
        raise MachineError("the disk is full")
    assert not isinstance(other.value, ValueError)


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("Correct the spec", "Correct the parameter"),
        ("set `model.site_refinement`", "set `site_refinement`"),
        ("column 'a' is constant over the whole federation", "column 'a' is constant in all rows"),
        ("Wait for more rows", "Give more rows"),
        ("too few rows in the federation", "too few rows in all"),
        ("this node holds no posterior", "this site holds no posterior"),
        (
            "Shorten it, or list the column's `categories` in the federation spec",
            "Shorten it",
        ),
    ],
)
def test_what_is_said_of_a_spec_is_said_of_parameters(said: str, understood: str) -> None:
    """Users of an estimator have neither a spec nor peers."""
    assert in_users_words(said) == understood


def test_a_question_that_has_no_answer_is_a_value_error() -> None:
    """A posterior that isn't there."""
    fitted = TangentMeshRegressor(landmarks=10, site_refinement="none").fit(X, y)
    with pytest.raises(InputError, match="this site holds no posterior of its own"):
        fitted.predict(X, which="site")


def test_columns_that_are_not_used_are_named() -> None:
    """A constant and an empty one; nothing is said where all are used."""
    inputs = X.copy()
    inputs[:, 3], inputs[:, 5] = 1.5, np.nan
    with pytest.warns(UserWarning, match="not used") as caught:
        fitted = TangentMeshRegressor(landmarks=15, depths=(1,), biases=(1.0,)).fit(inputs, y)
    said = sorted(str(each.message) for each in caught)
    assert [re.findall("'x[0-9]'", each) for each in said] == [["'x3'"], ["'x5'"]]
    assert not any(SPEECH.search(each) for each in said)
    assert all(each.filename == __file__ for each in caught)
    assert fitted.feature_importances_[[3, 5]].tolist() == [0.0, 0.0]
    TangentMeshRegressor(landmarks=15, depths=(1,), biases=(1.0,)).fit(X, y)


def test_a_costly_kernel_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first pass, with the numbers that a pair takes."""

    def nothing(*_: Any, **__: Any) -> Any:
        raise MachineError("not now")

    monkeypatch.setattr("edge_node.estimators.estimator.simulate", nothing)
    pixels, labels = load_breast_cancer(return_X_y=True)
    image = TangentMeshClassifier(kernels=("conv-ntk",), image=(5, 6, 1))
    with pytest.raises(MachineError), pytest.warns(UserWarning, match="conv-ntk.* 900 numbers"):
        image.fit(pixels, labels)
