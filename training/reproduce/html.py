"""Pieces of the report as HTML: tables of figures, orderings, grids of images."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from training.evaluation.metrics.judges import SHUFFLED
from training.reproduce import rows as paper
from training.reproduce.measure import COPY_NAME, TARGET_NAME, TRANSFER_NAME, Figure, Figures, short
from training.reproduce.orderings import Ordering, Verdict, measure_key, scene_key
from training.reproduce.panels import Panel, shrunk
from training.reproduce.rows import Row

TABLE_MEASURES: Mapping[int, Sequence[str]] = {
    1: (paper.AVC, paper.FID, paper.AMT, paper.CLIP),
    2: (paper.RAINY, paper.SUNNY, paper.SNOWY),
    3: (paper.AVC, paper.FID, paper.CLIP),
    4: (paper.AVC, paper.FID, paper.CLIP),
}
TITLES = {
    1: "Against baselines",
    2: "Correspondence by scene",
    3: "Ablations",
    4: "Pre-training of the audio encoder",
}
BEHAVIOUR = ("right scene", "gradient correlation", "swap effect /255", "gain-monotone", "mix-monotone", "silence /255")
CLASSES = {Verdict.HOLDS: "holds", Verdict.FAILS: "fails", Verdict.OPEN: "open", Verdict.LEFT_OUT: "absent"}


def figures_table(number: int, listed: Sequence[Row], figures: Mapping[str, Figures], why: Mapping[str, str]) -> str:
    """A table of the paper: its own figures on the left, what was measured here on the right."""
    measures = TABLE_MEASURES[number]
    find = scene_key if number == 2 else measure_key
    keys = [key for measure in measures if (key := find(measure, figures)) is not None]
    shuffled = measure_key(paper.AVC, figures)
    if number != 2:
        keys = [*([shuffled + SHUFFLED] if shuffled else []), *keys, "right scene", "gradient correlation"]
        keys.sort(key=lambda key: key != shuffled)  # the measure itself before its control
    names: dict[str, Mapping[str, float]] = {TARGET_NAME: paper.TARGET if number == 1 else {}}
    names |= {COPY_NAME: {}, TRANSFER_NAME: {}}
    names |= {row.name: row.tables[number] for row in listed if number in row.tables}
    head = f'<tr><th rowspan="2">method</th><th colspan="{len(measures)}">in the paper</th>'
    head += f'<th colspan="{len(keys) + 1}">here</th></tr><tr>'
    head += "".join(f"<th>{escape(m)}</th>" for m in (*measures, *keys, "photographs or videos")) + "</tr>"
    body = []
    for name, said in names.items():
        cells = "".join(f"<td>{said[m]:g}</td>" if m in said else "<td></td>" for m in measures)
        if name in figures:
            found = figures[name]
            cells += "".join(figure_cell(found.get(key)) for key in keys)
            cells += f"<td>{max((found[key].sources for key in keys if key in found), default=0)}</td>"
        else:
            reason = why.get(name, "not trained")
            cells += f'<td class="absent" colspan="{len(keys) + 1}">left out: {escape(reason)}</td>'
        body.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f'<div class="wide"><table id="table-{number}">{head}{"".join(body)}</table></div>'


def behaviour_table(figures: Mapping[str, Figures]) -> str:
    """What no table of the paper has: how the images answer to the sound, and what they keep of the photograph."""
    head = "<tr><th>method</th>" + "".join(f"<th>{escape(key)}</th>" for key in BEHAVIOUR) + "</tr>"
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(figure_cell(found.get(key)) for key in BEHAVIOUR)}</tr>"
        for name, found in figures.items()
        if name != TARGET_NAME
    )
    return f'<div class="wide"><table id="table-behaviour">{head}{body}</table></div>'


def figure_cell(figure: Figure | None) -> str:
    if figure is None:
        return "<td></td>"
    interval = f"<small>{short(figure.low)} to {short(figure.high)}</small>" if figure.has_interval else ""
    return f"<td>{short(figure.mean)}{interval}</td>"


def orderings_table(found: Sequence[Ordering]) -> str:
    """Those that were looked at, and how many could not be."""
    seen = [each for each in found if each.verdict is not Verdict.LEFT_OUT]
    rest = f"<p>{len(found) - len(seen)} of {len(found)} orderings are left out: {_reasons(found)}.</p>"
    if len(seen) == len(found):
        rest = ""
    body = "".join(
        f'<tr class="{CLASSES[each.verdict]}"><td>{escape(each.verdict.value)}</td><td>{escape(each.measure)}</td>'
        f"<td>{escape(each.better)}</td><td>{escape(each.worse)}</td><td>{escape(each.paper)}</td>"
        f"<td>{escape(each.found)}</td></tr>"
        for each in seen
    )
    head = "".join(f"<th>{name}</th>" for name in ("here it", "by", "better", "worse", "in the paper", "found"))
    table = f'<div class="wide"><table class="orderings"><tr>{head}</tr>{body}</table></div>' if seen else ""
    return table + rest


def _reasons(found: Sequence[Ordering]) -> str:
    """What the orderings that were left out lack, each said once."""
    return escape("; ".join(dict.fromkeys(each.found for each in found if each.verdict is Verdict.LEFT_OUT)))


def controls_table(found: Sequence[Ordering]) -> str:
    """A row a method, a column a measure and a control; each cell says whether the method is better."""
    columns = list(dict.fromkeys((each.measure, each.worse) for each in found))
    cells = {(each.better, each.measure, each.worse): each for each in found}
    head = "".join(
        f"<th>{escape(measure)}: better than {escape(worse[0].lower() + worse[1:])}</th>" for measure, worse in columns
    )
    body = []
    for method in dict.fromkeys(each.better for each in found):
        seen = [cells[method, *column] for column in columns]
        row = "".join(
            f'<td class="{CLASSES[each.verdict]}">{escape(each.verdict.value)}<small>{escape(each.found)}</small></td>'
            for each in seen
        )
        body.append(f"<tr><th>{escape(method)}</th>{row}</tr>")
    return f'<div class="wide"><table id="table-controls"><tr><th>method</th>{head}</tr>{"".join(body)}</table></div>'


def panel_table(panel: Panel, side: int, quality: int) -> str:
    head = "<tr><th></th>" + "".join(f"<th>{escape(name)}</th>" for name in panel.columns) + "</tr>"
    body = []
    for label, images in panel.rows:
        cells = [
            f'<td><img src="{data_uri(shrunk(pixels, side), quality)}" alt="{escape(f"{label}: {column}")}"></td>'
            for column, pixels in zip(panel.columns, images, strict=True)
        ]
        body.append(f"<tr><th>{escape(label)}</th>{''.join(cells)}</tr>")
    return f'<div class="wide"><table class="images" id="panel-{panel.name}">{head}{"".join(body)}</table></div>'


def data_uri(image: Image.Image, quality: int) -> str:
    data = io.BytesIO()
    image.save(data, "WEBP", quality=quality, method=6)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()
