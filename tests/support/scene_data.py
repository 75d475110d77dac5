"""A small dataset of two scenes, for runs of training whose time is measured."""

from pathlib import Path

from tests.support.media import make_noise, make_photo, write_jpeg, write_wav
from training.data.index import build_scene_index

_RECIPE = """
test_share = 0.2

[[scene]]
name = "rain"
photos = ["rain/*.jpg"]
sounds = [{ file = "rain.wav", test_after = 40.0 }]

[[scene]]
name = "birds"
photos = ["birds/*.jpg"]
sounds = [{ file = "birds.wav", test_after = 40.0 }]
"""


def write_scene_data(folder: Path, width: int, height: int) -> Path:
    """Write twelve photographs and a minute of sound for each scene; the path of their index."""
    for scene in ("rain", "birds"):
        (folder / "photos" / scene).mkdir(parents=True)
        for number in range(12):
            photo = make_photo(width, height, 100 * len(scene) + number)
            write_jpeg(folder / "photos" / scene / f"{number}.jpg", photo)
    (folder / "sounds").mkdir()
    for seed, name in enumerate(("rain", "birds")):
        write_wav(folder / "sounds" / f"{name}.wav", make_noise(60.0, 0.1, seed=seed))
    (folder / "recipe.toml").write_text(_RECIPE)
    index = folder / "index.jsonl"
    build_scene_index(folder / "recipe.toml", folder, index)
    return index
