"""The layers that the audio encoder takes from YAMNet: they compute what its graph computes, on what it was shown."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchaudio
from onnx import helper, numpy_helper

from training.models.audio_backbone import LAYERS, AudioBackbone, load_yamnet
from training.models.scene_audio_encoder import PowerSpectrogram, SceneAudioConfig, SceneAudioEncoder

CONFIG = SceneAudioConfig(classifier="yamnet")


def yamnet_like(backbone: AudioBackbone, path: Path, quantized: bool = False) -> Path:
    """A graph whose convolutions have the weights of `backbone`, with a classifier's layers behind them."""
    nodes, weights = [], []
    given = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)]
    x = "audio"
    for number, conv in enumerate([*given, torch.nn.Conv2d(LAYERS[-1][0], 8, 1)]):
        weight, bias = f"w{number}", f"b{number}"
        weights += [numpy_helper.from_array(conv.weight.detach().numpy(), weight)]
        weights += [numpy_helper.from_array(conv.bias.detach().numpy(), bias)]  # type: ignore[union-attr]
        if quantized:
            weights += [numpy_helper.from_array(np.float32(0.01), f"{weight}_scale")]
            nodes += [
                helper.make_node("QuantizeLinear", [weight, f"{weight}_scale"], [f"{weight}_q"]),
                helper.make_node("DequantizeLinear", [f"{weight}_q", f"{weight}_scale"], [f"{weight}_qdq"]),
            ]
            weight = f"{weight}_qdq"
        pads = [0, 0, 1, 1] if conv.stride[0] == 2 else 4 * [conv.kernel_size[0] // 2]
        settings = {"group": conv.groups, "strides": list(conv.stride), "pads": pads}
        nodes += [
            helper.make_node("Conv", [x, weight, bias], [f"c{number}"], **settings),
            helper.make_node("Relu", [f"c{number}"], [f"y{number}"]),
        ]
        x = f"y{number}"
    floats = onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, floats, None) for name in ("audio", f"y{len(given) - 1}")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "yamnet", ends[:1], ends[1:], weights)), str(path))
    return path


@pytest.mark.parametrize("quantized", [False, True])
def test_it_begins_with_the_weights_of_a_graph(tmp_path: Path, quantized: bool) -> None:
    torch.manual_seed(0)
    source, backbone = AudioBackbone(), AudioBackbone()
    load_yamnet(backbone, yamnet_like(source, tmp_path / "yamnet.onnx", quantized))
    x = torch.randn(1, 1, 96, 64)
    for ours, theirs in zip(backbone(x), source(x), strict=True):
        assert torch.equal(ours, theirs)


def test_another_graph_is_refused(tmp_path: Path) -> None:
    small = helper.make_graph([], "other", [], [])
    onnx.save(helper.make_model(small), str(tmp_path / "other.onnx"))
    with pytest.raises(ValueError, match="not a graph of YAMNet"):
        load_yamnet(AudioBackbone(), tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match="not a graph of YAMNet"):
        load_yamnet(AudioBackbone(), tmp_path / "text.onnx")


def test_it_computes_what_a_graph_that_pads_like_yamnet_computes(tmp_path: Path) -> None:
    """With stride 2 YAMNet pads behind alone, as TensorFlow does. 96 frames of 64 bands become 6 of 4."""
    torch.manual_seed(0)
    backbone = AudioBackbone()
    for conv in (module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)):
        torch.nn.init.kaiming_normal_(conv.weight)  # so that what comes in matters still behind the last layer
    session = onnxruntime.InferenceSession(str(yamnet_like(backbone, tmp_path / "yamnet.onnx")))
    x = torch.randn(2, 1, 96, 64)
    (wanted,) = session.run(None, {"audio": x.numpy()})
    ours = backbone(x)[1].detach().numpy()
    assert ours.shape == (2, 512, 6, 4)
    np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-3 * wanted.std())


def test_noise_looks_as_it_does_to_yamnet() -> None:
    """Its input: the log of magnitudes, summed over 64 bands from 125 to 7,500 Hz, plus 0.001."""
    encoder = SceneAudioEncoder(CONFIG).eval()
    waveform = 0.1 * torch.randn(4, CONFIG.clip_samples, generator=torch.Generator().manual_seed(0))
    magnitude = torchaudio.transforms.MelSpectrogram(
        CONFIG.sample_rate_hz, 512, 400, 160, f_min=125.0, f_max=7_500.0, n_mels=64, power=1.0, mel_scale="htk"
    )(waveform)
    wanted = torch.log(magnitude + 1e-3)
    with torch.no_grad():
        power, _ = PowerSpectrogram(CONFIG)(waveform)
        seen = encoder.classifier.spectrogram(power)[:, 0]
    assert seen.shape[1] == wanted.shape[1] == 64
    assert (seen.mean(dim=2) - wanted.mean(dim=2)).abs().mean() < 0.15
