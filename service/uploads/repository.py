"""Records of the files that were uploaded once, to be used by any number of jobs of the same API key.

An upload is known by its owner and the SHA-256 of its content. Its file is the input of a folder of its own
(`service.storage.folder`), which the sweep spares as long as the record lives: a while from when it was last used.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from service.errors import QueueFull, UploadNotFound
from service.media.audio import AudioInfo
from service.media.image import ImageInfo
from service.media.video_file import VideoInfo
from service.redis.connection import AsyncClient
from service.redis.scripts import arguments
from service.uploads import scripts

ProbeResult: TypeAlias = ImageInfo | AudioInfo | VideoInfo
UploadField = Literal["image", "audio", "video"]


class Probed(BaseModel):
    """What probing found in a file, for each field in which jobs can use it; at least one."""

    model_config = ConfigDict(frozen=True)

    image: ImageInfo | None = None
    audio: AudioInfo | None = None
    video: VideoInfo | None = None

    @property
    def kind(self) -> UploadField:
        """What the file is; a video's sound can be used, too."""
        return "image" if self.image else "video" if self.video else "audio"

    @property
    def fields(self) -> tuple[UploadField, ...]:
        """Every field in which jobs can use it."""
        by_field: dict[UploadField, ProbeResult | None] = {
            "image": self.image,
            "video": self.video,
            "audio": self.audio,
        }
        return tuple(field for field, found in by_field.items() if found is not None)


@dataclass(frozen=True)
class Upload:
    """folder: that holds the file. name: what its sender called it, made safe. expires: seconds of the Unix epoch."""

    sha256: str
    folder: str
    bytes: int
    name: str
    probed: Probed
    expires: float


class UploadRepository:
    """The uploads as the API needs them; every change is one atomic script. owner: id of an API key, or empty."""

    def __init__(self, client: AsyncClient, lifetime_seconds: int, max_bytes: int) -> None:
        """max_bytes: of all uploads that are kept."""
        self._client = client
        self._lifetime_seconds = lifetime_seconds
        self._max_bytes = max_bytes
        self._keep = client.register_script(scripts.KEEP)
        self._use = client.register_script(scripts.USE)

    async def keep(
        self, owner: str, sha256: str, folder: str, size: int, name: str, probed: Probed
    ) -> tuple[Upload, bool]:
        """Record the file that lies in `folder`, or find the record that there is: (it, is it new).

        Raises QueueFull if the uploads that are kept leave no room.
        """
        fields = {"bytes": str(size), "name": name, "probed": probed.model_dump_json()}
        given = arguments(
            id=folder,
            key=f"{owner}:{sha256}",
            fields=fields,
            lifetime=self._lifetime_seconds,
            max_bytes=self._max_bytes,
        )
        verdict, detail, more = await self._keep(args=given)
        if verdict == "bytes":
            raise QueueFull(
                f"{detail} bytes of uploads are kept already; delete some, or try again in {more} s",
                retry_after=max(1, int(more)),
            )
        return _upload(sha256, detail, more), verdict == "new"

    async def find(self, owner: str, sha256: str, *, renew: bool = False) -> Upload | None:
        """The upload, if there is one. renew: it lives as long from now on as a new one."""
        return await self._ask(owner, sha256, self._lifetime_seconds if renew else -1)

    async def forget(self, owner: str, sha256: str) -> Upload | None:
        """Erase the record, and return it, if there is one; its folder is the caller's to erase."""
        return await self._ask(owner, sha256, 0)

    async def living(self, folders: list[str]) -> list[bool]:
        """For each folder whether it holds an upload that has not expired."""
        seconds, microseconds = await self._client.time()
        now = seconds + microseconds / 1e6
        expiries = await self._client.zmscore("adis:uploads", folders)
        return [expires is not None and expires > now for expires in expiries]

    async def _ask(self, owner: str, sha256: str, lifetime: int) -> Upload | None:
        answer = await self._use(args=arguments(key=f"{owner}:{sha256}", lifetime=lifetime))
        return _upload(sha256, *answer) if answer else None


def upload_not_found(sha256: str, field: str | None = None) -> UploadNotFound:
    """The error for an id that names no upload of the caller's."""
    return UploadNotFound(
        f"there is no upload {sha256!r}; it may have expired or been deleted: send the file again", field=field
    )


def _upload(sha256: str, expires: str, flat: list[Any]) -> Upload:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Upload(
        sha256=sha256,
        folder=fields["folder"],
        bytes=int(fields["bytes"]),
        name=fields["name"],
        probed=Probed.model_validate_json(fields["probed"]),
        expires=float(expires),
    )
