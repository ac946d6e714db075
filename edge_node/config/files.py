"""Reading and writing specs and node files."""

import re
import tomllib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import tomli_w

from edge_node.config.checks import check_node_config, check_spec
from edge_node.config.node import NodeConfig
from edge_node.config.spec import FederationSpec, SiteRefinement
from edge_node.errors import ConfigurationError

__all__ = ["load_node_config", "load_spec", "parse_spec", "to_toml"]

Config = TypeVar("Config", FederationSpec, NodeConfig)


def parse_spec(text: str, *, where: str = "federation spec") -> FederationSpec:
    """Parse and check a federation spec.

    Raises:
        ConfigurationError: not TOML, an unknown or missing key, a value of the wrong type or range.
    """
    spec = _parse(text, FederationSpec, where)
    check_spec(spec, where=where)
    return spec


def load_spec(path: Path) -> FederationSpec:
    """Read a federation spec from a TOML file. Raises ConfigurationError."""
    return parse_spec(_read(path), where=str(path))


def load_node_config(path: Path) -> NodeConfig:
    """Read a node file (TOML). Raises ConfigurationError."""
    config = _parse(_read(path), NodeConfig, str(path))
    check_node_config(config, where=str(path))
    return config


def to_toml(config: FederationSpec | NodeConfig) -> bytes:
    """The file's content. TOML has no null, so a setting that isn't given is left out."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(config))).encode()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list | tuple) else value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "the file can't be read", where=str(path), found=str(error), remedy="Check the path"
        ) from error


def _parse(text: str, kind: type[Config], where: str) -> Config:
    try:
        table: dict[str, Any] = tomllib.loads(text)
        _refuse_old_words(table, where)
        return msgspec.convert(table, kind)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("not valid TOML", where=where, found=str(error)) from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            str(error),
            where=where,
            expected=_words(kind, str(error)),
            remedy="Compare with the examples in deploy/ and the tables of README.md",
        ) from error


def _words(kind: Any, problem: str) -> str:
    """The words that a setting may be; empty if it is no choice of words.

    Args:
        kind: of the whole file.
        problem: msgspec's, with the setting's path, such as `$.model.kernels[1]`.
    """
    path = re.search(r"`\$\.([\w.\[\]]+)`", problem)
    for name in re.sub(r"\[.*?\]", "", path[1]).split(".") if path else ():
        fields = msgspec.structs.fields(kind) if _is_table(kind) else ()
        found = [field.type for field in fields if field.encode_name == name]
        kind = next((each for each in _within(found) if _is_table(each) or _is_choice(each)), None)
    return ", ".join(f'"{each}"' for each in kind) if _is_choice(kind) else ""


def _within(kinds: Iterable[Any]) -> list[Any]:
    """Types, and those that they are made of: `tuple[A, ...]`, `A | None`."""
    return [each for kind in kinds for each in (kind, *_within(get_args(kind)))]


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, StrEnum)


def _refuse_old_words(table: dict[str, Any], where: str) -> None:
    """Raises ConfigurationError: a setting has a value that it could have before, and what to
    write instead.
    """
    model = table.get("model")
    found = model.get("site_refinement") if isinstance(model, dict) else None
    if isinstance(found, bool):
        raise ConfigurationError(
            "`model.site_refinement` is no longer a boolean",
            where=where,
            expected=", ".join(f'"{each}"' for each in SiteRefinement),
            found=str(found).lower(),
            remedy=f'Write site_refinement = "{"auto" if found else "none"}"',
        )
