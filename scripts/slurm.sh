#!/bin/sh
# Trains on all nodes of a SLURM job, and goes on in a new one where the time limit ends it. Submit it in the repository:
#   sbatch scripts/slurm.sh ms1mv2_r100 data.path=/data/ms1mv2
#SBATCH --job-name=arcface
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@900
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
each=${SLURM_GPUS_ON_NODE:-1}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/\$/:$each/" | paste -s -d, -)
# In the queue again, it goes on, or begins where there is no checkpoint yet.
resume=
[ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || resume=--auto-resume

"${ARCFACE_GLUON:-.venv/bin/arcface-gluon}" train "$@" $resume --np $((each * SLURM_JOB_NUM_NODES)) --hosts "$hosts" --grace 840 &
training=$!
trap 'kill -USR1 $training' USR1
trap 'kill -TERM $training' TERM
# A trap ends `wait` before the training has.
while wait $training; status=$?; kill -0 $training 2>/dev/null; do :; done
if [ $status -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
