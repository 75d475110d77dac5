"""What the commands say of problems and warnings: by the names of the user's files and options."""

from collections.abc import Mapping, Sequence

from service.client.errors import JobFailed, Refused
from service.client.models import Job
from service.client.plan import Source, Task


def explain(problem: Exception, task: Task, several: bool) -> str:
    """What went wrong with a task, in one line. several: whether there are others, so that its files must be named."""
    document = problem.problem if isinstance(problem, Refused | JobFailed) else None
    if not document or not (field := str(document.get("field") or "")):
        return f"{_named(task.sources)}: {problem}" if several else str(problem)
    detail = str(document.get("detail", document.get("title", ""))).removeprefix(f"{field}: ")
    files = _files_of(field, task)
    about = _named(files or task.sources) if files or several else ""
    option = "" if files else f"--{field.replace('_', '-')}: "
    return f"{about}: {option}{detail}" if about else f"{option}{detail}"


def warnings_of(jobs: Mapping[int, Job | None], tasks: Sequence[Task]) -> list[str]:
    """Each warning once, with the files of the first task that has it, where there are several tasks."""
    having: dict[str, list[int]] = {}
    for number, job in sorted(jobs.items()):
        for detail in dict.fromkeys(warning.detail for warning in job.warnings) if job else ():
            having.setdefault(detail, []).append(number)
    if len(tasks) == 1:
        return list(having)
    return [
        f"{_named(tasks[numbers[0]].sources)}{f' and {len(numbers) - 1} more' if numbers[1:] else ''}: {detail}"
        for detail, numbers in having.items()
    ]


def _files_of(field: str, task: Task) -> tuple[Source, ...]:
    """The files that were sent as this field of the form; none for a field of another kind."""
    name = field.removesuffix("_id")
    if name in ("image", "video"):
        return task.sources[:1]
    return task.sources[1:] if name == "audio" else ()


def _named(sources: Sequence[Source]) -> str:
    return " with ".join(map(str, sources))
