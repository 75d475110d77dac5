"""The OpenAPI document reads as sentences, has an example for every call, and a client is generated from it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api import openapi
from service.api.app import create_app
from service.api.examples import Examples
from service.schemas.documents import Job, Jobs, Models, Status, UploadDocument
from service.settings import Settings

METHODS = ("get", "post", "delete")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), _env_file=None)  # type: ignore[call-arg]
    return create_app(settings, "redis://127.0.0.1:9").openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def has_example(operation: dict[str, Any]) -> bool:
    contents = [operation.get("requestBody", {}), *operation["responses"].values()]
    given = [one for body in contents for one in body.get("content", {}).values()] + operation.get("parameters", [])
    return any("example" in one or "examples" in one for one in given)


def test_every_operation_has_a_sentence_a_name_a_tag_and_an_example(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    names = [operation["operationId"] for operation in operations(document)]
    assert set(names) == openapi.SUMMARIES.keys()
    assert len(names) == len(set(names))
    for operation in operations(document):
        assert operation["summary"].endswith("."), operation["summary"]
        assert operation["summary"].count(" ") >= 3
        assert set(operation["tags"]) <= tags
        assert has_example(operation), operation["operationId"]


def test_the_examples_are_documents_of_their_kind() -> None:
    kinds: dict[str, Any] = {
        "stylize": Job, "stylize_video": Job, "list_own_jobs": Jobs, "read_job": Job, "upload_file": UploadDocument,
        "read_upload": UploadDocument, "list_examples": Examples, "list_models": Models, "is_alive": Status,
        "is_ready": Status,
    }  # fmt: skip
    for name, answers in openapi.ANSWERS.items():
        for answer in answers.values():
            kinds[name].model_validate(answer)


def test_a_python_client_is_generated_and_imports(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    binary = ("image/png", "image/jpeg", "image/webp", "video/mp4", "video/webm", "audio/mp4")
    config = {"post_hooks": [], "content_type_overrides": dict.fromkeys(binary, "application/octet-stream")}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-W", "ignore", "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    options = ["--output-path", "adis_client", "--meta", "none", "--config", "config.yaml", "--fail-on-warning"]
    ran = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    program = "; ".join(
        [
            "from adis_client.api.jobs import stylize, stylize_video, read_job",
            "from adis_client.api.uploads import upload_file",
            "from adis_client.models import Job",
            f"print(Job.from_dict({openapi.FINISHED!r}).results[0].file_name)",
        ]
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "photo-rain-6dB.jpg\n"), ran.stderr
