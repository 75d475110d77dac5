"""docs/settings.md, made from the settings themselves: `adis settings --markdown`."""

from pathlib import Path
from typing import Any, Final

from service.settings import Settings

_HEAD: Final = """# Settings

Environment variables, or lines of a `.env` file in the working directory; lists are separated by commas.
`adis settings` prints this machine's values. Made by `adis settings --markdown`.

| variable | default | values | meaning |
|---|---|---|---|
"""


def write_reference() -> str:
    """Every setting with its default, the values that it takes and its meaning, as Markdown."""
    schema = Settings.model_json_schema()["properties"]
    rows = (
        f"| `ADIS_{name.upper()}` | {_default(field.default)} | {_values(field.annotation, schema[name])} "
        f"| {(field.description or '').replace('|', ' or ')} |\n"
        for name, field in Settings.model_fields.items()
    )
    return _HEAD + "".join(rows)


def show_value(value: Any) -> str:
    """A setting's value as its variable would hold it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _default(default: Any) -> str:
    if isinstance(default, Path) and default.is_absolute():
        return "of the package"
    shown = show_value(default)
    return f"`{shown}`" if shown else "none"


def _values(annotation: Any, schema: dict[str, Any]) -> str:
    """What the field's JSON schema says of its values: a choice, a type, bounds."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    option = {**schema, **options[0]}
    choices = option.get("enum") or option.get("items", {}).get("enum")
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = {"boolean": "`true`, `false`", "integer": "whole number", "number": "number"}.get(option.get("type", ""), "")
    bounds = [
        f"{words} {option[key]:g}" if abs(option[key]) < 1e6 else f"{words} {option[key]:,}"
        for key, words in _BOUNDS.items()
        if key in option
    ]
    return " ".join([kind, *bounds]).strip() or ("list" if option.get("type") == "array" else "text")


_BOUNDS: Final = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}
