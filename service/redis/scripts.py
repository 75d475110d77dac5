"""Scripts that run inside Redis, each one atomic: a file `*.lua` whose head states what it takes and gives.

Keys have the prefix `adis:` and are made from ids inside the scripts, so this wants a single Redis, not a cluster.
"""

import json
from pathlib import Path
from typing import Any, Final

_PRELUDE: Final = (Path(__file__).parent / "prelude.lua").read_text()


def load_script(*parts: Path, when_full: bool = True) -> str:
    """The prelude and these files, as one script.

    when_full: it also runs in a Redis that has reached its `maxmemory`, so it must need little room.
    """
    flags = " flags=allow-oom" if when_full else ""
    return f"#!lua{flags}\n{_PRELUDE}" + "".join(part.read_text() for part in parts)


def arguments(**values: Any) -> list[str]:
    """The only argument of a script: one JSON object."""
    return [json.dumps(values)]
