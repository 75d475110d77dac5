"""What may be asked of an image job."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.schemas.requests import ImageRequest


def test_the_defaults_are_the_whole_effect_of_the_sound_as_given() -> None:
    request = ImageRequest()
    assert request.gains == (0.0,)
    assert (request.strength, request.start_seconds, request.weights, request.format) == (1.0, None, None, None)


def test_a_list_of_gains_replaces_the_single_one() -> None:
    assert ImageRequest(gains_db=(-30, -20, -10, 0)).gains == (-30, -20, -10, 0)


def test_a_request_survives_the_queue() -> None:
    request = ImageRequest(gains_db=(-6.5, 3), strength=0.25, weights=(1, 2), max_side=512, model="demo")
    assert ImageRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    "fields",
    [
        {"gain_db": 999},
        {"gain_db": -60.1},
        {"gain_db": float("nan")},
        {"gains_db": []},
        {"gains_db": [0, 25]},
        {"gains_db": [0], "gain_db": 3},
        {"strength": 1.01},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"start_seconds": -1},
        {"start_seconds": float("inf")},
        {"weights": [0, 0]},
        {"weights": [-1, 2]},
        {"start_seconds": 1e308},
        {"weights": [float("inf")]},
        {"weights": [1e308, 1e308]},
        {"weights": [5e-324]},
        {"max_side": 63},
        {"max_side": 65_501},
        {"format": "gif"},
        {"model": "../demo"},
        {"unknown": 1},
    ],
)
def test_what_is_out_of_range_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageRequest.model_validate(fields)
