"""What a process and its helper say to each other: pickles to the helper, JSON and plain arrays back.

A helper opens foreign files, so nothing that comes from it is unpickled: it may say values, and no more.
"""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from service.errors import MediaError, StylizationError, TooLarge, UnsupportedMedia

ReplyKind = Literal["value", "array", "end", "problem", "os-error", "no-memory", "fault"]
Array = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

REPLY_HEAD: Final = struct.Struct("<BIQ")  # kind, bytes of JSON, bytes of an array behind it
_REQUEST_HEAD: Final = struct.Struct("<Q")
_KINDS: Final[tuple[ReplyKind, ...]] = ("value", "array", "end", "problem", "os-error", "no-memory", "fault")
_MOST_ARRAY_BYTES: Final = 4 * 1024**3
_PROBLEMS: Final = {kind.__name__: kind for kind in (MediaError, TooLarge, UnsupportedMedia)}


@dataclass(frozen=True)
class Call:
    """Do `function(*arguments)`, and answer with what it returns or, of an iterator, with the first item.

    cpu_seconds: processor time for this and for every further item.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    cpu_seconds: int


@dataclass(frozen=True)
class Next:
    """Answer with the iterator's next item, or its end."""


@dataclass(frozen=True)
class Close:
    """Close the iterator, and answer with its end."""


Request = Call | Next | Close


def write_request(pipe: IO[bytes], request: Request) -> None:
    """Raises BrokenPipeError if nobody listens."""
    content = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
    pipe.write(_REQUEST_HEAD.pack(len(content)) + content)
    pipe.flush()


def read_request(pipe: IO[bytes]) -> Request | None:
    """None when the other side has ended."""
    head = pipe.read(_REQUEST_HEAD.size)
    if len(head) < _REQUEST_HEAD.size:
        return None
    (count,) = _REQUEST_HEAD.unpack(head)
    content = pipe.read(count)
    request: Request | None = pickle.loads(content) if len(content) == count else None  # noqa: S301 (from our own process)
    return request


def write_reply(pipe: IO[bytes], kind: ReplyKind, content: Any = None) -> None:
    """content: JSON's kinds of values, a dataclass of them, or an array."""
    if isinstance(content, np.ndarray):
        array = np.ascontiguousarray(content)
        described = _adapter(dict).dump_json({"dtype": array.dtype.name, "shape": array.shape})
        pipe.write(REPLY_HEAD.pack(_KINDS.index(kind), len(described), array.nbytes) + described)
        pipe.write(array.reshape(-1).view(np.uint8).data)
    else:
        described = _adapter_of(content).dump_json(content)
        pipe.write(REPLY_HEAD.pack(_KINDS.index(kind), len(described), 0) + described)
    pipe.flush()


def kind_of(number: int) -> ReplyKind:
    """By its place in a reply's head."""
    return _KINDS[number]


def empty_array(described: bytes, count: int) -> Array:
    """Room for the array that a reply announces; raises ValueError if it is none that a helper may send."""
    said = _adapter(dict).validate_json(described)
    kinds: dict[str, Any] = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}
    shape = tuple(int(side) for side in said["shape"])
    if count > _MOST_ARRAY_BYTES or said["dtype"] not in kinds:
        raise ValueError("a helper sent an array that was not asked for")
    array: Array = np.empty(shape, kinds[said["dtype"]])
    if array.nbytes != count:
        raise ValueError("a helper sent another array than it announced")
    return array


def value_of(described: bytes, kind: Any) -> Any:
    """The value of a reply, checked to be of that type; raises ValueError if it is not."""
    return _adapter(kind).validate_json(described)


def describe_problem(problem: StylizationError) -> dict[str, Any]:
    """For `problem_of`."""
    return {"name": type(problem).__name__, "detail": problem.detail, "field": problem.field}


def problem_of(described: bytes) -> StylizationError:
    """The error that a helper met."""
    said = _adapter(dict).validate_json(described)
    return _PROBLEMS[said["name"]](said["detail"], field=said["field"])


def _adapter_of(content: Any) -> TypeAdapter[Any]:
    kind: Any = type(content)
    return _adapter(kind)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
