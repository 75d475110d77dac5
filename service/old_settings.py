"""Settings under their old names: taken, with a warning, until the next version."""

import warnings
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource

RENAMED: Final = {"comfortable_side": "max_inference_side"}  # old name -> new name


def by_old_names(settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> InitSettingsSource:
    """What `source` holds under old names, under the new ones."""
    assert isinstance(source, EnvSettingsSource)
    values: dict[str, Any] = {}
    for old, new in RENAMED.items():
        if (value := source.env_vars.get(f"adis_{old}")) is not None:
            warnings.warn(is_called_now(f"ADIS_{old.upper()}", f"ADIS_{new.upper()}"), FutureWarning, stacklevel=2)
            values[new] = value
    return InitSettingsSource(settings_cls, init_kwargs=values)


def is_called_now(old: str, new: str) -> str:
    """The warning's text."""
    return f"{old} is called {new} now; the old name goes with the next version"
