"""The engines of one worker process: opened when first asked for, a few of them kept.

A bundle that is replaced while the process runs is opened beside the one before it, for the jobs that begin from then
on. One that cannot be used, be it half copied, changes nothing: jobs go on with the engine that is open.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import BundleError, ModelNotFound, ProviderError
from service.model.bundle import Bundle, FilesState, files_state, find_bundle
from service.model.engine import Engine
from service.settings import Settings
from service.work.image_stylization import warm_up

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Current:
    """The bundle (its SHA-256) that jobs of a name begin with, and the files that were there when that was found."""

    files: FilesState
    sha256: str


class Engines:
    """Engines by name and SHA-256 of their bundle; the one that was used longest ago makes room for another."""

    def __init__(self, settings: Settings, tell_refused: Callable[[str], None] = lambda _sha256: None) -> None:
        """tell_refused: called with the SHA-256 of a whole bundle that replaced another and yet does not load."""
        self._settings = settings
        self._tell_refused = tell_refused
        self._current: dict[str, _Current] = {}
        self._opened: OrderedDict[tuple[str, str], Engine] = OrderedDict()

    def get(self, name: str | None = None) -> Engine:
        """The engine of a bundle as it lies on disk now, None for the default one.

        Raises ModelNotFound, or BundleError or ProviderError if the bundle does not load and was not open before.
        """
        name = name or self._settings.default_model
        files = files_state(self._settings.models_dir / name)
        before = self._current.get(name)
        kept = self._opened.get((name, before.sha256)) if before else None
        if before is None or kept is None or before.files != files:
            sha256 = self._open_newest(name, kept)
            self._current[name] = _Current(files, sha256)
        return self._used(name, self._current[name].sha256)

    def find(self, name: str | None, sha256: str) -> Engine | None:
        """The engine of exactly that bundle, if it is open or lies on disk; raises as `get` does."""
        name = name or self._settings.default_model
        if (name, sha256) not in self._opened:
            self.get(name)
        return self._used(name, sha256) if (name, sha256) in self._opened else None

    def _open_newest(self, name: str, kept: Engine | None) -> str:
        """Open what lies on disk, unless it is open; where that fails, what is `kept` stays. The SHA-256 of either."""
        bundle: Bundle | None = None
        try:
            bundle = find_bundle(self._settings.models_dir, name)
            if (name, bundle.sha256) not in self._opened:
                engine = self._open(bundle, beside=kept is not None)
                self._opened[name, bundle.sha256] = engine
        except (ModelNotFound, BundleError, ProviderError) as problem:
            if kept is None:
                raise
            version = kept.manifest.version
            logger.error("what replaced the model %s is refused, and %s goes on: %s", name, version, problem.detail)
            if bundle is not None:
                self._tell_refused(bundle.sha256)
            return kept.bundle.sha256
        if kept is not None and kept.bundle.sha256 != bundle.sha256:
            logger.info("the model %s was replaced: %s, then %s", name, kept.manifest.version, bundle.manifest.version)
        return bundle.sha256

    def _open(self, bundle: Bundle, beside: bool) -> Engine:
        """beside: another of its name is open and must stay until this one is."""
        settings = self._settings
        if not beside:
            self._make_room()
        engine = Engine(
            bundle,
            settings.providers,
            settings.provider_fallback,
            settings.threads,
            settings.gpu_memory_bytes,
            precision=settings.precision,
            engine_cache=settings.data_dir / "engines",
        )
        warm_up(engine)
        if beside:
            self._make_room()
        return engine

    def _make_room(self) -> None:
        while len(self._opened) >= self._settings.max_models:
            self._opened.popitem(last=False)

    def _used(self, name: str, sha256: str) -> Engine:
        self._opened.move_to_end((name, sha256))
        return self._opened[name, sha256]
