"""`python -m training reproduce`: train the rows of the paper's tables, measure them, write the report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.reproduce.rows import LONGER_NAME, OUR_NAME, PAPER_NAME
from training.reproduce.scale import SCALES
from training.train_command import add_sources

if TYPE_CHECKING:
    from training.evaluation.metrics.judges import JudgeWeights
    from training.reproduce.results import Results
    from training.reproduce.run import RowSources

REPORT, RESULTS = "report.html", "results.json"
SHOWN = (PAPER_NAME, OUR_NAME)  # in the figures with one method a row


def add_reproduce(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("reproduce", help="make the paper's tables and figures again, as one report")
    meanings = "; ".join(f"{scale.name}: {scale.meaning}" for scale in SCALES.values())
    parser.add_argument("scale", choices=list(SCALES), metavar="SCALE", help=meanings)
    parser.add_argument("--index", type=Path, required=True, help="index of what occurs together (JSON lines)")
    parser.add_argument(
        "--output", type=Path, required=True, help=f"folder of the runs and {REPORT}; the same command goes on"
    )
    parser.add_argument("--processes", type=int, default=2, help="rows that train at a time (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each of them (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.add_argument(
        "--rows", default="", metavar="ROW,ROW", help="train these alone, in this order; the report names the others"
    )
    parser.add_argument(
        "--unseen", type=Path, metavar="FOLDER", help="photographs and sounds from elsewhere, for Fig. 8"
    )
    parser.add_argument("--speech", type=Path, metavar="FILE", help="a recording of speech, for Fig. 9")
    parser.add_argument(
        "--audio-weights",
        action="append",
        default=[],
        metavar="PRESET=FILE",
        help="of the rows selavi, wav2clip and scene (our model)",
    )
    add_sources(parser)
    parser.add_argument("--openl3-audio", type=Path, metavar="PATH", help="openl3_audio_linear_env.h5, for AVC")
    parser.add_argument("--openl3-image", type=Path, metavar="PATH", help="openl3_image_linear_env.h5, for AVC")
    parser.add_argument("--inception", type=Path, metavar="PATH", help="inception-2015-12-05.pt, for FID")
    parser.add_argument("--clip", type=Path, metavar="PATH", help="OpenAI's ViT-B-32.pt, for CLIP (extra `metrics`)")


def run_reproduce(options: argparse.Namespace) -> Path:
    """Returns the report's path. Raises ReproduceError, PairingError, MediaError and CheckpointError."""
    import torch

    from training.evaluation.metrics.judges import JudgeWeights
    from training.reproduce.run import ReproduceError, RowSources

    if options.processes < 1 or options.threads < 1:
        raise ReproduceError("--processes and --threads must be 1 or more")
    for path in (options.index, options.unseen, options.speech):
        if path is not None and not path.exists():
            raise ReproduceError(f"there is no {path}")
    torch.set_num_threads(options.processes * options.threads)
    weights = JudgeWeights(options.openl3_audio, options.openl3_image, options.inception, options.clip)
    return reproduce(
        options.scale,
        options.index,
        options.output,
        processes=options.processes,
        threads=options.threads,
        seed=options.seed,
        unseen=options.unseen,
        speech=options.speech,
        sources=RowSources(
            _named_files(options.audio_weights),
            options.word_vectors,
            options.tagger,
            [name for name in options.rows.split(",") if name],
        ),
        weights=weights,
    )


def reproduce(
    scale_name: str,
    index: Path,
    output: Path,
    *,
    processes: int,
    threads: int,
    seed: int,
    unseen: Path | None,
    speech: Path | None,
    sources: RowSources,
    weights: JudgeWeights,
) -> Path:
    """Everything that is not there yet, and the report; returns its path."""
    from training.evaluation.inference import CheckpointModel
    from training.reproduce import panels
    from training.reproduce.measure import measure_all, set_up
    from training.reproduce.progress import follow
    from training.reproduce.report import write_report
    from training.reproduce.results import Results
    from training.reproduce.rows import ROWS
    from training.reproduce.run import JUDGE, judge_job, plan, train_all
    from training.reproduce.sweeps import sweep

    scale = SCALES[scale_name]
    jobs, left_out = plan(ROWS, scale, index, output, seed, sources)
    judge = judge_job(scale, index, output, seed)
    trained = train_all([judge, *jobs], processes, threads)
    del trained[JUDGE]
    setup = set_up(index, scale, judge.checkpoint, seed, weights)
    figures = measure_all(setup, jobs, output)
    shown = {job.name: job.checkpoint for job in jobs if job.name in SHOWN}
    sweeps = sweep(setup, shown, scale.swept_images, speech)
    longer = next((job for job in jobs if job.name == LONGER_NAME), None)
    progress = follow(setup, longer, scale.swept_images) if longer else {}
    models = {job.name: CheckpointModel(job.checkpoint) for job in jobs}
    ours = models.get(OUR_NAME) or models[PAPER_NAME]  # our row needs its trained audio encoder
    drawn = [
        panels.comparison(setup, models),
        panels.volume(setup, {name: models[name] for name in shown}),
        panels.mixing(setup, {name: models[name] for name in shown}),
        panels.unseen(setup, ours, unseen) if unseen else None,
        panels.soundtrack(setup, ours),
        panels.speech_over(setup, ours, speech) if speech else None,
        panels.small_regions(setup, ours),
    ]
    missing = {
        "unseen": f"{unseen} holds no photograph or no sound"
        if unseen
        else "no photographs and sounds (--unseen FOLDER)",
        "speech": "no recording of speech was given (--speech FILE)",
    }
    results = Results(
        scale,
        setup,
        seed,
        trained,
        left_out,
        figures,
        sweeps,
        progress,
        {p.name: p for p in drawn if p is not None},
        missing,
    )
    size = write_report(results, output / REPORT)
    _write_results(results, output / RESULTS)
    print(f"report: {output / REPORT} ({size / 1000:.0f} kB)")
    return output / REPORT


def _write_results(results: Results, path: Path) -> None:
    """What the report says, for programs."""
    from training.reproduce.report import orderings_of
    from training.reproduce.run import write_json

    orderings = {
        name: [{**vars(each), "verdict": each.verdict.value} for each in found]
        for name, found in orderings_of(results).items()
    }
    figures = {name: {key: vars(figure) for key, figure in found.items()} for name, found in results.figures.items()}
    progress = {
        chart: {c.name: [[p, vars(f)] for p, f in zip(c.places, c.figures, strict=True)] for c in curves}
        for chart, curves in results.progress.items()
    }
    values = {"scale": results.scale.name, "seed": results.seed, "trained": dict(results.trained)}
    write_json(path, {**values, "figures": figures, "orderings": orderings, "progress": progress})


def _named_files(given: Sequence[str]) -> dict[str, Path]:
    """`PRESET=FILE` of the command line; raises ReproduceError."""
    from training.reproduce.run import ReproduceError

    found = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not (sign and name in ("selavi", "wav2clip", "scene") and Path(path).is_file()):
            raise ReproduceError(
                f"--audio-weights {text!r} is not PRESET=FILE, with selavi, wav2clip or scene and a file"
            )
        found[name] = Path(path)
    return found
