"""`python -m service stylize` and `stylize-video`: what people script with."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from service.client.animation import write_animation
from service.client.client import Client
from service.client.errors import ClientError
from service.client.local import LocalFailed, local_service
from service.client.messages import explain, warnings_of
from service.client.models import Job
from service.client.parsers import image_parser, join_values, video_parser
from service.client.plan import BadPlan, Plan, check_outputs, plan_images, plan_video
from service.client.runner import Outcome, Runner, results_of

_EXIT_INTERRUPTED: Final = 130
_PATIENCE_SECONDS: Final = 3600.0  # of several jobs, with a service that is full or a key that has a limit


def main(command: str, arguments: Sequence[str]) -> int:
    """Run `stylize` or `stylize-video`: 0, 1 if the service refused or failed, 2 for bad arguments, 130 on Ctrl-C."""
    parser = image_parser() if command == "stylize" else video_parser()
    options = parser.parse_args(join_values(arguments))
    try:
        plan = plan_images(options) if command == "stylize" else plan_video(options)
        check_outputs(plan, options.force)
        with ExitStack() as stack:
            server = stack.enter_context(local_service()) if options.local else options.server
            patience = _PATIENCE_SECONDS if len(plan.tasks) > 1 else 0.0
            client = stack.enter_context(Client(server, options.key, patience_seconds=patience))
            runner = Runner(client, plan, getattr(options, "jobs", 1), options.quiet)
            runner.check()
            outcome = _run(client, runner, plan)
    except BadPlan as problem:
        parser.error(str(problem))
    except (ClientError, LocalFailed, OSError) as problem:
        print(f"{parser.prog}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        further = "; the same command goes on where it was" if plan.resumes and len(plan.tasks) > 1 else ""
        print(f"{parser.prog}: cancelled{further}", file=sys.stderr)
        return _EXIT_INTERRUPTED
    return _tell(parser.prog, options, plan, outcome)


def _run(client: Client, runner: Runner, plan: Plan) -> Outcome:
    if plan.animation is None:
        return runner.run()
    pictures: dict[int, list[bytes]] = {}

    def keep(number: int, job: Job) -> None:
        pictures[number] = [client.read(result) for result in job.results]

    outcome = runner.run(keep)
    if not outcome.problems:
        write_animation(plan.animation, [one for _, several in sorted(pictures.items()) for one in several])
    return outcome


def _tell(program: str, options: argparse.Namespace, plan: Plan, outcome: Outcome) -> int:
    """Say what came of it: results on the standard output, all else on the other."""
    jobs = results_of(outcome, plan.tasks)
    if options.json and len(plan.tasks) == 1 and jobs:
        print(jobs[0].model_dump_json(indent=2))
    elif options.json:
        print("[" + ",\n".join(job.model_dump_json() for job in jobs) + "]")
    elif plan.animation is not None and not outcome.problems:
        print(plan.animation)
    else:
        made = [plan.tasks[number].outputs for number in sorted(outcome.jobs) if plan.animation is None]
        print("".join(f"{path}\n" for outputs in made for path in outputs), end="")
    if not options.quiet:
        for warning in warnings_of(outcome.jobs, plan.tasks):
            print(f"warning: {warning}", file=sys.stderr)
    for number, problem in sorted(outcome.problems.items()):
        print(f"{program}: {explain(problem, plan.tasks[number], len(plan.tasks) > 1)}", file=sys.stderr)
    return 1 if outcome.problems else 0
