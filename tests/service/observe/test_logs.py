"""A log line is one line, says to what it belongs, and never breaks what it is logged by."""

import io
import json
import logging
from typing import Any

import pytest

from service.observe import correlation
from service.observe.logs import make_formatter


@pytest.fixture
def logger() -> logging.Logger:
    return logging.Logger("service.test")


def written(logger: logging.Logger, format: Any) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter(format))
    logger.addHandler(handler)
    return stream


def test_an_exception_is_a_field_of_its_line(logger: logging.Logger) -> None:
    stream = written(logger, "json")
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logger.exception("it failed: %s", "naïve")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["message"] == "it failed: naïve"
    assert (said["level"], said["logger"]) == ("error", "service.test")
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("ValueError: bad\nthing")
    assert said["time"].endswith("+00:00")
    assert not {"request_id", "job_id", "trace_id"} & set(said)


def test_a_line_belongs_to_the_job_and_the_request_at_hand(logger: logging.Logger) -> None:
    stream = written(logger, "json")
    with correlation.working_on("j" * 32, "r-1"):
        logger.info("working", extra={"frames": 3})
    logger.info("idle")
    working, idle = map(json.loads, stream.getvalue().splitlines())
    assert (working["job_id"], working["request_id"], working["frames"]) == ("j" * 32, "r-1", 3)
    assert set(idle) == {"time", "level", "logger", "message"}


def test_text_ends_with_the_request(logger: logging.Logger) -> None:
    stream = written(logger, "text")
    with correlation.working_on("j" * 32, "r-1"):
        logger.warning("careful")
    logger.info("idle")
    careful, idle = stream.getvalue().splitlines()
    assert careful.endswith("WARNING service.test: careful [r-1]")
    assert idle.endswith("service.test: idle")
