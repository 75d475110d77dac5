"""What the report says in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from training.reproduce.orderings import Ordering, Verdict
from training.reproduce.results import Results

NOTES = {
    1: """<i>Paper (reimplemented)</i> is the preset <code>paper</code>, the method as published: the paper's figures
beside it are of its row <i>Ours</i>. <i>Class Pred.</i>, <i>Keyword</i> and <i>AdaIN</i> are <code>paper</code> with
the word vector of a tagger's label, that of the scene's name, or the statistics of another image in the place of the
audio embedding. <i>Our model</i> is another method (docs/training.md); nothing in the paper stands beside it. AMT needs
raters: <code>python -m training study</code> makes their page.""",
    2: """The paper's columns are of images of one season restyled to another. Here every image meets every scene's
audio.""",
    3: """Each ablation is <code>paper</code> but for one matter. <i>+ pre-training on the index</i> begins the audio
encoder with audio-visual pre-training on the training split; the published encoders are at the scale <i>paper</i>
alone.""",
    4: """<i>Paper (reimplemented)</i> has the place of the paper's <i>Ours (from scratch)</i>.""",
}

CONTROLS_NOTE = """<h2>Controls</h2><p>Without these no row above means much: a method that hears must do better
under its own sound than under another, than the untouched input, and than a transfer of colours (Reinhard et al.
2001) from a photograph that occurs with the sound.</p>"""

PROGRESS_NOTE = """<h2>The longer run of the paper's method</h2><p><i>Paper (reimplemented), longer run</i> is the same
preset on more images. Its checkpoints are measured on the first photographs of the evaluation. <b>audio's share</b>:
of the variance of Gdec's first map, for one photograph under the audio of every scene, what lies between the clips
and not between places; before its instance norm, and after it. <b>real pairs that D prefers</b>: how often the
discriminator gives a held-out photograph a higher score with audio of its own scene than with that of another;
chance is 0.5.</p>"""

BEHAVIOUR_NOTE = """<p><b>right scene</b>: share of images that a probe, trained on real photographs alone, puts in
the sound's scene. <b>gradient correlation</b>: of the edges with the input's; 1 keeps all. <b>swap effect</b>: how
far another sound moves the image. <b>gain-monotone</b>, <b>mix-monotone</b>: share of photographs where louder is
more, and where a mixture lies between its parts. <b>silence</b>: what a silent sound changes.</p>"""

CAPTIONS = {
    "comparison": ("Figure 5. All methods", "The first held-out photographs drawn, not chosen; the sound as recorded."),
    "volume": ("Figure 6. Volume", "The same sound softer and louder than recorded."),
    "mixing": ("Figure 7. Mixtures", "Convex combinations of two sounds, both brought to one level."),
    "unseen": ("Figures 8 and 14. Photographs and sounds from elsewhere", "None of them is in the index."),
    "soundtrack": (
        "Figure 10. An image under its own sound, louder and louder",
        "The held-out sound that the index pairs with the image: its soundtrack where the index was made of videos, "
        "another recording of the same scene where it was made of folders.",
    ),
    "speech": ("Figure 9, left. Speech over the scene's sound", "Decibels: the level of speech over the scene's."),
    "regions": (
        "Figure 9, right. Little to restyle",
        "The photographs of the evaluation with the most of the sky's blue, by colour alone.",
    ),
}


SEVERAL = {
    Verdict.HOLDS: "hold",
    Verdict.FAILS: "do not hold",
    Verdict.OPEN: "cannot be told",
    Verdict.LEFT_OUT: "are left out",
}


def opening(results: Results, orderings: Mapping[str, Sequence[Ordering]]) -> str:
    """The title, what was found of the paper's orderings, and everything that a reader must know before the tables."""
    scale = results.scale
    counts = Counter(each.verdict for name, found in orderings.items() if name != "Controls" for each in found)
    said = ", ".join(f"{counts[verdict]} {several}" for verdict, several in SEVERAL.items())
    return f"""<h1>Learning Visual Styles from Audio-Visual Associations, reproduced at the scale
<i>{escape(scale.name)}</i></h1>
<p>{escape(scale.meaning[0].upper() + scale.meaning[1:])}. Tables and figures are numbered as in the paper (Li et
al., ECCV 2022). Figures under <i>in the paper</i> are quoted; those under <i>here</i> were measured by this run, and
by other measures where published weights were not at hand, so only the <i>orderings</i> may be compared.</p>
<p id="summary"><b>Of the orderings that the paper's tables state: {said}.</b></p>
<ul>{"".join(f"<li>{note}</li>" for note in _notes(results))}</ul>"""


def _notes(results: Results) -> list[str]:
    setup = results.setup
    lengths = sorted({row["images"] for row in results.trained.values()})
    length = f"{lengths[0]:,}" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,}"
    minutes = sum(row["seconds"] for row in results.trained.values()) / 60
    notes = [
        f"""Every row learnt from {length} images, once, with the seed {results.seed}: what another seed would give
is not known. The intervals are over held-out photographs, not over runs. Training took {minutes:.0f} minutes of
processes.""",
        f"""Measured on {len(setup.cases)} held-out photographs of {setup.sources} sources at
{setup.size} px, each with a held-out sound of {", ".join(map(escape, setup.scenes))}. Means and 95 % bootstrap
intervals are over sources (videos, or groups of near-duplicates), never over images or clips; they say nothing of
how few recordings there are.""",
        f"""The scene probe names {setup.probe_accuracy:.0%} of real held-out
photographs rightly (chance {1 / len(setup.scenes):.0%}).""",
        """<b>avc_own</b> is the cosine of the towers of an audio-visual pre-training of our own. It was trained on the
training split from a seed of its own and drives no row; yet rows that begin with such a pre-training learnt from the
same pairs in the same way, which favours them.""",
        """<b>frechet_efficientnet</b> favours a row whose discriminator looked at that net's features: <i>Our
model</i> alone. Target and Copy have fewer different images than the rows, which raises theirs.""",
        """An ordering <i>holds</i> or <i>does not hold</i> where the two 95 % intervals lie apart, and <i>cannot be
told</i> where they overlap.""",
    ]
    notes += [escape(note) for note in setup.judges.notes]
    notes += [
        f"{escape(name)} diverged and is measured as it was last saved: {escape(row['diverged'])}"
        for name, row in results.trained.items()
        if "diverged" in row
    ]
    return notes
