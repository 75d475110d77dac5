"""Objects of one bucket that speaks S3, below one prefix: put, fetched, listed, deleted, and lent out by link.

Everything that goes wrong with the store is `StorageUnavailable`, but for an object that is not there: that is
FileNotFoundError. What the store said is logged, since it may name what a client is not to know.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.errors import StorageUnavailable

logger = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS: Final = 10
_PIECE_BYTES: Final = 1024 * 1024
_MOST_DELETED_AT_ONCE: Final = 1000  # as S3 allows
_WRITTEN_BY_CHECKS: Final = "writable"
_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
    signature_version="s3v4",
    # stores other than Amazon's check no sums of ranges, and some refuse uploads that end in one
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_CHECK_CONFIG: Final = Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})


@dataclass(frozen=True)
class StoredObject:
    """key: without the store's prefix."""

    key: str
    modified: datetime


class ObjectStore:
    """A bucket, as one process sees it; its methods may be called from several threads.

    url: s3://bucket or s3://bucket/prefix. endpoint: of a store that is not Amazon's. public_endpoint: where clients
    reach it. Credentials and region come as boto3 finds them: AWS_* variables, ~/.aws, the host's role.
    """

    def __init__(self, url: str, endpoint: str | None = None, public_endpoint: str | None = None) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"

        def client(address: str | None, config: Config) -> Any:
            return session.client("s3", endpoint_url=address, region_name=region, config=config)

        config = _config(endpoint)
        self._client = client(endpoint, config)
        self._checker = client(endpoint, config.merge(_CHECK_CONFIG))
        self._lender = self._client if public_endpoint is None else client(public_endpoint, _config(public_endpoint))

    def check(self) -> None:
        """Raises StorageUnavailable, within seconds, if nothing can be put into the bucket."""
        with _translated():
            self._checker.put_object(Bucket=self._bucket, Key=self._prefix + _WRITTEN_BY_CHECKS, Body=b"ok")

    def put(self, key: str, content: bytes) -> None:
        """Store the object; a reader sees all of it or nothing."""
        with _translated():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def put_file(self, key: str, path: Path) -> None:
        """Store a file, a large one in parts."""
        with _translated():
            self._client.upload_file(str(path), self._bucket, self._prefix + key)

    def fetch(self, key: str, path: Path) -> None:
        """Write the object to `path`, whole or not at all; raises FileNotFoundError if there is none."""
        try:
            with _translated():
                self._client.download_file(self._bucket, self._prefix + key, str(path))
        except FileNotFoundError:
            self.check()  # it asks by HEAD, whose 404 does not tell a missing object from a missing bucket
            raise

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        return any(one.key == key for one in self.objects(key))

    def copy(self, source: str, target: str) -> None:
        """Make the store copy an object, without its bytes coming here; raises FileNotFoundError if there is none."""
        try:
            with _translated():
                place = {"Bucket": self._bucket, "Key": self._prefix + source}
                self._client.copy(place, self._bucket, self._prefix + target)
        except FileNotFoundError:
            self.check()
            raise

    def read(self, key: str, first: int, size: int) -> Iterator[bytes]:
        """`size` bytes from byte `first` on, in pieces; raises FileNotFoundError before the first of them."""
        span = f"bytes={first}-{first + size - 1}"
        with _translated():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=span)
        body = answer["Body"]
        if answer["ContentLength"] != size:
            body.close()
            raise _unavailable(f"{answer['ContentLength']} bytes are sent of {key}, not {size}")

        def pieces() -> Iterator[bytes]:
            with _translated(), body:
                yield from body.iter_chunks(_PIECE_BYTES)

        return pieces()

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Everything whose key begins with `prefix`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _translated():
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for one in page.get("Contents", []):
                    yield StoredObject(one["Key"].removeprefix(self._prefix), one["LastModified"])

    def delete(self, prefix: str) -> None:
        """Delete everything whose key begins with `prefix`; nothing happens if there is nothing."""
        keys = [{"Key": self._prefix + one.key} for one in self.objects(prefix)]
        for first in range(0, len(keys), _MOST_DELETED_AT_ONCE):
            batch = keys[first : first + _MOST_DELETED_AT_ONCE]
            with _translated():
                said = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            if said.get("Errors"):
                raise _unavailable(said["Errors"][0])

    def link(self, key: str, seconds: int, media_type: str, disposition: str) -> str:
        """An address at which anybody gets the object for that long, with that Content-Type and Content-Disposition."""
        wanted = {
            "Bucket": self._bucket,
            "Key": self._prefix + key,
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
        }
        with _translated():
            return str(self._lender.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds))


def _config(endpoint: str | None) -> Config:
    """Amazon's buckets are hosts of their own; elsewhere names of hosts are not made for each bucket."""
    return _CONFIG if endpoint is None else _CONFIG.merge(Config(s3={"addressing_style": "path"}))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        if code == "NoSuchKey" or (code == "404" and exc.operation_name == "HeadObject"):
            raise FileNotFoundError("the store has no such object") from exc
        raise _unavailable(exc) from exc
    except (BotoCoreError, Boto3Error) as exc:
        raise _unavailable(exc) from exc


def _unavailable(said: Any) -> StorageUnavailable:
    logger.warning("the object store refuses or does not answer: %s", said)
    return StorageUnavailable("the storage does not answer; try again later", retry_after=_RETRY_AFTER_SECONDS)
