"""The Celery app: messages that carry a job's id, delivered until a worker has finished with it."""

from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError

from service.kind import Kind
from service.redis.connection import broker_url

TASKS: Final[dict[Kind, str]] = {"image": "stylize-image", "video": "stylize-video", "preview": "preview-video"}
HELP_WITH_VIDEO: Final = "help-with-video"
# images and previews wait for no video
QUEUES: Final[dict[Kind, str]] = {"image": "images", "preview": "images", "video": "videos"}
KEY_PREFIX: Final = "adis:celery:"

_HARD_LIMIT_MARGIN_SECONDS: Final = 30  # a soft limit does not fire inside a native call
_VISIBILITY_MARGIN_SECONDS: Final = 60
_SOCKET_SECONDS: Final = 10.0
_CHILD_START_SECONDS: Final = 300.0  # loading a model and building its GPU engine is slow


def messages(queue: str) -> str:
    """The broker's list of the messages of a queue which no worker has taken yet."""
    return KEY_PREFIX + queue


def hard_limit(max_seconds: int) -> int:
    """Seconds after which a task is killed that its soft limit did not end."""
    return max_seconds + _HARD_LIMIT_MARGIN_SECONDS


def make_queue(redis_url: str, max_job_seconds: int) -> Celery:
    """The app with its whole configuration; API and workers must be given the same values.

    A message is acknowledged when its job has ended, and comes again if the process that ran it was killed.
    max_job_seconds: of the longest kind of job.
    """
    transport_options: dict[str, Any] = {
        # the shortest on a shared broker wins; a job that outlived it would be delivered twice
        "visibility_timeout": hard_limit(max_job_seconds) + _VISIBILITY_MARGIN_SECONDS,
        "global_keyprefix": KEY_PREFIX,
        "health_check_interval": 10,
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": _SOCKET_SECONDS,
        "socket_keepalive": True,
        "retry_on_timeout": True,
    }
    app = Celery("service", set_as_current=False)
    app.conf.update(
        broker_url=broker_url(redis_url),
        broker_transport_options=transport_options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a full Redis refuses an acknowledgement
        result_backend=None,
        result_backend_transport_options=transport_options,
        task_default_queue=QUEUES["image"],
        task_routes={
            **{TASKS[kind]: {"queue": queue} for kind, queue in QUEUES.items()},
            HELP_WITH_VIDEO: {"queue": QUEUES["video"]},
        },
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=max_job_seconds,
        task_time_limit=hard_limit(max_job_seconds),
        task_publish_retry_policy={"max_retries": 2, "interval_step": 0.1},
        task_serializer="json",
        accept_content=["json"],
        task_send_sent_event=False,
        worker_send_task_events=False,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=_CHILD_START_SECONDS,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


def send(app: Celery, job_id: str, kind: Kind) -> None:
    """Put the job's message into its queue; raises kombu.exceptions.OperationalError if the broker refuses it."""
    _send(app, TASKS[kind], job_id)


def send_help(app: Celery, job_id: str) -> None:
    """Ask one more worker to make segments of a video; raises kombu.exceptions.OperationalError."""
    _send(app, HELP_WITH_VIDEO, job_id, retry=False)


def _send(app: Celery, task: str, job_id: str, **options: Any) -> None:
    try:
        app.send_task(task, args=[job_id], **options)
    except AttributeError as exc:  # where a full Redis refuses several threads, one finds its channel closed by another
        raise OperationalError(f"the connection to the broker was lost: {exc}") from exc
