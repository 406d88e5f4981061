"""Starting MXNet: threads, NumPy names, devices."""

import os
import subprocess
import sys

import mxnet as mx
import numpy
import pytest

from arcface_gluon import runtime
from arcface_gluon.errors import UserError


def run(code, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**env, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_threads_are_the_physical_cores_unless_the_user_says():
    code = "import os, arcface_gluon; print(os.environ['OMP_NUM_THREADS'])"
    assert run(code) == str(runtime.physical_cores())
    assert run(code, OMP_NUM_THREADS="1") == "1"


def test_waiting_threads_sleep_soon_unless_the_user_says():
    code = "import os, arcface_gluon; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run(code) == "1000"
    assert run(code, GOMP_SPINCOUNT="7") == "7"
    assert run(code, OMP_WAIT_POLICY="active") == "None"


def test_package_does_not_import_mxnet_before_it_is_needed():
    assert run("import sys, arcface_gluon; print('mxnet' in sys.modules)") == "False"


def test_packages_are_there_without_an_import_of_their_own():
    code = "import arcface_gluon as ag; print(ag.data.read_bin.__name__, 'get_model' in dir(ag), hasattr(ag, 'other'))"
    assert run(code) == "read_bin True False"


def test_numpy_names_are_back():
    assert numpy.bool is bool or numpy.bool is numpy.bool_
    assert mx.nd.ones((2,)).asnumpy().sum() == 2


def test_numpy_2_is_refused(monkeypatch):
    monkeypatch.setattr(numpy, "__version__", "2.1.0")
    with pytest.raises(UserError, match="numpy<2"):
        runtime.restore_numpy_names()


@pytest.mark.parametrize(
    "spec, expected",
    [
        (None, [mx.cpu(0)]),
        (3, [mx.cpu(0), mx.cpu(1), mx.cpu(2)]),
        ("2", [mx.cpu(0), mx.cpu(1)]),
        ("cpu(0), cpu(2)", [mx.cpu(0), mx.cpu(2)]),
        (["cpu(1)", mx.cpu(0)], [mx.cpu(1), mx.cpu(0)]),
    ],
)
@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="counts mean GPUs where there are any")
def test_contexts(spec, expected):
    assert runtime.contexts(spec) == expected


@pytest.mark.parametrize(
    "spec, words",
    [
        (0, "at least one"),
        ("tpu(0)", "not a device"),
        ("cpu(0),cpu(0)", "twice"),
        ("gpu(99)", "not there"),
        ([], "no device"),
    ],
)
def test_contexts_that_are_refused(spec, words):
    with pytest.raises(UserError, match=words):
        runtime.contexts(spec)


@pytest.mark.parametrize("count, size", [(4, 4), (4, 2), (8, 3), (3, 1), (0, 2)])
def test_processes_of_a_host_share_its_gpus(count, size):
    shares = [runtime.own_share(list(range(count)), rank, size) for rank in range(size)]
    assert sum(shares, []) == (list(range(count)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(UserError, match="4 processes share this host's 2 GPU"):
        runtime.own_share([0, 1], 0, 4)


@pytest.mark.parametrize(
    "given, place",
    [
        ({"HOROVOD_LOCAL_RANK": "1", "HOROVOD_LOCAL_SIZE": "4", "SLURM_LOCALID": "0"}, (1, 4)),
        ({"HOROVOD_LOCAL_RANK": "4", "HOROVOD_LOCAL_SIZE": "4"}, (0, 1)),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "3"}, (2, 3)),
        ({"SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "2"}, (1, 2)),
        ({"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_TASKS_PER_NODE": "4(x2),3"}, (1, 4)),
        ({"SLURM_LOCALID": "2", "SLURM_NODEID": "2", "SLURM_TASKS_PER_NODE": "4(x2),3"}, (2, 3)),
        (
            {"SLURM_LOCALID": "1", "SLURM_NODEID": "0", "SLURM_TASKS_PER_NODE": "4", "SLURM_STEP_TASKS_PER_NODE": "2"},
            (1, 2),
        ),
        ({"SLURM_LOCALID": "1", "SLURM_NODEID": "3", "SLURM_TASKS_PER_NODE": "4(x2),3"}, (0, 1)),
        ({"SLURM_LOCALID": "1"}, (0, 1)),
    ],
)
def test_the_place_on_the_host_is_what_the_launcher_tells(monkeypatch, given, place):
    for name in [name for name in os.environ if name.startswith(("HOROVOD_", "OMPI_", "SLURM_"))]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert runtime.local_place() == (0, 1)  # alone, whatever else runs
    monkeypatch.setenv("HOROVOD_RANK", "9")
    assert runtime.local_place() == place


@pytest.mark.parametrize("launcher", range(len(runtime._LOCAL)))
def test_a_process_takes_its_share_of_simulated_gpus(monkeypatch, launcher):
    for names in runtime._LOCAL:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 4)
    assert runtime.contexts() == [mx.gpu(i) for i in range(4)]
    for name, value in zip(("HOROVOD_RANK", *runtime._LOCAL[launcher]), "312"):
        monkeypatch.setenv(name, value)
    assert runtime.contexts() == [mx.gpu(2), mx.gpu(3)]
    assert runtime.contexts(1) == [mx.gpu(2)]
    assert runtime.contexts("gpu(0)") == [mx.gpu(0)]
    with pytest.raises(UserError, match="3 devices were asked for, but this process has 2"):
        runtime.contexts(3)


def test_every_cuda_library_comes_after_those_it_needs():
    order = [pattern.split("/")[0] for pattern in runtime.CUDA_LIBRARIES]
    # From the libraries' own NEEDED entries.
    needs = {"cublas": ["cuda_runtime"], "cusolver": ["cublas", "cusparse"], "cudnn": ["cublas", "cuda_nvrtc"]}
    for library, needed in needs.items():
        assert all(order.index(other) < order.index(library) for other in needed)


def test_missing_cuda_packages_are_named(monkeypatch):
    monkeypatch.setattr(runtime, "is_gpu_build", lambda: True)
    monkeypatch.setattr(runtime, "cuda_library_folders", list)
    assert "cudnn/lib/libcudnn.so.8" in runtime.load_cuda_libraries()


def test_processes_on_one_host_share_its_cores(monkeypatch):
    kept = []
    monkeypatch.setattr(runtime, "_cores", lambda: {(0, core): [core, core + 6] for core in range(6)})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: kept.append(sorted(cpus)))
    monkeypatch.setenv("HOROVOD_RANK", "5")
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "4")
    for rank in range(4):
        monkeypatch.delenv("ARCFACE_GLUON_PINNED", raising=False)
        monkeypatch.setenv("HOROVOD_LOCAL_RANK", str(rank))
        runtime.take_own_cores()
        runtime.take_own_cores()  # of the share, a share would be taken
    assert kept == [[0, 6], [1, 2, 7, 8], [3, 9], [4, 5, 10, 11]]
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "7")  # more than there are cores: none for itself
    monkeypatch.delenv("ARCFACE_GLUON_PINNED")
    runtime.take_own_cores()
    assert len(kept) == 4


def test_threads_that_a_launcher_chose_are_chosen_anew_and_a_users_are_kept(monkeypatch):
    monkeypatch.setattr(runtime, "physical_cores", lambda: 3)
    monkeypatch.setattr(runtime, "take_own_cores", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("ARCFACE_GLUON_THREADS", "8")
    runtime.prepare()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    runtime.prepare()
    assert os.environ["OMP_NUM_THREADS"] == "5"
