"""The API keeps to its own OpenAPI document, whatever it is sent."""

from pathlib import Path

import pytest

from tests.fuzz.openapi import run


@pytest.mark.timeout(600)
def test_the_api_is_what_its_document_says(tmp_path: Path) -> None:
    for ended in run(tmp_path, examples=5, seed=1, with_made_up_files=["fuzzing"]):
        assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr
        assert "Tested: 16" in ended.stdout
