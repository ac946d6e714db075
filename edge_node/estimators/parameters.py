"""An estimator's parameters as the spec that daemons would be given, and what is wrong with them.

A parameter is a field of the spec of the same name: of the model, the data, or the federation. Its
type is the field's, its range is what `edge_node.config.check_spec` demands. A message reads as
scikit-learn's do: "The 'depths' parameter of TangentMeshRegressor must be ... Got ... instead."
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import inspect

from edge_node.config import (
    DataSpec,
    FederationSpec,
    KernelKind,
    ModelSpec,
    SiteRefinement,
    check_spec,
)
from edge_node.errors import ConfigurationError
from edge_node.estimators.errors import ParameterError, in_users_words

__all__ = ["check_switch", "check_threads", "checked_spec", "settings", "warnings_of"]

Spec = TypeVar("Spec", bound=msgspec.Struct)

_COMPLAINT = re.compile(r"`(?:\w+\.)?(\w+)`:? (.*)")
"""What `check_spec` says of one setting."""

_SIMPLE: dict[type[inspect.Type], str] = {
    inspect.NoneType: "None",
    inspect.BoolType: "a bool",
    inspect.IntType: "an int",
    inspect.FloatType: "a float",
}


def settings(spec: type[Spec], parameters: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Those parameters that are fields of ``spec``, as values of the fields' types.

    Args:
        spec: a table of the federation's spec.
        parameters: all of an estimator's.
        of: the estimator's name.

    Raises:
        ParameterError: a value is not of its field's type.
    """
    fields = {field.name: field.type for field in msgspec.structs.fields(spec)}
    return {
        name: _converted(name, value, fields[name], of)
        for name, value in parameters.items()
        if name in fields
    }


def checked_spec(
    parameters: Mapping[str, Any], data: Mapping[str, Any], *, nodes: int, of: str
) -> FederationSpec:
    """What daemons would be given for the same model.

    Args:
        parameters: the estimator's.
        data: what X and y say of the schema: task, target, columns, classes.
        nodes: how many sites there are at least.
        of: the estimator's name.

    Raises:
        ParameterError: a parameter is of a wrong type or out of its range.
    """
    spec = FederationSpec(
        **settings(FederationSpec, parameters, of=of)
        | {
            "name": "in-process",
            "data": DataSpec(**settings(DataSpec, parameters, of=of) | dict(data)),
            "model": ModelSpec(**settings(ModelSpec, parameters, of=of)),
            "minimum_nodes": nodes,
            "minimum_rows": 0,
        }
    )
    try:
        check_spec(spec, where=of)
    except ConfigurationError as error:
        found = _COMPLAINT.fullmatch(error.problem)
        if found is None or found[1] not in parameters:
            raise
        complaint = in_users_words(found[2])
        raise _wrong(found[1], complaint, parameters[found[1]], of) from error
    return spec


def check_switch(name: str, value: object, *, of: str) -> None:
    """Check a parameter that turns something on, as scikit-learn does: a boolean or a number.

    Raises:
        ParameterError: it is neither.
    """
    if not isinstance(value, bool | int | np.bool_ | np.integer) or value < 0:
        raise _wrong(name, "must be a bool or a number that is not negative", value, of)


def check_threads(name: str, value: object, *, of: str) -> None:
    """Check a number of processor threads.

    Raises:
        ParameterError: it is neither None nor 1 or more.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is not None and not (whole and value >= 1):  # type: ignore[operator]
        raise _wrong(name, "must be None or an int, 1 or more", value, of)


def warnings_of(spec: FederationSpec) -> list[str]:
    """A sentence about a kernel that takes minutes where others take a second."""
    if KernelKind.CONV_NTK not in spec.model.kernels or spec.model.image is None:
        return []
    height, width, _ = spec.model.image
    return [
        "conv-ntk is for a few hundred small images: each row takes, for each landmark, layer and"
        f" pass, {(height * width) ** 2} numbers"
    ]


def _converted(name: str, value: Any, kind: Any, of: str) -> Any:
    try:
        return msgspec.convert(_plain(value), kind)
    except msgspec.ValidationError as error:
        right = _described(inspect.type_info(kind))
        if kind is SiteRefinement and isinstance(value, bool):  # as it was
            right += f"; {value} is now {'auto' if value else 'none'!r}"
        raise _wrong(name, f"must be {right}", value, of) from error


def _wrong(name: str, complaint: str, value: object, of: str) -> ParameterError:
    return ParameterError(
        f"The {name!r} parameter of {of} {complaint}", remedy=f"Got {value!r} instead"
    )


def _described(kind: inspect.Type) -> str:
    """A field's type in words."""
    match kind:
        case inspect.EnumType(cls=cls):
            return "a str among {" + ", ".join(repr(each.value) for each in cls) + "}"
        case inspect.LiteralType(values=values):
            return " or ".join(map(repr, values))
        case inspect.VarTupleType(item_type=item) | inspect.TupleType(item_types=(item, *_)):
            return f"a sequence, each element {_described(item)}"
        case inspect.UnionType(types=types):
            return " or ".join(_described(each) for each in types)
        case _:
            return _SIMPLE.get(type(kind), "a str")


def _plain(value: Any) -> Any:
    """NumPy's numbers, which a parameter grid is often made of, as Python's."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
