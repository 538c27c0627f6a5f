# shellcheck shell=bash
# Sourced by the templates of this folder: run a command on the tasks of the job, and requeue the
# job when a signal stopped it.
set -u
: "${SLURM_JOB_ID:?is set by SLURM: submit the template with sbatch}"
: "${launcher[0]:?the command that starts the ranks; the template sets it, e.g. launcher=(srun --mpi=pmix)}"

# The tasks of an array share a number, and are told apart by their own.
readonly JOB=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}
readonly STOPPED=75 # the command's status after a stop signal; the same command continues

# Run the command as one rank per task, by the words of the array launcher, and end the job with
# the status of the ranks.
run_ranks() {
    local status
    status_file=$(mktemp)
    started_file=$PWD/.$SLURM_JOB_NAME-$SLURM_JOB_ID.started
    listening_file=$status_file.listening # here, where rank 0 runs
    # Here, not in a node's own folder: a rank on any node writes it.
    stall_file=$PWD/.$SLURM_JOB_NAME-$SLURM_JOB_ID.stalled
    rm -f "$stall_file"
    launcher_pid='' asked='' passed_on='' listened=''
    trap 'ask_to_stop' USR1
    # SLURM ends a job with a SIGTERM to the ranks as well, and a second one would cost them the
    # points in hand.
    trap 'if is_running; then ask_to_stop; else signalled=yes; fi' TERM
    run_step "$@"
    if [ ! -e "$started_file" ] && [ -z "$asked" ]; then
        say "the launcher ended before rank 0 was started. A step of this job that was killed can" \
            "leave a socket of its number behind, on which the next one fails: once more, as a new step"
        run_step "$@"
    fi
    status=$(status_of_ranks)
    if [ -e "$listening_file" ]; then listened=yes; fi
    rm -f "$status_file" "$listening_file" "$started_file"
    if [ -e "$stall_file" ]; then status=$STOPPED; fi
    if [ "$status" = $STOPPED ]; then requeue; fi
    if [ -n "$asked" ] && [ "$status" -gt 128 ]; then explain_killed; fi
    exit "$status"
}

# Sets launcher_status.
run_step() {
    rm -f "$started_file"
    start_ranks "$@" &
    launcher_pid=$!
    end_stalled_launcher "$launcher_pid" &
    local watcher=$!
    if [ -n "$asked" ]; then ask_to_stop; fi
    wait_for_ranks
    kill "$watcher" 2> /dev/null || true
}

# Once a rank has hung, the ranks end within 10 s, and the launcher with them. But after a lost link,
# Open MPI's mpirun waits for ever for ranks that it no longer reaches.
end_stalled_launcher() {
    trap - USR1 TERM
    until [ -e "$stall_file" ]; do sleep 2; done
    sleep 20
    say "a rank hung, and the launcher still waits for others 20 s later: ending it"
    kill -TERM "$1"
    sleep 10
    kill -KILL "$1"
}

# In the background, where it becomes the launcher. srun binds the ranks to cores as the job asks;
# mpirun knows the nodes of the job and nothing of its GPUs.
start_ranks() {
    local notes=(LANDSCAPE_STALL_FILE="$stall_file" LANDSCAPE_LISTENING_FILE="$listening_file"
        LANDSCAPE_STARTED_FILE="$started_file")
    if [ "${launcher[0]}" = srun ]; then
        # Since SLURM 22.05, srun does not take --cpus-per-task over from sbatch.
        exec "${launcher[@]}" --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
            env "${notes[@]}" slurm/run_rank.sh "$status_file" "$@"
    else
        exec "${launcher[@]}" -n "$SLURM_NTASKS" env "${notes[@]}" \
            slurm/run_rank.sh "$status_file" launch/bind_rank.sh "$@"
    fi
}

# Once: a second signal would kill the ranks.
ask_to_stop() {
    signalled=yes asked=yes
    if [ -n "$launcher_pid" ] && [ -z "$passed_on" ]; then
        passed_on=yes
        pass_on &
    fi
}

# When the ranks listen, since a signal in their start would kill them. By SIGUSR1 whatever came:
# launchers hand that on, and answer SIGTERM by killing the ranks.
pass_on() {
    trap - USR1 TERM
    if [ ! -e "$listening_file" ]; then say "signalled: waiting until the ranks listen"; fi
    until [ -e "$listening_file" ]; do
        kill -0 "$launcher_pid" 2> /dev/null || return 0
        sleep 0.2
    done
    if kill -USR1 "$launcher_pid" 2> /dev/null; then say "signalled: asking the ranks to stop"; fi
}

# Sets launcher_status. A trapped signal ends the wait and not the launcher.
wait_for_ranks() {
    signalled=yes
    while [ -n "$signalled" ]; do
        signalled=
        launcher_status=0
        wait "$launcher_pid" || launcher_status=$?
    done
}

# The launcher's own status if a rank died, otherwise the one that run_rank.sh stored.
status_of_ranks() {
    if [ "$launcher_status" != 0 ]; then
        echo "$launcher_status"
    elif [ -s "$status_file" ]; then
        cat "$status_file"
    else
        say "rank 0 left no status in $status_file: it must run on the node of this shell." >&2
        echo 1
    fi
}

# Not after scancel, since scontrol would bring the cancelled job back, nor where SLURM itself has
# requeued it. At the time limit, ranks that end within SLURM's KillWait are in time.
requeue() {
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

say() { printf '%s %s: %s\n' "$(date +%FT%T)" "$SLURM_JOB_NAME" "$*"; }
