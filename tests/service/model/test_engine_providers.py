"""The engine takes the first provider that loads, and the precision that this one likes."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from service.errors import BundleError, ProviderError
from service.model.bundle import AUDIO_ENCODER, CONTENT_ENCODER, DECODER, Bundle, load_bundle
from service.model.cuda_versions import CudaVersions
from service.model.engine import Engine
from tests.support.media import make_tone
from tests.support.tiny_bundle import (
    add_fp16_graphs,
    make_decoder,
    write_tiny_bundle,
)

CLIP_SAMPLES = 48_000
FITTING = CudaVersions(("onnxruntime-gpu 1.31.1",), (13, 0), (13, 0), None, (9, 0), (13, 0), (9, 24))


def test_it_tells_which_provider_takes_which_operators(engine: Engine) -> None:
    taken = engine.operators_by_provider()
    assert set(taken) == {AUDIO_ENCODER, CONTENT_ENCODER, DECODER}
    assert taken[CONTENT_ENCODER] == {"cpu": {"SpaceToDepth": 1}}
    assert taken[DECODER]["cpu"]["DepthToSpace"] == 1


def test_the_runtime_and_the_provider_are_told(engine: Engine) -> None:
    assert engine.runtime == f"onnxruntime {ort.__version__}"
    assert engine.provider == "cpu"


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is here")
class TestWhereThereIsNoCuda:
    def test_a_request_that_cannot_be_met_falls_back_if_allowed(
        self, bundle: Bundle, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            assert Engine(bundle, ["cuda"], allow_fallback=True).provider == "cpu"
        assert "falling back to cpu: cuda is not in this build" in caplog.text
        assert "runs on cpu" in caplog.text

    def test_without_fallback_it_fails_and_says_what_to_do(self, bundle: Bundle) -> None:
        with pytest.raises(ProviderError, match=r"cuda is not in this build.*ADIS_PROVIDER_FALLBACK"):
            Engine(bundle, ["tensorrt", "cuda"], allow_fallback=False)

    def test_a_cpu_that_is_listed_is_no_fallback(self, bundle: Bundle) -> None:
        assert Engine(bundle, ["cuda", "cpu"], allow_fallback=False).provider == "cpu"


def test_the_first_provider_that_loads_wins(bundle: Bundle) -> None:
    assert Engine(bundle, ["cpu", "cuda"], allow_fallback=False).provider == "cpu"


def test_a_provider_that_is_built_in_but_does_not_start_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime lists CUDA wherever its GPU build is installed, and only warns when the driver is missing."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = ort.InferenceSession

    def without_driver(graph: bytes, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
        return real(graph, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", without_driver)
    monkeypatch.setattr("service.model.providers.read_cuda_versions", lambda: FITTING)
    with caplog.at_level(logging.WARNING):
        assert Engine(bundle, ["cuda"], allow_fallback=True).provider == "cpu"
    assert "cuda does not load (ONNX Runtime took CPUExecutionProvider instead)" in caplog.text
    with pytest.raises(ProviderError, match="took CPUExecutionProvider instead"):
        Engine(bundle, ["cuda"], allow_fallback=False)


def test_versions_that_do_not_fit_are_named_before_anything_is_loaded(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr("service.model.providers.read_cuda_versions", lambda: replace(FITTING, driver=(12, 4)))
    with pytest.raises(ProviderError, match=r"cuda cannot load: the NVIDIA driver supports CUDA 12\.4 at most"):
        Engine(bundle, ["cuda"], allow_fallback=False)


class TestHalfPrecision:
    @pytest.fixture(scope="class")
    @staticmethod
    def both(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
        """The tiny bundle, its fp16 graphs changing nothing, so that one can see which were run."""
        directory = write_tiny_bundle(tmp_path_factory.mktemp("models") / "both")
        add_fp16_graphs(directory, decoder=make_decoder(0.0))
        return load_bundle(directory)

    def change(self, engine: Engine) -> float:
        image = np.full((1, 3, 16, 16), 0.5, np.float32)
        return float(np.abs(engine.decode(engine.encode(image), engine.embed(make_tone(3)[None])) - image).max())

    def test_the_cpu_runs_fp32_unless_it_is_told(self, both: Bundle) -> None:
        engine = Engine(both)
        assert (engine.precision, engine.runtime) == ("fp32", f"onnxruntime {ort.__version__}")
        assert self.change(engine) > 0.1
        told = Engine(both, precision="fp16")
        assert (told.precision, told.runtime) == ("fp16", f"onnxruntime {ort.__version__} fp16")
        assert self.change(told) == 0
        assert told.by_core.precision == "fp16"

    @pytest.mark.parametrize(("precision", "expected"), [("auto", "fp16"), ("fp32", "fp32"), ("fp16", "fp16")])
    def test_a_gpu_runs_fp16_unless_it_is_told(
        self, both: Bundle, monkeypatch: pytest.MonkeyPatch, precision: str, expected: str
    ) -> None:
        chosen = open_sessions_as_if_on_cuda(monkeypatch)
        with pytest.raises(ProviderError, match="seen enough"):
            Engine(both, ["cuda"], allow_fallback=False, precision=precision)
        assert chosen == [expected]

    def test_a_gpu_runs_fp32_where_the_bundle_has_no_other(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen = open_sessions_as_if_on_cuda(monkeypatch)
        with pytest.raises(ProviderError, match="seen enough"):
            Engine(bundle, ["cuda"], allow_fallback=False)
        assert chosen == ["fp32"]

    def test_fp16_that_a_bundle_does_not_have_is_refused(self, bundle: Bundle) -> None:
        with pytest.raises(BundleError, match="has no fp16 graphs: export it with --precision both"):
            Engine(bundle, precision="fp16")


def open_sessions_as_if_on_cuda(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever loads an engine is refused; what comes back lists which graphs were asked for."""
    chosen: list[str] = []

    def ask(read: Any, providers: list[str], *_: Any) -> None:
        chosen.append(read(providers[0]).precision)
        raise ProviderError("seen enough")

    monkeypatch.setattr("service.model.engine.open_sessions", ask)
    return chosen


def test_an_unknown_provider_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ProviderError, match=r"abacus: no such provider; there are tensorrt, cuda, .*cpu"):
        Engine(bundle, ["abacus"])
