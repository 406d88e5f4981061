"""Checkpoints: whole or not there, every file protected, the last good one found."""

import json
import os
import shutil

import mxnet as mx
import numpy as np
import pytest
from ranks import in_ranks

from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json, sha256, write_json
from arcface_gluon.run_layout import checkpoint_folders
from arcface_gluon.training import checkpoint
from arcface_gluon.training.checkpoint import (
    DamagedCheckpoint,
    load_checkpoint,
    load_last,
    record_validation,
    save_checkpoint,
)

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


def save(run, iteration, keep=9, best=None):
    arrays = {
        "backbone.params": {"w": mx.nd.array(VALUES + iteration), "half": mx.nd.array([1.5], dtype="float16")},
        "head-00000000.params": {"weight": mx.nd.array(VALUES), "momentum": mx.nd.array(-VALUES)},
    }
    state = {"iteration": iteration, "seconds": 1.5, "num_classes": 3, "devices": 1, "first_loss": None, "head": {}}
    documents = {
        "network.json": {"name": "r18"},
        "state.json": {**state, "verification": {}, "validated": 0, "best": None},
    }
    return save_checkpoint(run, iteration, arrays, documents, keep, best)


def names(run):
    return [folder.name for folder in checkpoint_folders(run)]


def test_arrays_come_back_bit_for_bit_in_files_that_mxnet_would_write(tmp_path):
    folder = save(tmp_path, 2)
    arrays, state = load_checkpoint(folder)
    assert state["iteration"] == 2
    assert (arrays["backbone.params"]["w"].asnumpy() == VALUES + 2).all()
    assert arrays["backbone.params"]["half"].dtype == np.float16
    mx.nd.save(str(tmp_path / "mxnet.params"), arrays["backbone.params"])
    assert (tmp_path / "mxnet.params").read_bytes() == (folder / "backbone.params").read_bytes()


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    for iteration in range(1, 7):
        save(tmp_path, iteration, keep=2, best=2 if iteration > 2 else None)
    assert names(tmp_path) == ["00000002", "00000005", "00000006"]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == names(tmp_path)


def test_every_flipped_bit_of_every_file_is_told(tmp_path):
    folder = save(tmp_path, 4)
    random = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for position in random.integers(0, len(whole), 40):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(random.integers(8))
            path.write_bytes(bytes(damaged))
            try:
                _, state = load_checkpoint(folder)
            except DamagedCheckpoint as error:
                assert path.name in str(error)
            else:  # a space of the JSON text may become another one
                assert path.name == "state.json" and state["iteration"] == 4
                assert json.loads(damaged) == json.loads(whole)
        path.write_bytes(whole)
    load_checkpoint(folder)


@pytest.mark.parametrize("change", [{"iteration": 5}, {"best": {"iteration": 4, "accuracy": 1.0}}, {"sha256": {}}])
def test_a_changed_state_is_told(tmp_path, change):
    folder = save(tmp_path, 4)
    text = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**text, **change}))
    with pytest.raises(DamagedCheckpoint, match=r"00000004/state\.json is damaged"):
        load_checkpoint(folder)


def test_a_state_without_checksum_is_taken_only_as_it_was_written_before_there_was_one(tmp_path):
    folder = save(tmp_path, 4)
    state = read_json(folder / "state.json")
    write_json(folder / "state.json", state)
    assert load_checkpoint(folder)[1] == state
    write_json(folder / "state.json", {**state, "chdcksum": "0"})
    with pytest.raises(DamagedCheckpoint, match="not what a training writes"):
        load_checkpoint(folder)


def test_the_last_good_one_is_found_and_the_damaged_are_set_aside(tmp_path):
    for iteration in (2, 4, 6, 8):
        save(tmp_path, iteration)
    (tmp_path / "checkpoints" / "00000008" / "state.json").unlink()
    with open(tmp_path / "checkpoints" / "00000006" / "head-00000000.params", "r+b") as file:
        file.truncate(40)
    folder, arrays, state, damaged = load_last(tmp_path)
    assert (
        folder.name == "00000004"
        and state["iteration"] == 4
        and set(arrays)
        == {
            "backbone.params",
            "head-00000000.params",
        }
    )
    assert "00000008/state.json" in damaged[0] and "00000006/head-00000000.params is damaged" in damaged[1]
    # They neither count among the last ones nor are taken by whoever looks for the last.
    assert names(tmp_path) == ["00000002", "00000004"]
    save(tmp_path, 5, keep=1)
    assert names(tmp_path) == ["00000005"] and (tmp_path / "checkpoints" / "00000006.damaged").is_dir()


def test_no_whole_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        load_last(tmp_path)
    (save(tmp_path, 2) / "backbone.params").unlink()
    with pytest.raises(UserError, match=r"no whole checkpoint.*00000002/backbone\.params is missing"):
        load_last(tmp_path)
    assert names(tmp_path) == ["00000002"]  # where it was, for whoever can mend it


