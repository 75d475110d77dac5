"""Presets: training configurations as TOML files that can be copied and changed, and single settings on top of them.

A file names a `base` preset and what differs from it, or a `kind` of model and what differs from its defaults.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.config import TrainingConfig, setting_names, to_dict
from training.kinds import KINDS, config_from_dict

FOLDER = Path(__file__).with_name("presets")


class PresetError(ValueError):
    """A preset or a setting that cannot be used; the message says what to do."""


def read_preset(name: str) -> TrainingConfig:
    """A preset by its name, or by the path of a TOML file of one's own. Raises PresetError."""
    values = _values(name, ())
    try:
        return config_from_dict(values)
    except ValueError as exc:
        raise PresetError(f"{_path(name)}: {exc}") from exc


def with_settings(config: TrainingConfig, settings: Iterable[str]) -> TrainingConfig:
    """The configuration with each `name.of.setting=value` applied. Raises PresetError."""
    values = to_dict(config)
    known = list(setting_names(type(config)))
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals:
            raise PresetError(f"{setting!r} is no setting: write NAME=VALUE, such as losses.nce=0.2")
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.4)
            raise PresetError(f"there is no setting {name!r}" + (f"; near it: {', '.join(near)}" if near else ""))
        *groups, last = name.split(".")
        inner = values
        for group in groups:
            inner = inner[group]
        inner[last] = _parsed(text.strip())
    if values["kind"] != config.kind:
        raise PresetError("the kind of the model is the preset's: choose another --preset")
    try:
        return config_from_dict(values)
    except ValueError as exc:
        raise PresetError(str(exc)) from exc


def preset_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _path(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"


def _values(name: str, below: tuple[str, ...]) -> dict[str, Any]:
    if name in below:
        raise PresetError(f"the presets {' -> '.join((*below, name))} are each other's base")
    path = _path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as exc:
        near = difflib.get_close_matches(name, preset_names(), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise PresetError(f"there is no preset {name!r}{hint} known: {', '.join(preset_names())}") from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PresetError(f"{path} is no preset: {exc}") from exc
    base = values.pop("base", None)
    merged = {} if base is None else _values(str(base), (*below, name))
    return {**_merged(merged, values), "preset": path.stem}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _parsed(text: str) -> Any:
    """A number, true or false, a list as TOML writes them; everything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


PRESETS: Mapping[str, TrainingConfig] = {name: read_preset(name) for name in preset_names()}
assert all(config.kind in KINDS for config in PRESETS.values()), "a preset names its kind"
