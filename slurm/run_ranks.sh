# shellcheck shell=bash
# Sourced by the templates of this folder: run a command on the tasks of the job, and requeue the
# job when a signal stopped it.
: "${SLURM_JOB_ID:?is set by SLURM: submit the template with sbatch}"
# shellcheck source=launch/run_ranks.sh
. launch/run_ranks.sh

# shellcheck disable=SC2034 # used by launch/run_ranks.sh
job_name=$SLURM_JOB_NAME job_id=$SLURM_JOB_ID
# The tasks of an array share a number, and are told apart by their own.
readonly JOB=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}

# In the background, where it becomes the launcher. srun binds the ranks to cores as the job asks;
# mpirun knows the nodes of the job and nothing of its GPUs.
start_ranks() {
    if [ "${launcher[0]}" = srun ]; then
        # Since SLURM 22.05, srun does not take --cpus-per-task over from sbatch.
        exec "${launcher[@]}" --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
            env "${notes[@]}" launch/run_rank.sh "$status_file" "$@"
    else
        exec "${launcher[@]}" -n "$SLURM_NTASKS" env "${notes[@]}" \
            launch/run_rank.sh "$status_file" launch/bind_rank.sh "$@"
    fi
}

# Not after scancel, since scontrol would bring the cancelled job back, nor where SLURM itself has
# requeued it. At the time limit, ranks that end within SLURM's KillWait are in time.
submit_again() {
    if is_running || [ "$(job %r)" = TimeLimit ]; then
        say "requeued, to continue from the last written round"
        trap '' TERM # SLURM ends this shell now
        scontrol requeue "$JOB"
        if [ -e "$stall_file" ]; then exclude_stalled_node "$(cat "$stall_file")"; fi
    else
        say "SLURM is ending this job, so it is not requeued from here; if SLURM does not requeue it" \
            "itself (preemption), the same sbatch continues from the last written round"
    fi
}

# Excludes the node on which a rank hung from the next run; none is named if all ranks hung together.
# SLURM allows it for jobs that wait, as this one does once it is requeued.
exclude_stalled_node() {
    rm -f "$stall_file"
    if [ -z "$1" ]; then return; fi
    local excluded n_left
    excluded=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/.*ExcNodeList=//p')
    excluded=$1${excluded:+,$excluded}
    excluded=${excluded%,(null)}
    n_left=$(nodes_without "$excluded" | wc -l)
    if [ "$n_left" -lt "$SLURM_JOB_NUM_NODES" ]; then
        say "a rank hung on $1, which cannot be excluded: without $excluded, $SLURM_JOB_PARTITION has" \
            "$n_left of the $SLURM_JOB_NUM_NODES nodes of this job. If it hangs again, request fewer nodes"
    elif scontrol update JobId="$SLURM_JOB_ID" ExcNodeList="$excluded"; then
        say "a rank hung on $1: the next run excludes it"
    else
        say "a rank hung on $1, but SLURM does not let this job exclude it"
    fi
}

# Prints the nodes of this job's partition that are up, without some.
nodes_without() {
    sinfo --noheader --Node --partition="$SLURM_JOB_PARTITION" --states=alloc,comp,idle,mix,resv \
        --format=%N | sort -u | grep -vxFf <(scontrol show hostnames "$1")
}

# The job is not requeued: with a time limit shorter than the start of the ranks, it would never end.
explain_killed() {
    local why="it came before they listened"
    if [ -n "$listened" ]; then why="they did not stop for it"; fi
    say "the ranks were killed after the signal: $why. If it was the time limit's, raise --time or" \
        "lower the seconds of --signal. The same sbatch continues from the last written round." >&2
}

is_running() { [ "$(job %T)" = RUNNING ]; }

# One property of this job, as squeue --format names it.
job() { squeue --noheader --jobs="$JOB" --format="$1"; }
