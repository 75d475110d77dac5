"""The documentation names what exists, is wrapped, and lists every decision."""

import re
from pathlib import Path

import pytest

from tests.support.running_service import ROOT

WRITTEN_BY_PROGRAM = ROOT / "docs/settings.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WIDTH = 100
_NAMED = r"`((?:service|training|export|tests|docker|requirements)/[\w./-]+)`"


def prose(page: Path) -> list[str]:
    """The lines of a page that can be wrapped: no code, no tables, no links and images that are longer than a line."""
    text = re.sub(r"^\s*```.*?^\s*```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if not line.lstrip().startswith(("|", "![")) and " " in line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_wrapped(page: Path) -> None:
    if page == WRITTEN_BY_PROGRAM:
        return
    long = [line for line in prose(page) if len(line) > WIDTH and " " in line[:WIDTH].strip() and "](" not in line]
    assert not long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_links_or_names_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    is_record = page.parent.name == "adr"  # which names what there was when it was written
    named = [] if is_record else re.findall(_NAMED, text)
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_every_decision_is_in_the_index_once() -> None:
    records = {path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md")}
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (ROOT / "docs/adr/README.md").read_text())
    assert sorted(listed) == sorted(records)
    assert len({name[:4] for name in records}) == len(records)


def test_the_readme_has_the_figures_of_the_models_card() -> None:
    """Of the model, transferred colors and the input, in this order."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    card = (ROOT / "models/demo/README.md").read_text()
    for row in ("right scene", "right of three scenes"):
        cells = re.search(rf"^\| {row} \| (.*) \|$", card, re.MULTILINE)
        assert cells is not None, row
        means = [cell.split()[0] for cell in cells[1].split("|")]
        model, colors, image = means[0], means[-2], means[-1]
        assert re.search(rf"\b{model} [^()]*\([^()]*{colors};[^()]*{image}\)", readme), (row, means)
