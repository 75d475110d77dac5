"""Do what a plan says: several jobs at a time, one progress bar, and on from where an earlier run was stopped.

What a run has made stands in a file beside the results, so that another one leaves it as it is; a job that was handed
in, but not saved, is found again by its idempotency key. So nothing is made twice, whenever a run is killed.
"""

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from service.client.client import Client
from service.client.errors import ClientError
from service.client.models import Job
from service.client.plan import BadPlan, Plan, Source, Task
from service.client.requests import Form, Media, image_form, still_form, video_form

_RECORD: Final = ".adis-made.jsonl"


class Stopped(Exception):
    """The run was interrupted while this job went on."""


@dataclass
class Outcome:
    """jobs: the finished ones, in the order of the tasks; None where it was made before. problems: what went wrong."""

    jobs: dict[int, Job | None] = field(default_factory=dict)
    problems: dict[int, Exception] = field(default_factory=dict)


class Runner:
    """Hands in the jobs of a plan. keep: called with each finished job, in a thread; by default results are saved."""

    def __init__(self, client: Client, plan: Plan, jobs: int = 1, quiet: bool = False) -> None:
        self._client, self._plan, self._jobs, self._quiet = client, plan, jobs, quiet
        self._stop, self._gate = threading.Event(), threading.Lock()
        self._uploads: dict[Source, Future[Media]] = {}
        self._made = _read_records(plan) if plan.resumes else {}

    def check(self) -> None:
        """Raises BadPlan if results are there that this command has not made with these options."""
        if not self._plan.resumes:
            return
        foreign = [
            output
            for task in self._plan.tasks
            for output in task.outputs
            if output.exists() and self._made.get(output) != _fingerprint(task)
        ]
        if foreign:
            raise BadPlan(
                f"{foreign[0]} exists (and {len(foreign) - 1} more), and was not made by this command with these "
                "options; --force overwrites, another folder keeps both"
            )

    def run(self, keep: Callable[[int, Job], None] | None = None) -> Outcome:
        """Do all of it; raises KeyboardInterrupt when what runs has been cancelled."""
        outcome, tasks = Outcome(), self._plan.tasks
        waiting = [number for number, task in enumerate(tasks) if not self._is_made(task)]
        outcome.jobs |= {number: None for number in range(len(tasks)) if number not in set(waiting)}
        is_single = len(tasks) == 1
        with (
            tqdm(
                total=len(tasks), unit=" results", disable=self._quiet or None, delay=0 if len(tasks) > 1 else 1
            ) as bar,
            ThreadPoolExecutor(min(self._jobs, max(1, len(waiting)))) as pool,
        ):
            bar.update(len(tasks) - len(waiting))
            follow = partial(_show, bar) if is_single else (lambda _job: None)
            futures = {pool.submit(self._do, tasks[number], number, follow, keep): number for number in waiting}
            try:
                for future in as_completed(futures):
                    number = futures[future]
                    try:
                        outcome.jobs[number] = future.result()
                    except (ClientError, OSError) as problem:
                        outcome.problems[number] = problem
                    if not is_single:
                        bar.update(1)
            except KeyboardInterrupt:
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise
        return outcome

    def _do(
        self, task: Task, number: int, follow: Callable[[Job], None], keep: Callable[[int, Job], None] | None
    ) -> Job:
        def go_on(job: Job) -> None:
            if self._stop.is_set():
                raise Stopped
            follow(job)

        key = _fingerprint(task) if self._plan.resumes else uuid.uuid4().hex
        job = self._client.submit(self._form(task), key)
        try:
            job = self._client.wait(job, go_on)
            if keep is not None:
                keep(number, job)
            else:
                self._save(task, job, key)
        except (Stopped, KeyboardInterrupt):
            self._client.delete(job)
            raise
        return job

    def _form(self, task: Task) -> Form:
        """Files that several jobs need are sent once."""
        share = len(self._plan.tasks) > 1
        first, *rest = [self._uploaded(source) if share else source for source in task.sources]
        if task.kind == "image":
            return image_form(first, rest, task.options)
        if task.kind == "still":
            return still_form(first, rest[0], task.options)
        query: dict[str, Any] = {"preview": True} if task.kind == "preview" else {}
        if task.at_seconds is not None:
            query["at_seconds"] = task.at_seconds
        return video_form(first, rest[0] if rest else None, task.options, query)

    def _uploaded(self, source: Source) -> Media:
        if isinstance(source, str):
            return source
        with self._gate:
            future = self._uploads.get(source)
            is_mine = future is None
            if future is None:
                future = self._uploads[source] = Future()
        if is_mine:
            try:
                future.set_result(self._client.upload(source))
            except BaseException as problem:
                future.set_exception(problem)
        return future.result()

    def _save(self, task: Task, job: Job, key: str) -> None:
        for result, output in zip(job.results, task.outputs, strict=False):
            if self._plan.resumes:
                output.unlink(missing_ok=True)
                with self._gate, (output.parent / _RECORD).open("a") as record:
                    # before the file is there: a file without its line would be taken for somebody else's
                    record.write(json.dumps({"file": output.name, "made": key}) + "\n")
            try:
                self._client.save(result, output)
            except OSError as exc:
                raise OSError(f"{output} cannot be written: {exc.strerror or exc}") from exc

    def _is_made(self, task: Task) -> bool:
        if not self._plan.resumes:
            return False
        fingerprint = _fingerprint(task)
        return all(output.exists() and self._made.get(output) == fingerprint for output in task.outputs)


def _show(bar: "tqdm[Any]", job: Job) -> None:
    bar.unit, bar.total = f" {job.progress.unit}", job.progress.total
    bar.set_description({"queued": "waiting", "running": "working"}.get(job.state, job.state))
    bar.update(job.progress.done - bar.n)


def _read_records(plan: Plan) -> dict[Path, str]:
    """By result: the fingerprint of the task that made it last."""
    made: dict[Path, str] = {}
    for folder in {output.parent for task in plan.tasks for output in task.outputs}:
        record = folder / _RECORD
        for line in record.read_text().splitlines() if record.exists() else []:
            try:
                entry = json.loads(line)
                made[folder / entry["file"]] = entry["made"]
            except (ValueError, KeyError, TypeError):  # the run was killed while it wrote that line
                continue
    return made


def _fingerprint(task: Task) -> str:
    """The same for the same files and options, whatever the files are called."""
    content = [task.kind, [_content(source) for source in task.sources], sorted(task.options.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


_KNOWN: dict[tuple[str, int, int], str] = {}


def _content(source: Source) -> str:
    """An example's id, or the SHA-256 of a file, which is read once."""
    if isinstance(source, str):
        return source
    status = source.stat()
    place = (str(source), status.st_size, status.st_mtime_ns)
    if place not in _KNOWN:
        with source.open("rb") as file:
            _KNOWN[place] = hashlib.file_digest(file, "sha256").hexdigest()
    return _KNOWN[place]


def results_of(outcome: Outcome, tasks: Sequence[Task]) -> list[Job]:
    """The finished jobs that this run waited for, in the order of the tasks."""
    return [job for number in range(len(tasks)) if (job := outcome.jobs.get(number)) is not None]
