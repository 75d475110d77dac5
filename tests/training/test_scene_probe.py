"""The probe that says which scene an image shows."""

import numpy as np

from training.evaluation.scene_probe import SceneProbe

LABELS = [1, 4, 6]
CENTERS = np.array([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]], np.float32)


def test_labels_need_not_begin_at_zero_nor_follow_each_other() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(CENTERS, 20, axis=0) + rng.normal(size=(60, 3)).astype(np.float32)
    labels = np.repeat(LABELS, 20)
    for standardized in (False, True):
        probe = SceneProbe(features, labels.tolist(), 1.0, standardized)
        assert probe(CENTERS).tolist() == LABELS
        assert probe(CENTERS, among=[6, 4]).tolist()[1:] == [4, 6]
        assert set(probe(CENTERS, among=[6, 4]).tolist()) == {4, 6}
        assert probe.recall(CENTERS, LABELS) == {1: 1.0, 4: 1.0, 6: 1.0}


def test_two_labels_are_told_apart() -> None:
    probe = SceneProbe(CENTERS[[0, 0, 1, 1]], [3, 3, 5, 5], 1.0)
    assert probe(CENTERS[:2]).tolist() == [3, 5]
