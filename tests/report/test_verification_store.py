"""Verifications as the report keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.report.verification_store import (
    checked_measures,
    hardest_pairs,
    load_verification,
    measures_of,
    save_verification,
)


def test_what_is_saved_is_read_back(tmp_path, result, images):
    stored = load_verification(save_verification(tmp_path, "lfw", result, images))
    assert (stored.name, stored.measures) == ("lfw", measures_of("lfw", result))
    assert stored.measures == {
        "set": "lfw",
        "flip": True,
        "precision": "float32",
        "whole_set": False,
        **result.to_json(),
    }
    np.testing.assert_array_equal(stored.distances, result.distances)
    np.testing.assert_array_equal(stored.issame, result.issame)
    assert list(stored.pictures) == hardest_pairs(result.distances, result.issame).tolist()
    for pair, pictures in stored.pictures.items():
        assert pictures == (images[2 * pair], images[2 * pair + 1])


def test_hardest_are_distant_genuine_and_close_impostors():
    distances = np.array([0.1, 3.0, 2.0, 0.5, 1.0, 0.7])
    issame = np.array([True, True, True, False, False, False])
    assert hardest_pairs(distances, issame, count=2).tolist() == [1, 2, 3, 5]
    assert hardest_pairs(distances, issame, count=10).tolist() == [1, 2, 0, 3, 5, 4]


def test_without_images_no_picture_is_kept(tmp_path, result):
    stored = load_verification(save_verification(tmp_path, "lfw", result))
    assert stored.pictures == {} and len(stored.distances) == result.pairs


def test_any_set_name_becomes_a_file_inside_the_run(tmp_path, result):
    path = save_verification(tmp_path, "../../my set/ä.bin", result)
    assert path.parent == tmp_path / "verification"
    assert load_verification(path).name == "../../my set/ä.bin"


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"\x80\x04K\x01."])
def test_a_damaged_file_is_named(tmp_path, result, damage):
    path = save_verification(tmp_path, "lfw", result)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="lfw.npz is not a stored verification"):
        load_verification(path)


@pytest.mark.parametrize(
    "change",
    [
        {"distances": np.array([np.nan] * 3)},
        {"distances": np.zeros((3, 1))},
        {"issame": np.array([True])},
        {"hardest": np.array([10**6])},
        {"hardest": np.array([-1])},
        {"image_ends": np.array([1])},
        {"name": np.array(3)},
        {"measures": np.array("[]")},
        {"measures": np.array("[" * 100_000)},
    ],
)
def test_parts_that_no_report_can_show_are_refused(tmp_path, result, images, change):
    path = save_verification(tmp_path, "lfw", result, images)
    with np.load(path) as archive:
        parts = {**archive, **change}
    np.savez(path, **parts)
    with pytest.raises(UserError, match="lfw.npz is not a stored verification"):
        load_verification(path)


def test_measures_of_other_types_are_left_out():
    values = {"accuracy": "high", "std": 0.1, "tar_at_far": {"1e-3": 0.5, "x": 1, "0.1": "y"}, "set": "lfw"}
    assert checked_measures(values) == {"std": 0.1, "tar_at_far": {"1e-3": 0.5}, "set": "lfw"}
    assert checked_measures({"tar_at_far": 3}) == {"tar_at_far": {}}
