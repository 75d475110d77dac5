"""Settings come from ADIS_* variables or a .env file, are bounded, and explain themselves."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.media.limits import MediaLimits
from service.settings import Settings
from service.settings_reference import write_reference


@pytest.fixture(autouse=True)
def _no_settings_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ADIS_{name.upper()}", raising=False)


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_page_of_all_settings_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text() == write_reference(), "run: adis settings --markdown > docs/settings.md"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADIS_PORT", "9000")
    monkeypatch.setenv("ADIS_PROVIDERS", "cuda, CPU")
    settings = Settings()
    assert (settings.port, settings.providers) == (9000, ["cuda", "cpu"])


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ADIS_MAX_IMAGE_BYTES=1234\nADIS_SOMETHING_ELSE=1\n")
    assert MediaLimits.of(Settings()).max_image_bytes == 1234


def test_an_old_name_is_read_with_a_warning_and_the_new_one_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ADIS_COMFORTABLE_SIDE=512\n")
    with pytest.warns(FutureWarning, match="ADIS_COMFORTABLE_SIDE is called ADIS_MAX_INFERENCE_SIDE now"):
        assert Settings().max_inference_side == 512
    monkeypatch.setenv("ADIS_MAX_INFERENCE_SIDE", "640")
    with pytest.warns(FutureWarning):
        assert Settings().max_inference_side == 640


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVIDERS", "abacus"),
        ("PROVIDERS", ""),
        ("PORT", "99999"),
        ("MAX_SIDE", "0"),
        ("PORT", "x"),
        ("WEBHOOK_SECRET", "secret"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ="),
        ("WEBHOOK_PRIVATE_NETWORKS", "10.0.0.0/99"),
        ("STORAGE", "bucket"),
        ("STORAGE", "s3://"),
        ("STORAGE", "https://bucket.example.org"),
        ("S3_ENDPOINT", "store:9000"),
        ("S3_PUBLIC_ENDPOINT", "https://key:secret@store"),
    ],
)
def test_a_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ADIS_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_bucket_that_a_compose_file_leaves_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE", "S3_ENDPOINT", "S3_PUBLIC_ENDPOINT"):
        monkeypatch.setenv(f"ADIS_{name}", "")
    settings = Settings()
    assert (settings.storage, settings.s3_endpoint, settings.s3_public_endpoint) == (None, None, None)


@pytest.mark.parametrize(
    ("host", "outside"),
    [("127.0.0.1", False), ("127.1.2.3", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],
)
def test_only_loopback_addresses_are_this_machines_own(host: str, outside: bool) -> None:
    assert Settings(host=host).is_reached_from_outside is outside