def test_a_validation_adds_its_result_and_touches_nothing_else(tmp_path):
    folder = save(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    best = {"iteration": 2, "accuracy": 0.9}
    record_validation(folder, {"verification": {"lfw": {"accuracy": 0.9}}, "validated": 2, "best": best})
    state = load_checkpoint(folder)[1]
    assert state["best"] == best and state["validated"] == 2 and state["iteration"] == 2
    assert read_json(folder.parent / "best.json") == {"iteration": 2}
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"state.json"}


def test_a_failure_while_writing_leaves_the_earlier_ones_and_nothing_half(tmp_path, monkeypatch):
    save(tmp_path, 2)

    def full(path, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_params", full)
    with pytest.raises(UserError, match=r"cannot write .*/00000004: No space left on device; free some space"):
        save(tmp_path, 4)
    assert os.listdir(tmp_path / "checkpoints") == ["00000002"]


def test_a_short_write_that_nobody_reports_is_noticed(tmp_path, monkeypatch):
    def short(descriptor):
        os.truncate(descriptor, max(0, os.fstat(descriptor).st_size - 1))

    monkeypatch.setattr("arcface_gluon.files.os.fsync", short)
    with pytest.raises(UserError, match="cannot write .*00000002: only"):
        save(tmp_path, 2)
    assert names(tmp_path) == []


def test_a_kill_between_two_renames_leaves_the_new_or_the_old(tmp_path, monkeypatch):
    """The same iteration again, after a resume from an earlier one: at no moment is a half checkpoint there."""
    save(tmp_path, 2)
    seen = []

    def watched(function):
        def call(*arguments, **options):
            seen.append([name for name in names(tmp_path) if not load_checkpoint(tmp_path / "checkpoints" / name)])
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(checkpoint.os, "replace", watched(os.replace))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", watched(shutil.rmtree))
    save(tmp_path, 2)
    assert len(seen) >= 3 and not any(seen)
    assert names(tmp_path) == ["00000002"] and os.listdir(tmp_path / "checkpoints") == ["00000002"]


def parts(rank):
    """What one of two ranks writes."""
    head = {f"head-{rank * 3:08d}.params": {"weight": mx.nd.array(VALUES + rank), "momentum": mx.nd.array(VALUES)}}
    return {**head, **({"backbone.params": {"w": mx.nd.array(VALUES)}} if rank == 0 else {})}


def save_in_ranks(run, iteration, refuse=None):
    state = {"iteration": iteration, "seconds": 1.5, "num_classes": 6, "devices": 2, "first_loss": None, "head": {}}
    documents = {"state.json": {**state, "verification": {}, "validated": 0, "best": None}}

    def work(processes):
        if processes.rank == refuse:
            return save_checkpoint(run, iteration, {"head-" + "x" * 300: {}}, documents, 9, None, processes)
        return save_checkpoint(run, iteration, parts(processes.rank), documents, 9, None, processes)

    return in_ranks(2, work)


def test_each_process_verifies_its_part_and_all_hear_of_damage(tmp_path, monkeypatch):
    first, second = (save_in_ranks(tmp_path, iteration)[0] for iteration in (2, 4))
    read = []
    monkeypatch.setattr(checkpoint, "sha256", lambda path: read.append(path.name) or sha256(path))
    loaded = in_ranks(2, lambda processes: load_checkpoint(second, processes))
    assert sorted(read) == ["backbone.params", "head-00000000.params", "head-00000003.params"]  # each file once
    for arrays, state in loaded:
        assert state["iteration"] == 4 and (arrays["head-00000003.params"]["weight"] == VALUES + 1).all()
        rows = arrays["head-00000003.params"]["weight"]
        assert not rows.flags.writeable and not rows.flags.owndata  # they lie in the file
    with open(second / "head-00000003.params", "r+b") as file:
        file.seek(100)
        file.write(b"x")
    found = in_ranks(2, lambda processes: load_last(tmp_path, processes))
    assert [result[0] for result in found] == [first, first]
    assert all("head-00000003.params is damaged" in result[3][0] for result in found)


def test_a_process_that_cannot_write_is_named_by_all_and_nothing_half_is_left(tmp_path):
    save_in_ranks(tmp_path, 2)
    found = save_in_ranks(tmp_path, 4, refuse=1)
    assert all("process 1 on host1: cannot write" in str(error) for error in found), found
    assert os.listdir(tmp_path / "checkpoints") == ["00000002"]


def test_copies_that_differ_are_refused(tmp_path):
    folder = save_in_ranks(tmp_path / "shared", 2)[0]
    shutil.copytree(tmp_path / "shared", tmp_path / "copy")
    state = read_json(tmp_path / "copy" / "checkpoints" / folder.name / "state.json")
    write_json(tmp_path / "copy" / "checkpoints" / folder.name / "state.json", {**state, "seconds": 2.5}, sealed=True)
    found = in_ranks(2, lambda processes: load_last(tmp_path / ("shared", "copy")[processes.rank], processes))
    assert all("process 1 on host1 has another content" in str(error) for error in found), found
    save_in_ranks(tmp_path / "shared", 4)
    found = in_ranks(2, lambda processes: load_last(tmp_path / ("shared", "copy")[processes.rank], processes))
    assert all("another list of checkpoints" in str(error) for error in found), found
