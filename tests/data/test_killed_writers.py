"""Writers of training sets that are stopped between any two steps."""

import contextlib
import os

import pytest
from helpers import tiny_jpeg

from arcface_gluon.data import FaceRecords, write_training_set
from arcface_gluon.errors import UserError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of writers that cannot clean up
def test_a_kill_leaves_no_mixture_of_two_sets(tmp_path, monkeypatch):
    """Whatever step a writer is stopped before: the old set, the new one, or none that can be read."""
    old = [(tiny_jpeg(0, i), i) for i in range(3)]
    new = [(tiny_jpeg(1, i), i) for i in range(5)]

    class Killed(BaseException):
        pass

    def counted(function):
        def call(*arguments):
            steps.append(function)
            if len(steps) > allowed:
                raise Killed
            return function(*arguments)

        return call

    seen, whole = set(), False
    for allowed in range(99):
        folder, steps = tmp_path / str(allowed), []
        write_training_set(folder, old, (8, 8), beside={"names.tsv": ["old"], "labels.tsv": ["old"]})
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "fsync"):
                patch.setattr(os, name, counted(getattr(os, name)))
            with contextlib.suppress(Killed):
                write_training_set(folder, new, (8, 8), beside={"names.tsv": ["new"]})
                whole = True
        try:
            records = FaceRecords(folder)
            found = [records.read(i) for i in range(len(records))]
            assert found in (old, new) and records.num_identities == len(found)
            texts = [path.read_text() for path in sorted(folder.glob("*.tsv"))]
            assert texts == (["old\n", "old\n"] if found == old else ["new\n"])
            seen.add(len(found))
        except UserError as error:
            assert "property not found" in str(error)
            seen.add(0)
        if whole:
            break
    assert whole and seen == {0, 3, 5}
