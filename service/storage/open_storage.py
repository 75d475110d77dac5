"""Choose the storage that the settings name."""

from importlib.util import find_spec

from service.settings import Settings
from service.storage.folder import Storage


class StoreNotInstalled(Exception):
    """The package that speaks to object stores is not there; the message says how to get it."""


def open_storage(settings: Settings) -> Storage:
    """The folder of `data_dir`, or the bucket of `storage`; not prepared yet."""
    if settings.storage is None:
        return Storage(settings.data_dir)
    from service.storage.bucket import BucketStorage
    from service.storage.object_store import ObjectStore

    store = ObjectStore(settings.storage, settings.s3_endpoint, settings.s3_public_endpoint)
    return BucketStorage(store, settings.data_dir, settings.s3_redirect)


def check_store(settings: Settings) -> None:
    """Raises StoreNotInstalled if the settings name a bucket that nothing here can speak to."""
    if settings.storage is not None and find_spec("boto3") is None:
        raise StoreNotInstalled("ADIS_STORAGE needs the package boto3: pip install '.[s3]'")
