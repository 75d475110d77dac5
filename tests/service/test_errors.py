"""Errors carry their status and their problem document."""

import pytest

from service import errors
from service.errors import InvalidValue, QueueFull, StylizationError


def every_error() -> list[type[StylizationError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StylizationError)]


def test_a_problem_names_its_kind_status_detail_and_field() -> None:
    assert InvalidValue("gain_db is 999; it must lie in -60..24", field="gain_db").problem() == {
        "type": "/problems/invalid-value",
        "title": "A value cannot be used",
        "status": 422,
        "detail": "gain_db is 999; it must lie in -60..24",
        "field": "gain_db",
    }


def test_a_problem_without_a_field_has_none() -> None:
    error = QueueFull("100 jobs wait already", retry_after=30)
    assert "field" not in error.problem()
    assert error.retry_after == 30
    assert str(error) == "100 jobs wait already"


def test_every_kind_has_a_type_of_its_own() -> None:
    types = [kind.type for kind in every_error()]
    assert len(types) == len(set(types))


@pytest.mark.parametrize("kind", every_error())
def test_the_docstring_draws_every_kind_with_its_status(kind: type[StylizationError]) -> None:
    drawn = (errors.__doc__ or "").splitlines()
    line = next(line for line in drawn if kind.__name__ in line.split())
    assert kind is StylizationError or str(kind.status) in line
