"""The scripts of uploads (`lua/*.lua`), and what they keep in Redis.

With the prefix `adis:`
  upload:KEY:HASH      hash    a file that an API key's jobs may use (service.uploads.repository)
  uploads              sorted  the folders of these files, by the time at which they expire
  upload-bytes         hash    bytes of each, by folder, and of `all`
  arriving:KIND        sorted  ids of jobs (and, as KIND `upload`, folders) whose files arrive, by the time when they
                               count no more (service.uploads.budget)
  arriving-bytes:KIND  hash    bytes of each of them
"""

from pathlib import Path
from typing import Final

from service.redis.scripts import load_script

_FOLDER: Final = Path(__file__).parent / "lua"

KEEP = load_script(_FOLDER / "keep.lua", when_full=False)
USE = load_script(_FOLDER / "use.lua")
RESERVE = load_script(_FOLDER / "reserve.lua", when_full=False)
