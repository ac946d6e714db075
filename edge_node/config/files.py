"""Reading and writing specs and node files."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

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
            str(error), where=where, remedy="Compare with the examples in deploy/"
        ) from error


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
