#!/usr/bin/env bash
# A sweep as an array job: each task trains one run of the grid, the last to end writes the table.
#
#   sbatch --partition=PARTITION --array=0-5 experiments/launch/slurm_sweep.sh \
#     digits_mlp --grid strength=0.2,0.5 --seeds 0,1,2 --workdir runs/sweep
#
# Presets on data sets that are not embedded also take --data-dir FOLDER, prepared as slurm.sh says.
#
# The numbers of --array: `python -m ssljax sweep … --dry-run` lists the runs, from 0. A task that
# is queued again resumes its run. `bash slurm_sweep.sh --dry-run …` prints what a task would do.
#SBATCH --job-name=ssljax-sweep
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

dry_run=0
if [ "${1:-}" = "--dry-run" ]; then
  dry_run=1
  shift
fi
if [ $# -lt 1 ]; then
  echo "slurm_sweep.sh: name a preset and a grid: see the first lines of this file" >&2
  exit 2
fi
index=${SLURM_ARRAY_TASK_ID:-0}
python=${PYTHON:-python}
command=(srun --unbuffered "$python" -m ssljax sweep "$@" --index "$index")
if [ "$dry_run" = 1 ]; then
  printf '%q ' "${command[@]}"
  printf '\n'
  exit 0
fi
code=0
"${command[@]}" || code=$?
case $code in
143 | 75) scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" ;;
esac
exit "$code"
