"""One run folder, one writer."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from ranks import in_ranks

from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json, write_json
from arcface_gluon.parallel.processes import Processes
from arcface_gluon.training import run_folder as module
from arcface_gluon.training.run_folder import AUTO, LOCK, MUST, owned_run

ALONE = Processes()


def test_new_runs_get_folders_of_their_own_and_a_resumed_one_the_last(tmp_path):
    with owned_run(tmp_path, "a", None, ALONE) as first, owned_run(tmp_path, "a", None, ALONE) as second:
        assert (first.name, second.name) == ("a", "a-2")
        for folder in (first, second):
            (folder / "recipe.json").write_text("{}")
            assert (folder / LOCK).is_file()
    assert sorted(os.listdir(tmp_path)) == ["a", "a-2"] and os.listdir(first) == ["recipe.json"]
    with owned_run(tmp_path, "a", MUST, ALONE) as resumed:
        assert resumed == second
    with pytest.raises(UserError, match="no run .*b to resume"), owned_run(tmp_path, "b", MUST, ALONE):
        pass


def test_where_there_is_no_run_to_go_on_with_one_is_made_once(tmp_path):
    for _ in range(3):  # killed before a checkpoint
        with owned_run(tmp_path, "a", AUTO, ALONE) as folder:
            (folder / "recipe.json").write_text("{}")
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_in_which_nothing_was_written_is_removed(tmp_path):
    with pytest.raises(KeyError), owned_run(tmp_path, "a", None, ALONE):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_second_training_is_refused_and_told_who_has_it(tmp_path):
    with owned_run(tmp_path, "a", None, ALONE) as folder:
        words = f"another training is writing to {folder}: process {os.getpid()} on {re.escape(socket.gethostname())}"
        with pytest.raises(UserError, match=words), owned_run(tmp_path, "a", MUST, ALONE):
            pass
        assert (folder / LOCK).is_file()  # the refused one did not take it away


def killed(folder, reap):
    """A training that was killed; without `reap`, its parent has not noticed yet."""
    text = "import sys, time\nfrom pathlib import Path\nfrom arcface_gluon.parallel.processes import Processes\n"
    text += "from arcface_gluon.training.run_folder import owned_run\n"
    text += "with owned_run(Path(sys.argv[1]), 'a', None, Processes()):\n    print(flush=True)\n    time.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", text, folder], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    if reap:
        process.wait()
    else:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


@pytest.mark.parametrize("reap", [True, False])
def test_the_lock_of_a_killed_training_is_taken_over_and_its_leftovers_removed(tmp_path, reap):
    process = killed(tmp_path, reap)
    folder = tmp_path / "a"
    (folder / "checkpoints" / ".00000002.partial").mkdir(parents=True)
    (folder / "checkpoints" / "00000001").mkdir()
    for name in (".report.html.tmp", "checkpoints/00000001/.state.json.tmp"):
        (folder / name).write_text("half")
    with owned_run(tmp_path, "a", MUST, ALONE):
        assert read_json(folder / LOCK)["pid"] == os.getpid()
        assert sorted(os.listdir(folder)) == ["checkpoints", LOCK]
        assert os.listdir(folder / "checkpoints") == ["00000001"] and not os.listdir(folder / "checkpoints/00000001")
    process.communicate()


def owner(**changes):
    own = {"host": socket.gethostname(), "boot": module._boot(), **module._process(os.getpid()), "since": "yesterday"}
    return {**own, **changes}


@pytest.mark.parametrize("stale", [{"boot": "of last week"}, {"start": 1}])
def test_locks_of_another_boot_and_of_a_number_given_again_are_stale(tmp_path, stale):
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / LOCK, owner(**stale))
    with owned_run(tmp_path, "a", MUST, ALONE):
        pass


def test_a_lock_of_another_machine_stands_until_somebody_deletes_it(tmp_path):
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / LOCK, owner(host="elsewhere", pid=4))
    with pytest.raises(UserError, match=f"process 4 on elsewhere, since yesterday.*delete .*a/{LOCK}"):
        owned_run(tmp_path, "a", MUST, ALONE).__enter__()
    (tmp_path / "a" / LOCK).write_text("{")
    with pytest.raises(UserError, match=f"{LOCK} cannot be read; delete it"):
        owned_run(tmp_path, "a", MUST, ALONE).__enter__()


def _race(folder, name, start, results):
    start.wait()
    try:
        with owned_run(folder, name, MUST, ALONE):
            results.put("in")
            start.wait()
    except UserError:
        results.put("refused")
        start.wait()


def test_of_many_that_resume_at_once_one_gets_the_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    for round_ in range(5):
        (tmp_path / f"r{round_}").mkdir()
        write_json(tmp_path / f"r{round_}" / LOCK, owner(start=1))
        start, results = context.Barrier(4), context.Queue()
        racers = [context.Process(target=_race, args=(tmp_path, f"r{round_}", start, results)) for _ in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(30)
        assert sorted(results.get() for _ in racers) == ["in", "refused", "refused", "refused"]


def test_other_processes_take_what_the_first_one_found_and_lock_nothing(tmp_path):
    (tmp_path / "a").mkdir()

    def work(processes):
        with owned_run(tmp_path, "a", None, processes) as folder:
            assert (folder / LOCK).is_file()
            processes.barrier()
            return folder

    assert in_ranks(3, work) == [tmp_path / "a-2"] * 3


def test_all_processes_say_why_the_first_one_has_no_folder(tmp_path):
    found = in_ranks(2, lambda processes: owned_run(tmp_path, "a", MUST, processes).__enter__())
    assert [str(error) for error in found] == [str(found[0])] * 2
    assert "process 0 on host0: no run" in str(found[0])


def test_a_folder_that_a_host_has_for_itself_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_NEWS", 0.1)

    def work(processes):
        root = tmp_path / ("own" if processes.rank == 1 else "shared")
        (root / "a").mkdir(parents=True, exist_ok=True)  # a copy made earlier
        with owned_run(root, "a", MUST, processes):
            raise AssertionError("it went on")

    found = in_ranks(3, work)
    assert all("process 1 on host1 cannot see in" in str(error) for error in found), found
    assert "file system that all hosts share" in str(found[0]) and not (tmp_path / "shared" / "a" / LOCK).exists()
