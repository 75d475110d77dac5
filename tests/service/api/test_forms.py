"""However long a form's values are, reading them costs little: it is done while everybody else waits."""

import gc
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pydantic import SecretStr

from service.api.forms import IMAGE, VIDEO, Form, read_ids, read_list, read_parameters
from service.api.multipart import ReceivedForm
from service.errors import InvalidValue
from service.jobs.record import StoredInput
from service.settings import Settings
from service.webhooks.request import read_webhook
from tests.support.receiver import SECRET

SETTINGS = Settings(webhook_secret=SecretStr(SECRET), _env_file=None)  # type: ignore[call-arg]
LONGEST_BYTES = 64 * 1024  # of one value
TIMES = 8  # a field is sent; 64 would be taken
MOST_SECONDS = 0.5  # of the processor, which may be slow
FILES = [StoredInput(field=field, sha256="0" * 64, bytes=1, name="a") for field in ("image", "audio")]
VALUES = ["0,", "x,", "[", "9", "[1,1],", ","]


def read(form: Form, texts: list[tuple[str, str]]) -> None:
    received = ReceivedForm(FILES, texts)
    for look in (read_parameters, read_ids):
        with suppress(InvalidValue):
            look(received, form, {} if look is read_parameters else SETTINGS)  # type: ignore[operator]
    with suppress(InvalidValue):
        read_webhook([("webhook_url", "https://example.com/"), *texts], SETTINGS)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """The collector of garbage would look through all that earlier tests left in this process, for seconds."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("form", [IMAGE, VIDEO], ids=["image", "video"])
@pytest.mark.parametrize("piece", VALUES)
def test_values_of_any_length_are_read_at_once(without_collector: None, form: Form, piece: str) -> None:
    longest = piece * (LONGEST_BYTES // len(piece))
    for name in sorted(form.rules(SETTINGS).texts):
        began = time.process_time()
        read(form, [(name, f"[{longest}[0,0]]" if piece == "[1,1]," else longest)] * TIMES)
        assert time.process_time() - began < MOST_SECONDS, name


@pytest.mark.parametrize("text", ["0," * 600, "[" + "0," * 600 + "0]"])
def test_a_list_that_is_too_long_is_refused_before_its_values_are_looked_at(text: str) -> None:
    assert len(read_list("gains_db", [text])) == 601
    with pytest.raises(InvalidValue, match="more than 1000 values") as refused:
        read_list("gains_db", [text, text])
    assert refused.value.field == "gains_db"
