"""Send files to a service and save what comes of them: from Python by `Client`, and by the commands."""

from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.errors import ClientError, JobFailed, NoService, Refused
from service.client.models import Job, Model, Result, Upload

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Job",
    "JobFailed",
    "Model",
    "NoService",
    "Refused",
    "Result",
    "Upload",
]
