"""The report: one HTML file with its images inside, that asks nothing of any other host."""

from __future__ import annotations

from html import escape
from pathlib import Path

from training.data.files import written_whole
from training.reproduce import html
from training.reproduce.captions import BEHAVIOUR_NOTE, CAPTIONS, CONTROLS_NOTE, NOTES, PROGRESS_NOTE, opening
from training.reproduce.charts import chart
from training.reproduce.orderings import Ordering, control_orderings, table_orderings
from training.reproduce.results import Results
from training.reproduce.rows import ROWS

TEMPLATE = Path(__file__).with_name("page.html")
MOST_BYTES = 1_000_000
UNBOUNDED = ("losses", "swap effect /255")  # charts whose axis ends where the highest band does
SIDES_AND_QUALITIES = ((160, 82), (112, 80), (96, 70), (96, 50), (64, 50))  # of the images; the first that fits


def orderings_of(results: Results) -> dict[str, list[Ordering]]:
    """The paper's by table, and those that any method must meet."""
    found = {f"Table {number}": table_orderings(number, ROWS, results.figures) for number in html.TITLES}
    return {**found, "Controls": control_orderings(list(results.trained), results.figures)}


def write_report(results: Results, path: Path) -> int:
    """Write the file, its images as large as MOST_BYTES allows; returns its size in bytes."""
    for side, quality in SIDES_AND_QUALITIES:
        page = TEMPLATE.read_text().replace("<!--REPORT-->", _body(results, side, quality))
        if len(page.encode()) < MOST_BYTES:
            break
    with written_whole(path) as partial:
        partial.write_text(page)
    return len(page.encode())


def _body(results: Results, side: int, quality: int) -> str:
    orderings = orderings_of(results)
    parts = [opening(results, orderings)]
    for number, title in html.TITLES.items():
        parts.append(f"<h2>Table {number}. {title}</h2><p>{NOTES[number]}</p>")
        parts.append(html.figures_table(number, ROWS, results.figures, results.left_out))
        parts.append("<h3>What the paper's table says, and what is seen here</h3>")
        parts.append(html.orderings_table(orderings[f"Table {number}"]))
    parts += [CONTROLS_NOTE, html.controls_table(orderings["Controls"])]
    parts += _progress(results)
    parts += ["<h2>How the images follow the sound</h2>", html.behaviour_table(results.figures), BEHAVIOUR_NOTE]
    charts = _charts(results)
    for name, (title, caption) in CAPTIONS.items():
        parts.append(f"<h2>{title}</h2>")
        if name in results.panels:
            parts.append(f"<p>{caption}</p>" + html.panel_table(results.panels[name], side, quality))
        else:
            parts.append(f'<p class="absent">Left out: {escape(results.missing_panels[name])}</p>')
        parts.append(charts.get(name, ""))
    return "\n".join(parts)


def _progress(results: Results) -> list[str]:
    """The section on the longer run, where there is one."""
    if not results.progress:
        return []
    drawn = [
        f"<div>{chart(curves, 'images seen', name, top=None if name in UNBOUNDED else 1.0)}</div>"
        for name, curves in results.progress.items()
        if curves
    ]
    return [PROGRESS_NOTE, f'<div class="charts" id="progress">{"".join(drawn)}</div>']


def _charts(results: Results) -> dict[str, str]:
    """The curves that belong to a panel, by its name."""
    sweeps = results.sweeps
    change = "change of the image /255"
    drawn = {
        "volume": [chart(sweeps.volume, "gain in dB", change)],
        "mixing": [chart(sweeps.mixing, "weight of the second sound", "way to the second's image", top=1.0)],
    }
    if sweeps.speech:
        across = "speech over the scene in dB"
        drawn["speech"] = [
            chart(sweeps.speech, across, change),
            chart(sweeps.speech_scene, across, "share taken for the scene", top=1.0),
        ]
    note = f"<p>Means over the sources of {sweeps.photographs} photographs, with 95 % bands.</p>"
    return {
        name: f'<div class="charts">{"".join(f"<div>{one}</div>" for one in several)}</div>{note}'
        for name, several in drawn.items()
    }
