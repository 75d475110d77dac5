"""What a helper of the decoder pool does: it opens foreign files for the process that wants them opened.

It takes its tasks from one pipe, answers on another, and ends when nobody can ask it any more.
"""

import os
import queue
import resource
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

# what tasks need is imported before the first one comes
import service.media.audio
import service.media.image_reader
import service.media.mux
import service.media.soundtrack
import service.media.times  # noqa: F401
from service.errors import StylizationError
from service.media.confinement import refuse_system_calls
from service.media.landlock import READ, restrict_files, system_paths
from service.media.wire import Call, Next, Request, describe_problem, read_request, write_reply


def serve(asked: int, answered: int, memory_bytes: int, files: Mapping[str, int] | None) -> None:
    """Do the tasks that come from one pipe, confined from here on, until that pipe ends.

    files: the rights that it has beside those on the system's files; None: all.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    files_closed = files is not None and restrict_files(dict.fromkeys(system_paths(), READ) | dict(files))
    is_confined = refuse_system_calls()
    threading.Thread(target=_listen, args=(os.fdopen(asked, "rb"), requests), daemon=True).start()
    replies = os.fdopen(answered, "wb")
    write_reply(replies, "value", [is_confined, files_closed])  # ready
    _serve(requests, replies)


def _listen(pipe: IO[bytes], requests: "queue.SimpleQueue[Request]") -> None:
    """In a thread of its own, so that a helper ends in the middle of a task when nobody waits for it any more."""
    while (request := read_request(pipe)) is not None:
        requests.put(request)
    os._exit(0)


def _serve(requests: "queue.SimpleQueue[Request]", replies: IO[bytes]) -> None:
    items: Iterator[Any] = iter(())
    seconds = 0
    while True:
        request = requests.get()
        try:
            match request:
                case Call(function, arguments, seconds):
                    _limit_cpu(seconds)
                    items = _made(function, arguments)
                    _answer(replies, items)
                case Next():
                    _limit_cpu(seconds)
                    _answer(replies, items)
                case _:
                    close = getattr(items, "close", None)
                    if close is not None:
                        close()
                    items = iter(())
                    write_reply(replies, "end")
        except StylizationError as problem:
            write_reply(replies, "problem", describe_problem(problem))
        except MemoryError:
            write_reply(replies, "no-memory")
        except BrokenPipeError:
            return
        except OSError as exc:
            write_reply(replies, "os-error", {"errno": exc.errno or 0, "detail": exc.strerror or str(exc)})
        except Exception:
            write_reply(replies, "fault", traceback.format_exc())


def _made(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Any]:
    """What the function returns, piece by piece; nothing of it is kept here when it has been answered."""
    made = function(*arguments)
    if isinstance(made, Iterator):
        yield from made
    else:
        one = [made]
        del made
        yield one.pop()


def _answer(replies: IO[bytes], items: Iterator[Any]) -> None:
    try:
        item = next(items)
    except StopIteration:
        write_reply(replies, "end")
    else:
        write_reply(replies, "array" if isinstance(item, np.ndarray) else "value", item)


def _limit_cpu(seconds: int) -> None:
    """The system ends this process when it has used that many more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))
