"""The batch script for SLURM with stand-ins for its commands and the program; the manifest for Kubernetes."""

import os
import signal
import subprocess
import time

import pytest
from helpers import ROOT

PROGRAM = """#!/bin/sh
echo "$@" > called
trap 'exit 75' USR1
trap 'exit 143' TERM
touch ready
while :; do sleep 0.05; done
"""
SCONTROL = """#!/bin/sh
case $1 in show) echo a; echo b;; requeue) echo $2 > requeued;; esac
"""


@pytest.mark.parametrize("number, status, requeued", [(signal.SIGUSR1, 75, True), (signal.SIGTERM, 143, False)])
def test_the_batch_script_passes_signals_on_and_queues_again(tmp_path, number, status, requeued):
    for name, text in (("program", PROGRAM), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "a,b", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "17"}
    environment = {**os.environ, **job, "ARCFACE_GLUON": "./program", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if requeued:
        environment["SLURM_RESTART_COUNT"] = "1"
    words = [ROOT / "scripts" / "slurm.sh", "ms1mv2_r100", "data.path=/a b"]
    process = subprocess.Popen(words, cwd=tmp_path, env=environment)
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(30) == status
    resume = "--auto-resume " if requeued else ""
    called = f"train ms1mv2_r100 data.path=/a b {resume}--np 8 --hosts a:4,b:4 --grace 840\n"
    assert (tmp_path / "called").read_text() == called
    assert (tmp_path / "requeued").exists() == requeued


def test_the_manifest_starts_as_many_processes_as_it_has_places():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((ROOT / "scripts" / "mpijob.yaml").read_text())["spec"]
    hosts = job["mpiReplicaSpecs"]["Worker"]["replicas"] + 1  # the launcher is one
    (launcher,) = job["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"]
    assert f"--np {hosts * job['slotsPerWorker']} " in launcher["args"][0] and job["runLauncherAsWorker"]


# Fields of MPIJob v2beta1, and what they may be; the operator puts restartPolicy into the pods itself.
FIELDS = {
    "slotsPerWorker": int,
    "runLauncherAsWorker": bool,
    "launcherCreationPolicy": ("AtStartup", "WaitForWorkersReady"),
    "sshAuthMountPath": str,
    "mpiImplementation": ("OpenMPI", "Intel", "MPICH"),
    "runPolicy": dict,
    "mpiReplicaSpecs": dict,
}
POLICY = {
    "cleanPodPolicy": ("None", "Running", "All"),
    "ttlSecondsAfterFinished": int,
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "schedulingPolicy": dict,
    "suspend": bool,
}
REPLICA = {"replicas": int, "restartPolicy": ("Never", "OnFailure"), "template": dict}


def test_the_manifest_has_the_fields_of_the_operator_only():
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((ROOT / "scripts" / "mpijob.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    job = document["spec"]
    replicas = job["mpiReplicaSpecs"]
    assert set(replicas) == {"Launcher", "Worker"} and replicas["Launcher"]["replicas"] == 1
    for given, known in ((job, FIELDS), (job["runPolicy"], POLICY), *((one, REPLICA) for one in replicas.values())):
        for name, value in given.items():
            assert value in known[name] if isinstance(known[name], tuple) else type(value) is known[name], name
    for one in replicas.values():
        pod = one["template"]["spec"]
        assert "restartPolicy" not in pod
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes
