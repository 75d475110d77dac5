"""A process of the decoder pool: a program that opens foreign files for the process which started it.

    python -m service.media.decoder_program MEMORY_BYTES [FILES]

FILES: the rights that it has beside those on the system's files, as JSON: {"/path": rights}; without it, all.

It takes its tasks from standard input, answers on standard output, and ends with the process that started it.
"""

import json
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
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


def main() -> None:
    """Serve until standard input ends."""
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGINT, signal.SIGTERM):  # a stop of the whole service lets a running job end
        signal.signal(number, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    files_closed = len(sys.argv) > 2 and restrict_files(dict.fromkeys(system_paths(), READ) | json.loads(sys.argv[2]))
    is_confined = refuse_system_calls()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
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


if __name__ == "__main__":
    main()
