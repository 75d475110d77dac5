"""What comes from a helper is checked before it is believed."""

import io

import numpy as np
import pytest

from service.errors import TooLarge
from service.media.video_file import VideoInfo
from service.media.wire import (
    REPLY_HEAD,
    Close,
    describe_problem,
    empty_array,
    kind_of,
    problem_of,
    read_request,
    value_of,
    write_reply,
    write_request,
)


def said(content: object) -> tuple[str, bytes, bytes]:
    """Kind, JSON and array of a reply."""
    pipe = io.BytesIO()
    write_reply(pipe, "array" if isinstance(content, np.ndarray) else "value", content)
    number, described, count = REPLY_HEAD.unpack(pipe.getvalue()[: REPLY_HEAD.size])
    rest = pipe.getvalue()[REPLY_HEAD.size :]
    assert len(rest) == described + count
    return kind_of(number), rest[:described], rest[described:]


def test_arrays_arrive_as_they_were_even_turned_ones() -> None:
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T
    kind, described, content = said(turned)
    assert kind == "array"
    array = empty_array(described, len(content))
    array.reshape(-1).view(np.uint8)[:] = np.frombuffer(content, np.uint8)
    np.testing.assert_array_equal(array, turned)


@pytest.mark.parametrize(
    ("described", "count"),
    [
        (b'{"dtype": "object", "shape": [1]}', 8),
        (b'{"dtype": "uint8", "shape": [2]}', 1),
        (b'{"dtype": "uint8", "shape": [1]}', 2),
        (b'{"dtype": "uint8", "shape": [-1]}', 1),
        (b'{"dtype": "uint8", "shape": [5000000000]}', 5_000_000_000),
        (b"[]", 0),
    ],
)
def test_arrays_that_nobody_asked_for_are_refused(described: bytes, count: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        empty_array(described, count)


def test_values_are_of_the_kind_that_was_asked_for() -> None:
    info = VideoInfo("mp4", "h264", 64, 48, 1.5, 30, None, True)
    _, described, _ = said(info)
    assert value_of(described, VideoInfo) == info
    with pytest.raises(ValueError, match="width"):
        value_of(described.replace(b'"width":64', b'"width":"wide"'), VideoInfo)


def test_problems_keep_their_kind_and_no_other_kinds_come() -> None:
    _, described, _ = said(describe_problem(TooLarge("cut it", field="video")))
    problem = problem_of(described)
    assert (type(problem), problem.detail, problem.field) == (TooLarge, "cut it", "video")
    with pytest.raises(KeyError):
        problem_of(described.replace(b"TooLarge", b"SystemExit"))


def test_a_request_that_breaks_off_is_the_end() -> None:
    pipe = io.BytesIO()
    write_request(pipe, Close())
    whole = pipe.getvalue()
    assert read_request(io.BytesIO(whole)) == Close()
    assert read_request(io.BytesIO(whole[:-1])) is None
    assert read_request(io.BytesIO(whole[:3])) is None
