"""Run the whole service from one command: start its processes, restart what dies, and stop all of them cleanly."""

import asyncio
import ctypes
import fcntl
import logging
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from service.settings import Settings
from service.standalone.embedded_valkey import prepare_valkey
from service.standalone.listener import address_of, bind

logger = logging.getLogger(__name__)

_SERVER: Final = "the queue's server"
_ORPHANS_SECONDS: Final = 60.0
_VALKEY_START_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 0.05
_KILL_MARGIN_SECONDS: Final = 20.0
_FIRST_RESTART_SECONDS: Final = 0.5
_LAST_RESTART_SECONDS: Final = 30.0
_STEADY_SECONDS: Final = 60.0  # a process that lived so long may be restarted without delay
_PR_SET_PDEATHSIG: Final = 1


class StartFailed(Exception):
    """The service did not come up. exit_code: what the command should end with."""

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class FolderTaken(StartFailed):
    """Another service uses the folder."""


class Child:
    """One process of the service; its own session, so that Ctrl-C reaches the supervisor alone.

    fds: open files that it inherits. orphan_signal: what it gets if the supervisor is killed (on Linux).
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        fds: tuple[int, ...],
        orphan_signal: signal.Signals,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._fds = fds
        self._orphan_signal = orphan_signal
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it (again)."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            pass_fds=self._fds,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(_die_with_parent, self._orphan_signal) if _libc is not None else None,
        )

    async def wait(self) -> int:
        """Wait until it ends; returns its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, seconds: float) -> None:
        """Ask it to end, and end it if it does not within `seconds`."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            logger.error("%s does not stop and is killed", self.name)
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


async def run_service(settings: Settings) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code. Raises PortTaken, StartFailed, OSError."""
    stopping = asyncio.Event()
    children: list[Child] = []

    def on_signal() -> None:
        """The first asks for a clean stop, a second one for a quick one."""
        if stopping.is_set():
            for child in children:
                child.kill()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with only_one(settings.data_dir) as lock, bind(settings.host, settings.port) as listener:
        try:
            await _until(stopping, _start(settings, listener, lock, children))
            if not stopping.is_set():
                address = address_of(listener)
                print(f"Audio-driven image stylization is ready: {address}  (Ctrl-C stops it)", flush=True)
                await _keep_running(children, stopping)
        finally:
            await _stop(children, settings)
    return 0


async def _start(settings: Settings, listener: socket.socket, lock: int, children: list[Child]) -> None:
    """Start everything in order and wait until it answers; `children` grows on the way."""
    await wait_for_orphans(lock)
    environment = dict(os.environ)
    if settings.redis_url is None:
        valkey = prepare_valkey(settings.data_dir)
        await _add(children, Child(_SERVER, valkey.command, environment, (lock,), signal.SIGTERM))
        await _first_of(children, valkey.wait_until_answers(_VALKEY_START_SECONDS))
        environment["ADIS_REDIS_URL"], orphan_signal = valkey.url, signal.SIGKILL  # its queue goes with it
    else:
        environment["ADIS_REDIS_URL"], orphan_signal = settings.redis_url, signal.SIGTERM
    command, fd = [sys.executable, "-m", "service"], listener.fileno()
    for name, queue in (("the worker", "images"), ("the video worker", "videos")):
        worker = [*command, "worker", "--queues", queue]
        await _add(children, Child(name, worker, environment, (lock,), orphan_signal))
    api = [*command, "api", "--fd", str(fd)]
    await _add(children, Child("the API", api, environment, (lock, fd), orphan_signal))
    await _first_of(children, _wait_until_ready(f"{address_of(listener)}/readyz?kind=image&kind=video"))


async def _add(children: list[Child], child: Child) -> None:
    children.append(child)
    await child.start()


async def _first_of(children: list[Child], goal: Coroutine[Any, Any, None]) -> None:
    """Wait for `goal`; raises StartFailed if a child ends before."""
    reached = asyncio.create_task(goal)
    ends = {asyncio.create_task(child.wait()): child for child in children}
    try:
        await asyncio.wait([reached, *ends], return_when=asyncio.FIRST_COMPLETED)
        if ended := next((task for task in ends if task.done()), None):
            reason = f"{ends[ended].name} stopped while the service started; it said why above"
            raise StartFailed(reason, exit_code=2 if ended.result() == 2 else 1)
        reached.result()
    except TimeoutError as exc:
        raise StartFailed(f"{children[-1].name} does not answer") from exc
    finally:
        for task in (reached, *ends):
            task.cancel()


async def _wait_until_ready(url: str) -> None:
    while not await asyncio.to_thread(_answers, url):
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


async def _keep_running(children: list[Child], stopping: asyncio.Event) -> None:
    """Restart whatever ends, each time a little later, until the service is to stop."""
    persist_tasks = [asyncio.create_task(_restart_for_ever(child)) for child in children]
    await stopping.wait()
    for keeper in persist_tasks:
        keeper.cancel()
    await asyncio.gather(*persist_tasks, return_exceptions=True)


async def _restart_for_ever(child: Child) -> None:
    loop = asyncio.get_running_loop()
    delay = _FIRST_RESTART_SECONDS
    while True:
        began = loop.time()
        exit_code = await child.wait()
        delay = _FIRST_RESTART_SECONDS if loop.time() - began > _STEADY_SECONDS else delay
        logger.error("%s ended with code %d; it is started again in %.1f s", child.name, exit_code, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LAST_RESTART_SECONDS)
        await child.start()


async def _until(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, but give it up when the service is to stop."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        task.result()


async def _stop(children: list[Child], settings: Settings) -> None:
    """API and worker first, each with the time that it needs; the queue's server last, when nobody writes any more."""
    seconds = settings.stop_seconds + _KILL_MARGIN_SECONDS
    servers = [child for child in children if child.name == _SERVER]
    await asyncio.gather(*(child.stop(seconds) for child in children if child not in servers))
    for server in servers:
        await server.stop(_KILL_MARGIN_SECONDS)


@contextmanager
def only_one(data_dir: Path) -> Iterator[int]:
    """Two services must not share one folder; raises FolderTaken for the second.

    Yields the descriptor of a second lock, which is held by whoever inherits it.
    """
    with (data_dir / "service.lock").open("a") as lock, (data_dir / "processes.lock").open("a") as processes:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise FolderTaken(
                f"another service uses {data_dir}; stop it, or choose another folder with ADIS_DATA_DIR", exit_code=2
            ) from exc
        yield processes.fileno()


async def wait_for_orphans(lock: int) -> None:
    """Processes of a service that was killed may still be ending; raises StartFailed if they do not."""
    try:
        async with asyncio.timeout(_ORPHANS_SECONDS):
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError as exc:
        raise StartFailed("processes of an earlier service still run; end them") from exc


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent(number: signal.Signals) -> None:
    """Runs in the child before its program: a supervisor that is killed leaves nobody behind."""
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
