"""What signs a message: a secret for each API key, derived from the service's own, so that none has to be stored."""

import hmac
from base64 import b64decode, b64encode
from typing import Final

from service.auth.keys import ApiKeyRepository

OVERLAP_SECONDS: Final = 86_400.0

_PREFIX: Final = "whsec_"


def derive_secret(root: str, key_id: str, generation: int) -> str:
    """The secret (`whsec_…`) of an API key, from which neither `root` nor another key's can be computed.

    generation: how often it was renewed.
    """
    root_bytes = b64decode(root.removeprefix(_PREFIX))
    return _PREFIX + b64encode(hmac.digest(root_bytes, f"webhook:{key_id}:{generation}".encode(), "sha256")).decode()


class SigningSecrets:
    """root: the service's own secret, which signs the messages of jobs that came without a key."""

    def __init__(self, root: str, keys: ApiKeyRepository) -> None:
        self._root = root
        self._keys = keys

    async def of(self, key_id: str) -> list[str]:
        """What signs the messages of that key's jobs (empty: of no key): for a day after a renewal the old one, too."""
        if not key_id:
            return [self._root]
        key = await self._keys.find(key_id)
        generation, renewed = (0, None) if key is None else (key.webhook_generation, key.webhook_renewed)
        generations = [generation]
        if renewed is not None and await self._keys.now() - renewed < OVERLAP_SECONDS:
            generations.append(generation - 1)
        return [derive_secret(self._root, key_id, one) for one in generations]
