#!/usr/bin/env bash
# Train one run on a Slurm cluster, one process for each GPU.
#
#   sbatch --partition=PARTITION experiments/launch/slurm.sh simclr_cifar10_200ep --data-dir /data/tfds
#
# The data come first: on a node with a network, once, into a folder that all nodes see,
#   python -c "import tensorflow_datasets as tfds; tfds.builder('cifar10', data_dir='/data/tfds',
#     file_format='array_record').download_and_prepare()"       (pip install 'ssljax-lab[prepare]')
# The partition is the only other thing to fill in; --nodes and --gpus-per-node on the command line win
# over the lines below. A run that is preempted or reaches its time limit saves, is queued again and
# resumes. `bash slurm.sh --dry-run PRESET …` prints what a job would execute.
#SBATCH --job-name=ssljax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

dry_run=0
if [ "${1:-}" = "--dry-run" ]; then
  dry_run=1
  shift
fi
if [ $# -lt 1 ]; then
  echo "slurm.sh: name a preset: sbatch --partition=PARTITION slurm.sh PRESET [options]" >&2
  exit 2
fi
preset=$1
shift
python=${PYTHON:-python}
workdir=${WORKDIR:-runs/$preset}
tasks=${SLURM_NTASKS:-1}
command=("$python" -m ssljax train "$preset" "$@" --workdir "$workdir")
if [ "$tasks" -gt 1 ]; then
  command+=(--distributed)
fi
# One that fails ends the others; SIGTERM reaches Python itself, which saves and exits with 143.
launcher=(srun --kill-on-bad-exit=1 --unbuffered)
if [ "$dry_run" = 1 ]; then
  printf '%q ' "${launcher[@]}" "${command[@]}"
  printf '\n'
  exit 0
fi
code=0
"${launcher[@]}" "${command[@]}" || code=$?
# 143: stopped after saving. 75: a host was lost or stuck. Both go on where they stopped.
case $code in
143 | 75) scontrol requeue "$SLURM_JOB_ID" ;;
esac
exit "$code"
