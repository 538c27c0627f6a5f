#!/usr/bin/env bash
# Run one rank, so that the launcher does not take an orderly exit for a crash.
#
#   srun --kill-on-bad-exit=1 launch/run_rank.sh STATUS_FILE COMMAND [ARGUMENT ...]
#   the same with mpirun and mpiexec
#
# --kill-on-bad-exit is there for a rank that died while the others wait for it. But srun then
# also ends the ranks still on their way out when the first has left with 75 (stopped by a
# signal) or 2 (bad input), and returns 143 in place of those: a difference of 0.05 s was enough.
# mpirun does so too. So such a rank leaves with 0, and rank 0 keeps the status in STATUS_FILE.
set -u
# shellcheck source=launch/image.sh
. "$(dirname "${BASH_SOURCE[0]}")/image.sh"

status_file=$1
shift
trap : USR1 TERM INT # they reach the command as well, and its status is awaited
# landscape_mpi/cluster/launcher.py has the same variables. SLURM_PROCID comes last: in a job of SLURM, all
# ranks of mpirun have the 0 of the batch script in it.
for name in OMPI_COMM_WORLD_RANK PMIX_RANK PMI_RANK PALS_RANKID JSM_NAMESPACE_RANK FLUX_TASK_RANK \
    MV2_COMM_WORLD_RANK MVP_COMM_WORLD_RANK SLURM_PROCID; do
    rank=${!name:-}
    if [ -n "$rank" ]; then break; fi
done
: "${rank:?no launcher has numbered this rank: start this script with srun, mpirun, mpiexec, jsrun or flux run}"
if [ "$rank" = 0 ] && [ -n "${LANDSCAPE_STARTED_FILE:-}" ]; then touch "$LANDSCAPE_STARTED_FILE"; fi
if [ -n "${LANDSCAPE_IMAGE:-}" ]; then enter_image; fi
"$@" 8>&- 9>&-
status=$?
if [ -n "${LANDSCAPE_IMAGE:-}" ]; then leave_image; fi
if [ "$rank" = 0 ]; then echo $status > "$status_file"; fi
# After a rank that hangs there is no order: the others wait for it.
if [ $status = 75 ] && [ -e "${LANDSCAPE_STALL_FILE:-}" ]; then exit 75; fi
case $status in
    2 | 75) exit 0 ;;
    *) exit $status ;;
esac
