"""`python -m training` answers bad arguments with 2, a diverged run with 1, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.__main__ import main


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a call that ends with 2 says."""
    try:
        code = main(arguments)
    except SystemExit as exc:
        code = exc.code  # type: ignore[assignment]
    assert code == 2
    return capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    assert all(command in said for command in ("index", "train", "evaluate"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["paint"], "invalid choice"),
        (["train", "--preset", "papr", "--index", "i", "--run", "r"], "did you mean paper"),
        (["train", "--preset", "smoke", "--set", "losses.nec=1", "--index", "i", "--run", "r"], "near it: losses.nce"),
        (["train", "--preset", "smoke", "--set", "batch=many", "--index", "i", "--run", "r"], "batch is int"),
        (["train", "--preset", "smoke"], "required"),
        (["index", "no.toml", "out.jsonl", "--data", "."], "no.toml"),
        (["train", "--preset", "smoke", "--index", "no.jsonl", "--run", "RUN"], "no.jsonl"),
        (["train", "--preset", "smoke", "--index", "INDEX", "--run", "RUN", "--from", "no.pt"], "no.pt"),
        (["evaluate", "no.pt", "--index", "no.jsonl", "--output", "RUN"], "no.jsonl"),
    ],
)
def test_bad_arguments_end_with_2(
    arguments: list[str], message: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [{"RUN": str(tmp_path / "run"), "INDEX": str(index)}.get(a, a) for a in arguments]
    assert message in refusal(filled, capsys)


def test_the_index_command_counts_the_photographs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(data / "recipe.toml"), str(tmp_path / "index.jsonl"), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "snow/train" in said
    assert "rain/test" in said


def test_a_diverged_run_ends_with_1(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--preset", "smoke", "--index", str(index), "--run", str(tmp_path)]
    assert main([*command, "--set", "max_gradient_norm=1e-9"]) == 1
    assert "diverged: step 0: the norm of gradient/" in capsys.readouterr().err
