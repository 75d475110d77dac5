"""The models that a worker offers: each bundle on disk, and what it replaced as long as jobs run on that.

The main process of a worker looks at the files on every beat. Its pool processes open what they find there by
themselves (service.work.engines), and say which bundles they could not open.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from service.errors import BundleError
from service.jobs.worker_registry import ModelSummary
from service.model.bundle import Bundle, FilesState, bundle_directories, files_state, load_bundle

logger = logging.getLogger(__name__)


@dataclass
class _Version:
    """jobs: those that ran when it was replaced, as far as they still run."""

    summary: ModelSummary
    jobs: frozenset[str] = frozenset()


@dataclass
class _Offer:
    """What is known of one folder. versions: the newest last."""

    files: FilesState
    versions: list[_Version]


class ModelCatalog:
    """Call `look` now and then."""

    def __init__(self, models_dir: Path, default_model: str) -> None:
        self._models_dir = models_dir
        self._default_model = default_model
        self._offers: dict[str, _Offer] = {}

    def look(self, running: Collection[str] = (), refused: Collection[str] = ()) -> list[ModelSummary]:
        """All models by name, of each name first the one that new jobs get.

        running: ids of the jobs that run now. refused: SHA-256 of bundles that could not be opened. A damaged bundle
        is logged with the reason and left out, or, if it replaced another, changes nothing.
        """
        directories = bundle_directories(self._models_dir)
        for directory in directories:
            self._look_at(directory, running)
        kept = {*(directory.name for directory in directories), self._default_model}
        self._offers = {name: offer for name, offer in sorted(self._offers.items()) if name in kept}
        return [model for offer in self._offers.values() for model in _offered(offer, running, refused)]

    def _look_at(self, directory: Path, running: Collection[str]) -> None:
        """Take up what is new in the folder."""
        offer = self._offers.setdefault(directory.name, _Offer((), []))
        files = files_state(directory)
        if files == offer.files:
            return
        offer.files = files
        try:
            summary = _summary(load_bundle(directory))
        except BundleError as exc:
            logger.error("bundle %s is refused: %s", directory.name, exc.detail)
            return
        for version in offer.versions:
            version.jobs = version.jobs or frozenset(running)
        others = [version for version in offer.versions if version.summary.sha256 != summary.sha256]
        if others and others[-1] is offer.versions[-1]:
            logger.info("model %s: %s replaces %s", directory.name, summary.version, others[-1].summary.version)
        offer.versions = [*others, _Version(summary)]


def _offered(offer: _Offer, running: Collection[str], refused: Collection[str]) -> list[ModelSummary]:
    """The newest version that can be opened, and older ones that jobs still run on.

    The one before the newest is kept in mind as well: that a bundle cannot be opened shows when it is first asked for.
    """
    for version in offer.versions:
        version.jobs &= frozenset(running)
    usable = [version for version in offer.versions if version.summary.sha256 not in refused]
    replaced = [version for version in usable[:-1] if version.jobs]
    offer.versions = [
        version
        for version in offer.versions
        if version in replaced or version in usable[-2:] or version is offer.versions[-1]
    ]
    older = [version.summary.model_copy(update={"replaced": True}) for version in reversed(replaced)]
    return [version.summary for version in usable[-1:]] + older


def _summary(bundle: Bundle) -> ModelSummary:
    manifest = bundle.manifest
    return ModelSummary(
        name=bundle.directory.name,
        version=manifest.version,
        sha256=bundle.sha256,
        license=manifest.license,
        clip_seconds=manifest.clip_seconds,
        sample_rate_hz=manifest.sample_rate_hz,
        native_size=manifest.native_size,
        size_multiple=manifest.size_multiple,
        sounds=tuple(sound.name for sound in manifest.sounds if sound.known),
        training=manifest.training,
    )
