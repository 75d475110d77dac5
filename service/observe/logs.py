"""How log lines are written: as text, or as JSON objects with the request, job and trace that they belong to."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from service.observe import correlation, tracing
from service.settings import LogFormat

# botocore and urllib3 would write signatures, session tokens and lent links, too
_CHATTY: Final = (
    *("PIL", "asyncio", "celery", "kombu", "amqp", "uvicorn.error", "opentelemetry"),
    *("boto3", "botocore", "s3transfer", "urllib3"),
)


def set_up_logging(level: str, format: LogFormat) -> None:
    """Everything to standard error, once for a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(format))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.getLogger().level, logging.WARNING))
    logging.getLogger("libav").setLevel(logging.CRITICAL)


def make_formatter(format: LogFormat) -> logging.Formatter:
    """What writes lines of that form."""
    return _Json() if format == "json" else _Text()


class _Text(logging.Formatter):
    """For people; the request's id stands at the end of the lines that have one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        request = correlation.request_id.get()
        return super().formatMessage(record) + (f" [{request}]" if request else "")


class _Json(JsonFormatter):
    """For machines. Fields that a line gives as `extra` are fields of the object, too."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message", "exc_info"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            json_ensure_ascii=False,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        super().add_fields(log_data, record, message_dict)
        log_data["level"] = record.levelname.lower()
        if log_data["exception"] is None:
            del log_data["exception"]
        about = {
            "request_id": correlation.request_id.get(),
            "job_id": correlation.job_id.get(),
            "trace_id": tracing.trace_id(),
        }
        log_data.update({name: value for name, value in about.items() if value is not None})
