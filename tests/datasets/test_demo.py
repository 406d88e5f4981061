"""The demo sets, read back by the package's readers and run through the protocols with pixels as features."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers import load_script, people

from arcface_gluon.data import write_training_set
from arcface_gluon.data.benchmarks import ijb as ijb_lists
from arcface_gluon.data.benchmarks import iqiyi as iqiyi_lists
from arcface_gluon.data.benchmarks import megaface as lists
from arcface_gluon.data.images.align import align
from arcface_gluon.errors import UserError
from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols import trillion_pairs
from arcface_gluon.protocols.ijb_templates import pool
from arcface_gluon.protocols.ijb_verification import verify
from arcface_gluon.protocols.iqiyi import mean_average_precision
from arcface_gluon.protocols.megaface import identify, refine

demo = load_script("datasets/demo.py")


def pixels(paths):
    images = [cv2.imread(str(path)) for path in paths]
    return np.stack([cv2.resize(image, (14, 14)).ravel().astype(np.float32) - 128 for image in images])


def test_megaface(tmp_path):
    demo.megaface(tmp_path, people())
    probes = lists.read_probe_list(tmp_path / "templatelists" / "facescrub_features_list.json")
    assert len(probes.paths) == 6 * 9 and len(set(probes.identities)) == 6
    assert lists.read_probe_list(tmp_path / "facescrub_lst") == probes
    everything = lists.read_distractor_list(tmp_path / "megaface_lst").paths
    assert len(everything) == 10 * 9 + 1
    small, large = (
        lists.read_distractor_list(lists.distractor_list_path(tmp_path / "templatelists", size, 2)).paths
        for size in (10, 91)
    )
    assert large[:10] == small and set(large) == set(everything)
    features = pixels(tmp_path / "facescrub_images" / path for path in probes.paths)
    gallery = pixels(tmp_path / "megaface_images" / path for path in large)
    labels = np.array(probes.identities)
    noisy, unknown = lists.find_noisy(probes.paths, lists.read_noise_list(tmp_path / "facescrub_noises.txt"))
    stray, more = lists.find_noisy(large, lists.read_noise_list(tmp_path / "megaface_noises.txt"))
    assert noisy.sum() == stray.sum() == 1 and unknown == more == []
    raw = identify(features, labels, gallery)
    for way in ("insightface", "delete"):
        refined = refine(features, labels, noisy, stray, way)
        result = identify(refined.probes, refined.labels, gallery, keep=refined.keep, rejected=refined.rejected)
        assert raw.rank1 < result.rank1 == 1


def small_people(count):
    return ((cv2.resize(picture, (28, 28)), person) for picture, person in people(count))


def test_the_largest_list_of_megaface_has_every_distractor_however_many_there_are(tmp_path):
    demo.megaface(tmp_path, small_people(24))
    path = lists.distractor_list_path(tmp_path / "templatelists", 15 * 9 + 1, 1)
    assert "9/stray/0.jpg" in lists.read_distractor_list(path).paths


def test_loose_crops_of_small_pictures_are_aligned_to_what_they_show(tmp_path):
    demo.ijb(tmp_path, small_people(8))
    where = ijb_lists.layout(tmp_path, "IJBC")
    landmarks = ijb_lists.read_landmarks(where.landmarks, ijb_lists.read_media(where.media).names)
    face = align(cv2.imread(str(where.images / "1.jpg")), landmarks.points[0])
    wanted = cv2.resize(next(small_people(1))[0], (112, 112))
    assert np.abs(face[:, :, ::-1].astype(float) - wanted)[8:-8, 8:-8].mean() < 8


@pytest.mark.parametrize("benchmark", ["IJBB", "IJBC"])
def test_ijb(tmp_path, benchmark):
    demo.BUILDERS[benchmark.lower()](tmp_path, people())
    where = ijb_lists.layout(tmp_path, benchmark)
    media = ijb_lists.read_media(where.media)
    landmarks = ijb_lists.read_landmarks(where.landmarks, media.names)
    faces = [align(cv2.imread(str(where.images / n)), p) for n, p in zip(media.names, landmarks.points)]
    first = next(people())[0]
    assert np.abs(faces[0][:, :, ::-1].astype(float) - first).mean() < 4  # twice through JPEG and bilinear at most
    features = np.stack([cv2.resize(face, (14, 14)).ravel().astype(np.float32) - 128 for face in faces])
    pooled = pool(features, media.templates, media.media, landmarks.scores)
    pairs = ijb_lists.read_pairs(where.pairs)
    assert 0 < pairs.same.sum() < len(pairs.same)
    assert verify(pooled, pairs.first, pairs.second, pairs.same).tar_at_most[-1] > 0.99
    probes = ijb_lists.read_enrolment(where.probes)
    galleries = [ijb_lists.read_enrolment(path) for path in where.galleries]
    assert sum(len(g.subjects) for g in galleries) == 14  # 2 of 16 are enrolled nowhere
    found = template_search.search(
        pooled, (probes.templates, probes.subjects), [(g.templates, g.subjects) for g in galleries]
    )
    assert found.merged.rank(1) == 1 and found.tpir(0.1) > 0.9


def test_trillion_pairs(tmp_path):
    demo.trillion_pairs(tmp_path, people())
    probes = lists.read_probe_list(tmp_path / "elfw_lst")
    distractors = lists.read_distractor_list(tmp_path / "flickr_lst").paths
    assert len(probes.paths) == len(distractors) == 8 * 9
    result = trillion_pairs.evaluate(
        pixels(tmp_path / "elfw" / path for path in probes.paths),
        probes.identities,
        pixels(tmp_path / "flickr" / path for path in distractors),
    )
    assert result.persons == 8 and result.identification[1e-3] == 1


def test_iqiyi(tmp_path):
    demo.iqiyi(tmp_path, people())
    train, val = (iqiyi_lists.read_video_list(tmp_path / f"{part}.txt") for part in ("train", "val"))
    assert (val.persons == -1).sum() == 4 * 5 and set(train.persons) == set(range(12))
    centres = []
    for videos in (train, val):
        paths, positions, _ = iqiyi_lists.frames(tmp_path, videos)
        centres.append(pool(pixels(paths), positions).vectors)
    queries = pool(centres[0], train.persons)
    assert mean_average_precision(queries.vectors, queries.ids, centres[1], val.persons).map == 1


def test_the_command_builds_from_a_training_set(tmp_path):
    faces = [(cv2.imencode(".jpg", image)[1].tobytes(), person) for image, person in people(8, 8)]
    write_training_set(tmp_path / "set", faces)
    assert demo.main(["iqiyi", "--from", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "train.txt").exists()


def test_too_few_people_are_refused(tmp_path):
    with pytest.raises(UserError, match="8 people with 8 images each, not 7"):
        demo.iqiyi(tmp_path, people(7))


def test_planted_features_have_the_cosines_that_are_said():
    features, labels = demo.planted(3000, 300, size=256, block=1000)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    products = features @ features.T
    same = labels[:, None] == labels
    np.fill_diagonal(same, False)
    assert products[same].mean() == pytest.approx(0.5, abs=0.02)
    others = products[labels[:, None] != labels]
    assert abs(others.mean()) < 0.01 and others.std() == pytest.approx(1 / 16, abs=0.005)
    np.testing.assert_array_equal(features, demo.planted(3000, 300, size=256, block=1000)[0])
    alone, numbers = demo.planted(10, 0)
    assert len(set(numbers)) == 10 and alone.shape == (10, 512)
