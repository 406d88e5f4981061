"""Our .params reader and writer against MXNet's own, and against damage."""

from __future__ import annotations

import struct

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.errors import UserError
from arcface_gluon.models import read_params, write_params

ARRAYS = {
    "arg:conv0_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "aux:bn0_moving_var": np.array([1.5, 2], np.float16),
    "naïve": np.array([7], np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "a.params"
    mx.nd.save(str(path), {name: mx.nd.array(value, dtype=value.dtype) for name, value in list(ARRAYS.items())[:3]})
    return path


def test_reads_what_mxnet_writes(file):
    found = read_params(file)
    assert list(found) == list(ARRAYS)[:3]
    for name, value in found.items():
        np.testing.assert_array_equal(value, ARRAYS[name])
        assert value.dtype == ARRAYS[name].dtype


def test_writes_the_same_bytes_as_mxnet(file, tmp_path):
    write_params(tmp_path / "b.params", read_params(file))
    assert (tmp_path / "b.params").read_bytes() == file.read_bytes()


def test_reads_what_it_writes(tmp_path):
    write_params(tmp_path / "c.params", ARRAYS)
    found = read_params(tmp_path / "c.params")
    assert {k: (v.shape, v.dtype, v.tolist()) for k, v in found.items()} == {
        k: (v.shape, v.dtype, v.tolist()) for k, v in ARRAYS.items()
    }


def test_every_truncation_is_refused(file, tmp_path):
    whole, path = file.read_bytes(), tmp_path / "cut.params"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut.params is damaged"):
            read_params(path)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_any_damage_is_refused_or_read_never_worse(file, tmp_path_factory, data):
    damaged = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    path = tmp_path_factory.getbasetemp() / "flipped.params"
    path.write_bytes(damaged)
    try:
        assert len(read_params(path)) == 3
    except UserError as error:
        assert "flipped.params" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"version https://git-lfs.github.com/spec/v1\n" * 3])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.params"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a .params file"):
        read_params(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none.params: No such file"):
        read_params(tmp_path / "none.params")


def test_a_list_without_names_is_refused(tmp_path):
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.ones(2)])
    with pytest.raises(UserError, match="1 arrays, 0 names"):
        read_params(tmp_path / "list.params")


@pytest.mark.parametrize("shape", [(0, 1 << 62, 1 << 62), (1 << 62, 1 << 62), (0, -1), (0, 1 << 40)])
def test_impossible_shapes_are_damage(tmp_path, shape):
    array = struct.pack(f"<IiI{len(shape)}qiii", 0xF993FAC9, 0, len(shape), *shape, 1, 0, 0)
    name = struct.pack("<QQ", 1, 1) + b"a"
    (tmp_path / "m.params").write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + array + name)
    with pytest.raises(UserError, match=r"m\.params is damaged"):
        read_params(tmp_path / "m.params")


def legacy(array, magic=b""):
    """An array as MXNet wrote it: before 0.12 without a magic and with sizes of four bytes, in 0.12 with both."""
    sizes = struct.pack(f"<I{array.ndim}{'q' if magic else 'I'}", array.ndim, *array.shape)
    return magic + sizes + struct.pack("<iii", 1, 0, {"f4": 0, "f2": 2}[array.dtype.str[1:]]) + array.tobytes()


@pytest.mark.parametrize("magic", [b"", struct.pack("<I", 0xF993FAC8)])
def test_files_of_old_mxnet(tmp_path, magic):
    arrays = {"arg:w": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "aux:v": np.array([1, 2], np.float16)}
    names = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)
    content = struct.pack("<QQQ", 0x112, 0, 2) + b"".join(legacy(a, magic) for a in arrays.values())
    path = tmp_path / "old.params"
    path.write_bytes(content + struct.pack("<Q", 2) + names)
    found, theirs = read_params(path), mx.nd.load(str(path))
    assert list(found) == list(arrays) and set(theirs) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
        np.testing.assert_array_equal(theirs[name].asnumpy(), value)
    for length in range(24, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="damaged"):
            read_params(path)
