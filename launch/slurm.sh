#!/usr/bin/env bash
# One experiment on several nodes of a SLURM cluster, or a sweep as an array.
# From the repository, whose .venv and whose --workdir every node sees:
#
#   sbatch --nodes=4 launch/slurm.sh --config=configs/NAME.py --workdir=DIR
#   sbatch --nodes=1 --array=0-5 launch/slurm.sh --config=configs/NAME.py \
#     --workdir=DIR --grid unlearn.seed=0,1,2 --grid unlearn.epochs=3,5
#
#SBATCH --job-name=jaxunlearn
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
# Two minutes before the time is up: what is unfinished is saved.
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?this script is for sbatch; on one machine, launch/local.sh}"

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  run=(launch/sweep.py --number="$SLURM_ARRAY_TASK_ID")
else
  run=(-m jaxunlearn.launch --config.hosts.coordinator=auto)
fi
code=0
srun --kill-on-bad-exit=1 .venv/bin/python "${run[@]}" "$@" || code=$?
if ((code == 75)); then
  echo "jaxunlearn: stopped in time; the job is queued again and goes on." >&2
  scontrol requeue "$SLURM_JOB_ID"
elif ((code != 0 && code != 2)); then
  echo "jaxunlearn: a process of this run has died (exit code $code): sbatch" \
    "the same again, and it goes on from the last checkpoint." >&2
fi
exit "$code"
