"""The sample stream: order, resumption, partition, replacement of bad images, threads and memory."""

import logging
import threading
import time
from contextlib import closing
from itertools import islice

import cv2
import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data import Augment, Batches, FaceRecords, RecordWriter, write_training_set
from arcface_gluon.data.batches.augment import random_draws
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.errors import UserError


def jpeg(number):
    """A picture whose left side is darker than its right side and whose mean tells its number."""
    image = np.full((16, 16, 3), 40 + number, np.uint8)
    image[:, :8] -= 30
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_training_set(folder, ((jpeg(i), i // 5) for i in range(50)), size=(16, 16))
    return FaceRecords(folder)


def take(batches, start, count):
    with closing(batches.iterate(start)) as stream:
        return list(islice(stream, count))


def numbers(batch):
    return np.rint(batch.images.mean(axis=(1, 2, 3)) - 25).astype(int).tolist()


def test_batch_layout(records):
    batch = take(Batches(records, 8), 3, 1)[0]
    assert batch.images.shape == (8, 3, 16, 16) and batch.images.dtype == np.uint8
    assert batch.labels.dtype == np.int32 and batch.labels.tolist() == [n // 5 for n in numbers(batch)]
    assert (batch.iteration, batch.epoch, batch.skipped) == (3, 24 / 50, 0)


def test_images_are_as_decoded(records):
    batch = take(Batches(records, 50, augment=Augment(flip=0)), 0, 1)[0]
    for image, number in zip(batch.images.transpose(0, 2, 3, 1), numbers(batch)):
        assert np.array_equal(image, mx.image.imdecode(records.read(number)[0]).asnumpy())


def test_records_may_be_decoded_at_a_smaller_scale(records):
    small = records.reduced(2)
    assert small.image_size == (8, 8) and records.image_size == (16, 16)
    batch = take(Batches(small, 10, augment=Augment(flip=0), threads=2), 0, 1)[0]
    for image, number in zip(batch.images, numbers(batch)):
        data = np.frombuffer(records.read(number)[0], np.uint8)
        expected = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2)[..., ::-1]
        assert np.array_equal(image, expected.transpose(2, 0, 1))
    with pytest.raises(UserError, match="data.reduce=3: .*property says images of 16x16, no multiple of it"):
        records.reduced(3)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_epoch_is_as_a_plain_loop_makes_it(records, threads):
    """Order, mirror and planes, image by image with MXNet's decoder, over the end of an epoch."""
    taken = take(Batches(records, 9, seed=11, threads=threads), 0, 6)
    draws = random_draws(11, 0, 54)
    for place, (image, label) in enumerate((i, n) for b in taken for i, n in zip(b.images, b.labels)):
        order = np.arange(50, dtype=np.uint32)
        np.random.Generator(np.random.Philox(np.random.SeedSequence([11, place // 50]))).shuffle(order)
        data, expected_label = records.read(order[place % 50])
        expected = mx.image.imdecode(data).asnumpy()[:, :: -1 if draws[place, 4] < 0.5 else 1]
        assert label == expected_label and np.array_equal(image, expected.transpose(2, 0, 1)), place


def test_each_epoch_is_another_permutation_and_no_image_is_left_out(records):
    stream = [n for batch in take(Batches(records, 8, seed=1), 0, 25) for n in numbers(batch)]
    epochs = [stream[i : i + 50] for i in range(0, 200, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4 and list(range(50)) not in epochs


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 70), st.integers(0, 30), st.integers(1, 3), st.integers(1, 5))
def test_any_batch_is_the_same_however_it_is_reached(records, size, start, threads, prefetch):
    augment = Augment(shift=2, light=0.3)
    whole = take(Batches(records, size, seed=7, augment=augment, threads=1), 0, start + 2)[start:]
    resumed = take(Batches(records, size, seed=7, augment=augment, threads=threads, prefetch=prefetch), start, 2)
    for a, b in zip(whole, resumed):
        assert a.iteration == b.iteration and np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 6), st.integers(0, 10))
def test_parts_make_up_the_batch(records, processes, start):
    size = 13
    whole = take(Batches(records, size, seed=2), start, 2)
    parts = [take(Batches(records, size, seed=2, part=(rank, processes)), start, 2) for rank in range(processes)]
    for i in range(2):
        assert np.array_equal(whole[i].images, np.concatenate([part[i].images for part in parts]))
        assert np.array_equal(whole[i].labels, np.concatenate([part[i].labels for part in parts]))


def test_seed_changes_order_and_mirrors(records):
    first, second = (take(Batches(records, 50, seed=seed), 0, 2) for seed in (0, 1))
    assert numbers(first[0]) != numbers(second[0])
    # The left half is darker unless mirrored; another epoch mirrors other images.
    columns = [batch.images.mean(axis=(1, 2)) for batch in first]
    mirrored = [set(np.array(numbers(b))[c[:, 0] > c[:, -1]]) for b, c in zip(first, columns)]
    assert mirrored[0] != mirrored[1] and 10 < len(mirrored[0]) < 40


def test_order_stays_as_it_was_in_earlier_versions(records):
    # Another order would break the resumption of older runs.
    assert numbers(take(Batches(records, 6, seed=5), 0, 1)[0]) == [6, 31, 9, 38, 43, 40]


def test_split_over_contexts(records):
    batch = take(Batches(records, 10), 0, 1)[0]
    images, labels = batch.split([mx.cpu(0), mx.cpu(1), mx.cpu(2)])
    assert [image.shape for image in images] == [(4, 3, 16, 16), (3, 3, 16, 16), (3, 3, 16, 16)]
    assert [image.context for image in images] == [mx.cpu(i) for i in range(3)]
    assert all(image.dtype == np.uint8 for image in images) and all(label.dtype == np.int32 for label in labels)
    joined = np.concatenate([image.asnumpy() for image in images])
    assert np.array_equal(joined, batch.images)
    assert np.array_equal(np.concatenate(labels), batch.labels)
    with pytest.raises(ValueError, match="10 images cannot feed 11"):
        batch.split([mx.cpu(i) for i in range(11)])


def test_memory_is_reused_but_never_under_a_held_batch(records):
    with closing(Batches(records, 10, prefetch=2).iterate()) as stream:
        kept = next(stream)
        view, copy = kept.images[3:5], kept.images.copy()
        labels = kept.labels.copy()
        del kept
        places = set()
        for batch in islice(stream, 30):
            places.add(batch.images.__array_interface__["data"][0])
            time.sleep(0.002)
    assert np.array_equal(view, copy[3:5]) and len(labels) == 10
    assert len(places) < 10


def test_what_is_on_a_device_stays_while_later_batches_are_made(records):
    for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        with closing(Batches(records, 10, prefetch=2).iterate()) as stream:
            batch = next(stream)
            expected = batch.images.copy()
            images, _ = batch.split(contexts)
            later = [image.astype("float32") for image in images]  # under way when the batch is gone
            del batch, images[1:]
            for _ in islice(stream, 30):
                time.sleep(0.001)
        assert np.array_equal(images[0].asnumpy(), expected[: len(images[0])])
        assert np.array_equal(np.concatenate([part.asnumpy() for part in later]), expected)


BAD = {
    "cut jpeg": lambda: pack(Header(0, 1, 0, 0), jpeg(0)[:200]),
    "no image": lambda: pack(Header(0, 1, 0, 0), b"hello"),
    "empty": lambda: pack(Header(0, 1, 0, 0), b""),
    "short record": lambda: b"abc",
    "label too large": lambda: pack(Header(0, 10, 0, 0), jpeg(0)),
    "negative label": lambda: pack(Header(0, -1, 0, 0), jpeg(0)),
    "fractional label": lambda: pack(Header(0, 0.5, 0, 0), jpeg(0)),
}


def set_with(folder, bad, places, count=20):
    with RecordWriter(folder / "train.rec") as writer:
        for i in range(count):
            writer.write(100 + i, BAD[bad]() if i in places else pack(Header(0, i // 2, 0, 0), jpeg(i)))
    (folder / "property").write_text("10,16,16\n")
    return FaceRecords(folder)


@pytest.mark.parametrize("bad", BAD)
def test_bad_images_are_skipped_counted_and_named_once(tmp_path, caplog, bad):
    records = set_with(tmp_path, bad, {3, 7})
    batches = Batches(records, 20, threads=2)
    with caplog.at_level(logging.WARNING):
        taken = take(batches, 0, 3)
    for batch in taken:
        assert set(numbers(batch)) == set(range(20)) - {3, 7}
        assert batch.labels.tolist() == [n // 2 for n in numbers(batch)]
        assert batch.skipped == 2
    assert batches.skipped == 6
    assert sorted(key for key in (103, 107) for line in caplog.messages if f"record {key} " in line) == [103, 107]
    assert all("train.rec" in line for line in caplog.messages)


@pytest.mark.parametrize("bad", BAD)
def test_bad_image_stops_with_its_key(tmp_path, bad):
    records = set_with(tmp_path, bad, {3})
    with pytest.raises(UserError, match=r"train\.rec: .*record 103 .*data\.on_error=skip"):
        take(Batches(records, 20, on_error="stop"), 0, 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_replacement_is_the_next_readable_one_of_the_epoch(tmp_path):
    good = take(Batches(set_with(tmp_path, "empty", ()), 20, augment=Augment(flip=0)), 0, 1)[0]
    order = numbers(good)
    lost = {order[4], order[5], order[19]}
    got = numbers(take(Batches(set_with(tmp_path, "empty", lost), 20, augment=Augment(flip=0)), 0, 1)[0])
    assert got == order[:4] + [order[6]] * 3 + order[7:19] + [order[0]]


def test_nothing_readable(tmp_path, caplog):
    with pytest.raises(UserError, match="20 records in a row cannot be read"):
        take(Batches(set_with(tmp_path, "no image", range(20)), 4), 0, 1)


def test_closing_midway_leaves_no_thread(records):
    stream = Batches(records, 10, prefetch=8).iterate()
    next(stream)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_wrong_arguments(records):
    with pytest.raises(UserError, match="data.on_error=ignore: must be skip_images, skip or stop"):
        Batches(records, 4, on_error="ignore")
    for wrong in ({"part": (2, 2)}, {"part": (0, 5)}, {"seed": -1}, {"prefetch": 0}):
        with pytest.raises(ValueError, match="out of range"):
            Batches(records, 4, **wrong)


def test_batches_of_identities_resume_and_divide_over_processes(records):
    options = {"seed": 4, "images_per_identity": 4}
    whole = take(Batches(records, 12, **options), 0, 9)
    for batch in whole:
        groups = batch.labels.reshape(3, 4)
        assert (groups == groups[:, :1]).all() and len(np.unique(groups)) == 3
        assert batch.labels.tolist() == [n // 5 for n in numbers(batch)]
    resumed = take(Batches(records, 12, threads=1, **options), 5, 4)
    assert [numbers(batch) for batch in resumed] == [numbers(batch) for batch in whole[5:]]
    parts = [take(Batches(records, 12, part=(rank, 2), **options), 5, 1)[0] for rank in range(2)]
    assert numbers(parts[0]) + numbers(parts[1]) == numbers(whole[5])


def test_impossible_batches_of_identities_are_refused(records):
    with pytest.raises(UserError, match="needs 12 identities, the set has 10"):
        Batches(records, 24, images_per_identity=2)
