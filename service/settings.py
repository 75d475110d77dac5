"""Every setting of the service: read once from ADIS_* environment variables or a .env file."""

import re
import warnings
from base64 import b64decode
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, IPvAnyNetwork, SecretStr, StringConstraints, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.build import SHIPPED_MODELS
from service.kind import Kind
from service.old_settings import by_old_names, is_called_now

MEBIBYTE: Final = 1024 * 1024
LogFormat = Literal["text", "json"]

Provider = Literal["tensorrt", "cuda", "openvino", "cpu"]
HttpAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+/?$")]
HostName = Annotated[str, StringConstraints(pattern=r"^(\*|(\*\.)?[a-z0-9]([a-z0-9._-]*[a-z0-9])?)$")]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^\s/?#@]+)$")]

ROOT_PATH: Final = r"(/[A-Za-z0-9._~-]{1,64}){0,8}"  # what a proxy may add to every path

_COMMA_LISTS: Final = ("providers", "worker_queues", "trusted_hosts", "cors_origins", "trusted_proxies")


class Settings(BaseSettings):
    """Where the service listens, what it runs on, and what it refuses."""

    model_config = SettingsConfigDict(env_prefix="ADIS_", env_file=".env", extra="ignore", frozen=True)

    # where
    host: str = Field(default="127.0.0.1", description="address that the API listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="port that the API listens on (0: any free one)")
    allow_anonymous: bool = Field(
        default=False,
        description="listen where other machines reach it though there is no API key: anybody may use it then",
    )
    require_keys: bool = Field(default=False, description="ask for an API key even while none exists")
    key_requests_per_minute: int = Field(
        default=120,
        ge=0,
        description="jobs that one API key may hand in a minute, unless it has its own limit (0: any)",
    )
    key_active_jobs: int = Field(
        default=50, ge=0, description="jobs of one API key that may wait or run, unless it has its own limit (0: any)"
    )
    trusted_hosts: Annotated[list[HostName], NoDecode] = Field(
        default=[],
        description="names of this service beside localhost, separated by commas: example.org, *.lan, or * for all",
    )
    cors_origins: Annotated[list[Origin], NoDecode] = Field(
        default=[],
        description="origins whose pages may call the API, separated by commas: https://example.org, or * for all",
    )
    root_path: str = Field(
        default="",
        pattern=rf"^{ROOT_PATH}$",
        description="path at which a proxy in front offers the service, such as /adis; its links begin with it",
    )
    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default=[ip_network("127.0.0.0/8"), ip_network("::1/128")],
        description="proxies whose X-Forwarded-For, -Proto, -Host and -Prefix are believed, separated by commas",
    )
    data_dir: Path = Field(
        default=Path("data"), description="folder for uploads, results and the embedded queue's data"
    )
    storage: str | None = Field(
        default=None,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w!.*'()-]+)*/?$",
        description="bucket for uploads and results, s3://bucket/prefix; none: `data_dir`, which all hosts then share",
    )
    s3_endpoint: HttpAddress | None = Field(default=None, description="address of a store that is not Amazon's")
    s3_public_endpoint: HttpAddress | None = Field(
        default=None, description="address at which clients reach the store, if it is another"
    )
    s3_redirect: bool = Field(default=True, description="send clients to the store for results, by signed links")
    redis_url: str | None = Field(
        default=None,
        description="Redis or Valkey to use, rediss://host:6380/0?ssl_ca_certs=FILE for TLS; none: an embedded Valkey",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe message logged"
    )

    log_format: LogFormat = Field(default="text", description="how log lines are written: text, or json for machines")
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+",
        description="OpenTelemetry collector that traces go to (OTLP over HTTP, http://host:4318); none: no traces",
    )

    # model
    models_dir: Path = Field(
        default=SHIPPED_MODELS,
        description="folder whose sub-folders are model bundles; the shipped ones if it is not set",
    )
    default_model: str = Field(default="demo", description="bundle that is used when a request names none")
    providers: Annotated[list[Provider], NoDecode] = Field(
        default=["cpu"],
        min_length=1,
        description="execution providers, best first, separated by commas: tensorrt, cuda, openvino, cpu",
    )
    provider_fallback: bool = Field(
        default=True, description="use the CPU when none of `providers` loads, instead of failing"
    )
    precision: Literal["auto", "fp32", "fp16"] = Field(
        default="auto",
        description="which of a bundle's graphs are run; auto: fp16 on a GPU where the bundle has them, else fp32",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of one graph run (0: all cores)")
    gpu_memory_bytes: int = Field(default=0, ge=0, description="most GPU memory that the model takes (0: no bound)")

    # images
    max_image_bytes: int = Field(default=50 * MEBIBYTE, gt=0, description="largest image file taken")
    max_image_pixels: int = Field(
        default=120_000_000,
        gt=0,
        description="most pixels that an image's header may announce; half as many for WebP, HEIC, AVIF and GIF",
    )
    max_side: int = Field(
        default=65_500, ge=64, le=65_500, description="longest side of a result; larger images are reduced"
    )
    max_inference_side: int = Field(
        default=768,
        ge=64,
        le=8192,
        description="longest side that goes through the model whole; above it detail is carried over",
    )
    max_gains: int = Field(default=16, ge=1, le=64, description="most gains, and so results, of one request")

    # sounds
    max_audio_bytes: int = Field(default=50 * MEBIBYTE, gt=0, description="largest sound file taken")
    max_audio_seconds: float = Field(default=86_400.0, gt=0, description="longest sound taken")
    min_audio_seconds: float = Field(default=0.5, gt=0, description="shortest sound taken")
    max_audio_parts: int = Field(default=4, ge=1, le=16, description="most sounds mixed in one request")
    max_decode_seconds: float = Field(default=60.0, gt=0, description="longest time that opening one sound may take")

    # videos
    max_video_bytes: int = Field(default=2048 * MEBIBYTE, gt=0, description="largest video file taken")
    max_video_seconds: float = Field(default=3600.0, gt=0, description="longest video taken")
    max_video_pixels: int = Field(default=4096 * 2304, gt=0, description="most pixels that a video's frame may have")
    max_video_frames: int = Field(default=250_000, gt=0, description="most frames that a video may have")
    max_video_fps: float = Field(default=240.0, gt=0, description="most frames a second that a video may have")
    video_side: int = Field(
        default=384,
        ge=64,
        le=8192,
        description="longest side at which the model sees a video's frames; detail is carried over to their full size",
    )
    max_video_job_seconds: int = Field(default=43_200, ge=1, description="longest that one video may take")

    # jobs and the API
    result_ttl_seconds: int = Field(
        default=86_400, gt=0, description="how long uploads, results and job records are kept"
    )
    max_wait_seconds: int = Field(default=60, ge=1, le=600, description="longest that `Prefer: wait` holds an answer")
    max_kept_upload_bytes: int = Field(
        default=20 * 1024 * MEBIBYTE, gt=0, description="most bytes of the files that `POST /uploads` keeps"
    )
    max_queue_length: int = Field(default=100, ge=1, description="most jobs of each kind that may wait")
    max_queue_bytes: int = Field(
        default=20 * 1024 * MEBIBYTE,
        gt=0,
        description="most bytes of uploads of each kind of job that did not end",
    )

    # webhooks
    webhook_secret: SecretStr | None = Field(
        default=None, description="`whsec_` and 24 to 64 bytes in base64, which sign webhooks; none: no webhooks"
    )
    webhook_allow_http: bool = Field(default=False, description="take webhook addresses of plain HTTP, too")
    webhook_private_networks: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default=[], description="networks that webhooks may go to although they are not public, separated by commas"
    )

    # how jobs are worked on
    worker_queues: Annotated[list[Literal["images", "videos"]], NoDecode] = Field(
        default=["images", "videos"],
        min_length=1,
        description="what a worker takes, separated by commas; `all` starts one worker for each",
    )
    worker_processes: int = Field(
        default=1, ge=1, le=64, description="jobs that one worker runs at once, each in a process with its own model"
    )
    max_models: int = Field(default=2, ge=1, description="bundles that one worker process keeps loaded")
    max_job_seconds: int = Field(default=600, ge=1, description="longest that one job may run")
    max_attempts: int = Field(default=3, ge=1, description="times that a job may lose its worker before it fails")
    lease_seconds: float = Field(
        default=30.0, ge=1, description="silence after which a running job's worker is taken for dead"
    )
    stop_seconds: float = Field(
        default=30.0, ge=0, description="longest that a stop waits for the running job, which is then queued again"
    )
    max_upload_pause_seconds: float = Field(
        default=30.0, gt=0, description="longest that a request's head may take, and that an upload may pause"
    )
    min_upload_bytes_per_second: float = Field(
        default=8192.0, gt=0, description="an upload that is slower on average is given up, once it could have paused"
    )
    max_uploads_at_once: int = Field(
        default=64, ge=2, description="uploads that one API process receives at a time, at most half from one client"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The usual sources, then the same under their old names."""
        old = [by_old_names(settings_cls, source) for source in (env_settings, dotenv_settings)]
        return init_settings, env_settings, dotenv_settings, file_secret_settings, *old

    @field_validator("storage", "s3_endpoint", "s3_public_endpoint", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """A compose file can leave a variable empty, and not out."""
        return None if value == "" else value

    @field_validator("redis_url")
    @classmethod
    def _checks_certificates(cls, url: str | None) -> str | None:
        if url is not None and re.search(r"ssl_cert_reqs=(?!required(&|$))|ssl_check_hostname=(?!true(&|$))", url):
            raise ValueError("certificates are always checked; name your own authority by ?ssl_ca_certs=FILE")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            prefix, _, key = secret.get_secret_value().rpartition("_")
            try:
                length = len(b64decode(key, validate=True))
            except ValueError:
                length = 0
            if prefix != "whsec" or not 24 <= length <= 64:
                raise ValueError('make one by: echo "whsec_$(openssl rand -base64 32)"')
        return secret

    @field_validator(*_COMMA_LISTS, "webhook_private_networks", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        """An environment variable holds `cuda,cpu`."""
        return [name.strip().lower() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _old_queue_name(cls, value: Any) -> Any:
        """Runs before the names are split."""
        if isinstance(value, str) and "pictures" in value:
            warnings.warn(is_called_now("ADIS_WORKER_QUEUES=pictures", "images"), FutureWarning, stacklevel=2)
            return value.replace("pictures", "images")
        return value

    @property
    def is_reached_from_outside(self) -> bool:
        """Whether `host` is anything but this machine's own loopback address."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def own_hosts(self) -> list[str]:
        """The names by which the API is asked, beside those of loopback and every address."""
        return [*self.trusted_hosts, self.host.lower()]

    @property
    def always_wants_keys(self) -> bool:
        """Whether a key is needed even while none exists: revoking the last one must not let everybody in."""
        return self.require_keys or (self.is_reached_from_outside and not self.allow_anonymous)

    def max_seconds(self, kind: Kind) -> int:
        """Longest that one job of that kind may run."""
        return self.max_video_job_seconds if kind == "video" else self.max_job_seconds

    @property
    def longest_job_seconds(self) -> int:
        """Longest that any job may run."""
        return max(self.max_job_seconds, self.max_video_job_seconds)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once; raises pydantic's ValidationError on a bad value."""
    return Settings()
