"""The engines of one worker process: opened when first asked for, a few of them kept."""

from collections import OrderedDict

from service.model.bundle import find_bundle
from service.model.engine import Engine
from service.settings import Settings
from service.work.image_stylization import warm_up


class Engines:
    """Engines by the name of their bundle; the one that was used longest ago makes room for another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: OrderedDict[str, Engine] = OrderedDict()

    def get(self, name: str | None = None) -> Engine:
        """The engine of a bundle, None for the default one.

        Raises ModelNotFound, or BundleError or ProviderError if the bundle does not load.
        """
        name = name or self._settings.default_model
        if name not in self._opened:
            while len(self._opened) >= self._settings.max_models:
                self._opened.popitem(last=False)
            self._opened[name] = self._open(name)
        self._opened.move_to_end(name)
        return self._opened[name]

    def _open(self, name: str) -> Engine:
        settings = self._settings
        engine = Engine(
            find_bundle(settings.models_dir, name),
            settings.providers,
            settings.provider_fallback,
            settings.threads,
            settings.gpu_memory_bytes,
        )
        warm_up(engine)
        return engine
