"""A form means the same however its bytes are cut into packets."""

import asyncio
import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from service.api.multipart import FileRule, FormRules, ReceivedForm, receive_form

RULES = FormRules({"image": FileRule(10_000, 1), "audio": FileRule(10_000, 2)}, frozenset({"gain_db"}), 60, 1)
CONTENT = {"image": b"\r\n--b\r-x--", "audio": bytes(range(256)) + b"\r\n--"}
BODY = (
    b'--bound\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: image/png\r\n\r\n'
    + CONTENT["image"]
    + b'\r\n--bound\r\ncontent-disposition: form-data; name="gain_db"\r\n\r\n-3\r\n'
    + b'--bound\r\nContent-Disposition: form-data; name="audio"; filename="b"\r\n\r\n'
    + CONTENT["audio"]
    + b"\r\n--bound--\r\nepilogue"
)


async def _no_bound(_received: int) -> None:
    """Any number of bytes may come."""


def receive(chunks: list[bytes], folder: Path) -> ReceivedForm:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def take() -> dict[str, Any]:
        return messages.pop(0)

    headers = [(b"content-type", b"multipart/form-data; boundary=bound")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, take)
    return asyncio.run(receive_form(request, lambda: folder, RULES, _no_bound))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_however_it_is_cut_a_form_means_the_same(cuts: list[int]) -> None:
    chunks = [BODY[start:end] for start, end in pairwise([0, *sorted(cuts), len(BODY)])]
    with tempfile.TemporaryDirectory() as name:
        form = receive(chunks, Path(name))
        assert form.texts == [("gain_db", "-3")]
        assert [stored.field for stored in form.files] == ["image", "audio"]
        for stored in form.files:
            content = (Path(name) / stored.sha256).read_bytes()
            assert content == CONTENT[stored.field]
            assert (stored.bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert len(list(Path(name).iterdir())) == 2


def test_characters_that_browsers_escape_in_a_files_name_are_read(tmp_path: Path) -> None:
    body = BODY.replace(b'filename="a"', b'filename="my %22lake%22%0D%0A.png"')
    names = [stored.name for stored in receive([body], tmp_path).files]
    assert names == ["my _lake_.png", "b"]
