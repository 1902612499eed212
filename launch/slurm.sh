#!/usr/bin/env bash
# One experiment on several nodes of a SLURM cluster, or a sweep as an array.
# From the repository, whose .venv and whose --workdir every node sees. On nodes
# with GPUs a task for each: JAX gives every task one.
#
#   sbatch --nodes=4 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh \
#     --config=configs/NAME.py --workdir=DIR
#   sbatch --nodes=1 --array=0-5 launch/slurm.sh --config=configs/NAME.py \
#     --workdir=DIR --grid unlearn.seed=0,1,2 --grid unlearn.epochs=3,5
#
#SBATCH --job-name=jaxunlearn
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
# Ten minutes before the time is up it is told to save: between two steps on a
# CPU, and where images stay on disk; elsewhere between two calls of 32.
#SBATCH --signal=TERM@600
#SBATCH --requeue
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?this script is for sbatch; on one machine, launch/local.sh}"

run=(-m jaxunlearn.launch --config.hosts.coordinator=auto)
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  if ((${SLURM_NTASKS:-1} != 1)); then
    echo "jaxunlearn: each run of a sweep is one task: add --nodes=1" \
      "--ntasks-per-node=1 to sbatch." >&2
    exit 2
  fi
  run=(launch/sweep.py --number="$SLURM_ARRAY_TASK_ID")
fi
# The highest exit code of its tasks: 69 where another is gone, 75 where told to
# stop.
code=0
srun .venv/bin/python "${run[@]}" "$@" || code=$?
if ((code == 75)); then
  echo "jaxunlearn: stopped in time; the job is queued again and goes on." >&2
  scontrol requeue "$SLURM_JOB_ID"
elif ((code != 0 && code != 2)); then
  echo "jaxunlearn: a process of this run has died (exit code $code): sbatch" \
    "the same again, and it goes on from the last checkpoint." >&2
fi
exit "$code"
