"""Imports within training and export go one way: no circle, not even one for types alone."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph(*packages: str) -> dict[str, set[str]]:
    """Every module and what it imports of these packages, wherever in the file."""
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    names = {module_name(path) for path in files}
    graph = {}
    for path in files:
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= inner & names or {node.module}
        graph[module_name(path)] = found & names
    return graph


def test_no_circle_of_imports() -> None:
    try:
        TopologicalSorter(import_graph("training", "export")).prepare()
    except CycleError as exc:
        pytest.fail(" -> ".join(exc.args[1]))


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("training.losses", ("training.models", "training.stages", "training.trainer", "training.evaluation")),
        ("training.models", ("training.data", "training.stages", "training.trainer", "training.evaluation")),
        ("training.data", ("training.models", "training.losses", "training.stages", "training.trainer")),
        ("training.stages", ("training.trainer", "training.reproduce")),
        ("training", ("export",)),
    ],
)
def test_lower_layers_import_no_upper_one(lower: str, upper: tuple[str, ...]) -> None:
    wrong = [
        f"{module} imports {other}"
        for module, imported in import_graph("training", "export").items()
        if module == lower or module.startswith(f"{lower}.")
        for other in imported
        if other.startswith(upper)
    ]
    assert not wrong, "\n".join(wrong)
