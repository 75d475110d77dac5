"""For MkDocs: a reference page for each module, and links that leave docs/ shown as the paths they are."""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT: Final = Path(__file__).resolve().parents[1]
_PACKAGES: Final = ("service", "training", "export")
_OUTSIDE: Final = re.compile(r"\[([^\]]*)\]\((?:\.\./)+(?!docs/)([^)#]+)[^)]*\)")


def _modules(package: str) -> list[str]:
    paths = sorted((_ROOT / package).rglob("*.py"))
    names = (path.relative_to(_ROOT).with_suffix("") for path in paths)
    return [".".join(name.parts).removesuffix(".__init__") for name in names if name.name != "__main__"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the reference and the decisions to the navigation."""
    assert config.nav is not None
    records = sorted(path.name for path in (_ROOT / "docs/adr").glob("[0-9]*.md"))
    navigation: list[Any] = list(config.nav)
    navigation.append({"Decisions": ["adr/README.md", *(f"adr/{name}" for name in records)]})
    navigation.append({"Reference": [{name: [_page(m) for m in _modules(name)]} for name in _PACKAGES]})
    config.nav = navigation
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each module, which mkdocstrings fills from its docstrings."""
    for package in _PACKAGES:
        for module in _modules(package):
            content = f"# `{module}`\n\n::: {module}\n"
            files.append(File.generated(config, _page(module), content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Show a link to a file of the repository that is no page as that file's path."""

    def replace(match: re.Match[str]) -> str:
        inside = (
            Path(page.file.abs_src_path).parent / match[0].rpartition("](")[2].rstrip(")").partition("#")[0]
        ).resolve()
        return match[0] if inside.is_relative_to(_ROOT / "docs") else f"`{match[2]}`"

    return markdown if page.file.abs_src_path is None else _OUTSIDE.sub(replace, markdown)


def _page(module: str) -> str:
    return f"reference/{module}.md"
