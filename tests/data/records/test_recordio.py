"""The RecordIO container against MXNet's own reader and writer."""

import os
import pickle
import struct
import threading

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data.records.recordio import MAGIC, Header, RecordReader, RecordWriter, pack, unpack
from arcface_gluon.errors import UserError

MAGIC_BYTES = struct.pack("<I", MAGIC)
# Payloads rich in magic numbers, at aligned and unaligned places.
payloads = st.lists(
    st.lists(st.one_of(st.just(MAGIC_BYTES), st.binary(max_size=9)), max_size=6).map(b"".join), min_size=1, max_size=6
)


def write(path, items):
    with RecordWriter(path) as writer:
        for key, payload in enumerate(items):
            writer.write(key, payload)


def offsets(path):
    return [int(line.split("\t")[1]) for line in path.with_suffix(".idx").read_text().splitlines()]


@settings(deadline=None, max_examples=60)
@given(payloads)
def test_files_are_byte_for_byte_as_mxnet_writes_them(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("rec")
    write(folder / "ours.rec", items)
    theirs = mx.recordio.MXIndexedRecordIO(str(folder / "theirs.idx"), str(folder / "theirs.rec"), "w")
    for key, payload in enumerate(items):
        theirs.write_idx(key, payload)
    theirs.close()
    assert (folder / "ours.rec").read_bytes() == (folder / "theirs.rec").read_bytes()
    assert (folder / "ours.idx").read_bytes() == (folder / "theirs.idx").read_bytes()

    reader = RecordReader(folder / "ours.rec")
    found, empty = reader.scan()
    assert found.tolist() == offsets(folder / "ours.rec")
    assert [reader.read(offset) for offset in found.tolist()] == items
    assert reader.end(int(found[-1])) == reader.size


@settings(deadline=None, max_examples=60)
@given(payloads, st.integers(-10, 120))
def test_what_is_read_is_the_same_whatever_length_was_expected(tmp_path_factory, items, expected):
    path = tmp_path_factory.mktemp("rec") / "t.rec"
    write(path, items)
    reader = RecordReader(path)
    assert [reader.read(offset, expected) for offset in offsets(path)] == items


@pytest.mark.parametrize("labels", [(), (3.0,), (7.0, 1.0)])
def test_image_header_as_mxnet_packs_it(labels):
    ours = pack(Header(0, 5.0, 12, 1), b"body", labels)
    theirs = mx.recordio.pack(mx.recordio.IRHeader(0, labels or 5.0, 12, 1), b"body")
    assert ours == theirs
    header, read, body = unpack(ours)
    assert (read, body, header.id, header.id2) == (labels or (5.0,), b"body", 12, 1)


@settings(deadline=None, max_examples=60)
@given(payloads, st.integers(-10, 120), st.sampled_from([(), (3.0,), (7.0, 1.0)]))
def test_images_are_read_as_they_are_unpacked(tmp_path_factory, bodies, expected, labels):
    items = [pack(Header(0, number + 5.0, 0, 0), body, labels) for number, body in enumerate(bodies)]
    path = tmp_path_factory.mktemp("rec") / "t.rec"
    write(path, items)
    reader = RecordReader(path)
    read = [reader.read_image(offset, expected) for offset in offsets(path)]
    assert read == [(body, labels[0] if labels else number + 5.0) for number, body in enumerate(bodies)]


@pytest.mark.parametrize("expected", [0, 32, 1000])
def test_an_image_is_not_read_beyond_its_record(tmp_path, expected):
    items = [pack(Header(0, 0, 0, 0), labels=(1, 2))[:-1], pack(Header(0, 1, 0, 0), b"jpeg")]
    write(tmp_path / "t.rec", items)
    reader = RecordReader(tmp_path / "t.rec")
    with pytest.raises(ValueError, match="31 bytes are too few"):
        reader.read_image(0, expected)
    with pytest.raises(UserError, match="no record starts at byte 4"):
        reader.read_image(4, expected)
    os.truncate(tmp_path / "t.rec", reader.size - 1)
    cut = RecordReader(tmp_path / "t.rec")
    with pytest.raises(UserError, match="truncated"):
        cut.read_image(offsets(tmp_path / "t.rec")[1], expected)


def test_short_header_is_refused():
    with pytest.raises(ValueError, match="too few"):
        unpack(b"\0" * 23)
    with pytest.raises(ValueError, match="too few"):
        unpack(pack(Header(0, 0, 0, 0), labels=(1, 2))[:-1])


def test_scan_tells_headers_from_images(tmp_path):
    items = [
        pack(Header(0, 1, 1, 0), b"jpeg"),
        pack(Header(0, 0, 0, 0), labels=(1, 2)),
        pack(Header(0, 0, 0, 0)),
        pack(Header(0, 1, 1, 0), MAGIC_BYTES * 2),
        b"ab",
    ]
    write(tmp_path / "t.rec", items)
    reader = RecordReader(tmp_path / "t.rec")
    found, empty = reader.scan()
    assert empty.tolist() == [False, True, True, False, False]
    assert [reader.is_empty(offset) for offset in found.tolist()] == empty.tolist()


@pytest.mark.parametrize("labels, expected", [((), 4.0), ((9.0, 1.0), 9.0)])
@pytest.mark.parametrize("body", [b"jpeg", MAGIC_BYTES * 3 + b"jpeg"])
def test_headers(tmp_path, labels, expected, body):
    write(tmp_path / "t.rec", [pack(Header(0, 4.0, 1, 0), body, labels), b"short", pack(Header(0, 5.0, 1, 0))])
    reader, starts = RecordReader(tmp_path / "t.rec"), np.array(offsets(tmp_path / "t.rec"))
    found, ends = reader.headers(starts)
    assert found.tolist() == [expected, -np.inf, 5.0]
    assert ends.tolist() == [starts[1], reader.size, reader.size]
    assert ends[0] == reader.end(starts[0])
    cut = (tmp_path / "t.rec").read_bytes()[:-4]
    (tmp_path / "t.rec").write_bytes(cut)
    assert RecordReader(tmp_path / "t.rec").headers(starts)[0].tolist() == [expected, -np.inf, -np.inf]


def test_truncation_anywhere_names_file_and_offset(tmp_path):
    items = [b"first record", b"x" + MAGIC_BYTES, b"abcd" + MAGIC_BYTES + b"ef", b"the last one"]
    write(tmp_path / "t.rec", items)
    whole, starts = (tmp_path / "t.rec").read_bytes(), offsets(tmp_path / "t.rec")
    for length in range(1, len(whole)):
        (tmp_path / "t.rec").write_bytes(whole[:length])
        reader = RecordReader(tmp_path / "t.rec")
        if length in starts:
            assert len(reader.scan()[0]) == starts.index(length)
            continue
        start = max(offset for offset in starts if offset < length)
        with pytest.raises(UserError, match=rf"t\.rec is truncated: it ends at byte {length}"):
            reader.scan()
        with pytest.raises(UserError, match=r"t\.rec is truncated"):
            reader.end(start)


def test_bad_magic_names_file_and_offset(tmp_path):
    write(tmp_path / "t.rec", [b"abcdefgh", b"ijkl"])
    reader = RecordReader(tmp_path / "t.rec")
    with pytest.raises(UserError, match=r"t\.rec: no record starts at byte 4;"):
        reader.read(4)
    data = bytearray((tmp_path / "t.rec").read_bytes())
    data[7] = 0x60  # a last part without a first
    (tmp_path / "t.rec").write_bytes(data)
    with pytest.raises(UserError, match="no record starts at byte 0"):
        reader.read(0)
    with pytest.raises(UserError, match=r"cannot read .*none\.rec: No such file"):
        RecordReader(tmp_path / "none.rec")


def test_nothing_is_left_after_an_error_and_old_files_stay(tmp_path):
    write(tmp_path / "t.rec", [b"old"])
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(KeyboardInterrupt), RecordWriter(tmp_path / "t.rec") as writer:
        writer.write(0, b"new")
        raise KeyboardInterrupt
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    write(tmp_path / "t.rec", [b"new"])
    assert sorted(os.listdir(tmp_path)) == ["t.idx", "t.rec"]
    assert RecordReader(tmp_path / "t.rec").read(0) == b"new"


def test_threads_and_other_processes_share_a_reader(tmp_path):
    items = [bytes([i]) * (100 + i) for i in range(200)]
    write(tmp_path / "t.rec", items)
    reader, starts, wrong = RecordReader(tmp_path / "t.rec"), offsets(tmp_path / "t.rec"), []

    def work(seed):
        for step in range(2000):
            i = (seed + 7 * step) % 200
            if reader.read(starts[i]) != items[i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if not child:
        os._exit(0 if all(reader.read(starts[i]) == items[i] for i in range(200)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    for thread in threads:
        thread.join()
    assert not wrong
    assert pickle.loads(pickle.dumps(reader)).read(starts[3]) == items[3]
