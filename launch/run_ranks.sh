# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by run_ranks.sh of slurm/, pbs/ and lsf/: run a command on the ranks of a job, ask it to stop
# in time, and submit the job again when it was stopped.
#
# The queue's file defines
#   job_name, job_id    of this job; job_id is part of file names
#   start_ranks         becomes the launcher, which runs launch/run_rank.sh "$status_file" "$@"; "${notes[@]}"
#                       are settings that every rank needs in its environment
#   submit_again        makes the queue run the job once more; a hung rank's node is in $stall_file
#   explain_killed      says why ranks were killed that were asked to stop
#   is_running          false when the queue itself is ending the job
# and the template sets launcher, and stop_after where the queue gives no signal before its limit.
set -u
: "${launcher[0]:?the command that starts the ranks; the template sets it, e.g. launcher=(mpirun)}"

readonly STOPPED=75 # the command's status after a stop signal; the same command continues

# Run the command as one rank per task, by the words of the array launcher, and end the job with
# the status of the ranks.
run_ranks() {
    local status
    status_file=$(mktemp)
    started_file=$PWD/.$job_name-$job_id.started
    listening_file=$status_file.listening # here, where rank 0 runs
    # Here, not in a node's own folder: a rank on any node writes it.
    stall_file=$PWD/.$job_name-$job_id.stalled
    notes=(LANDSCAPE_STALL_FILE="$stall_file" LANDSCAPE_LISTENING_FILE="$listening_file"
        LANDSCAPE_STARTED_FILE="$started_file")
    rm -f "$stall_file"
    launcher_pid='' asked='' terminated='' passed_on='' listened=''
    # The traps only set a variable. bash 5.2 runs them inside the read of wait_for_ranks. When the time
    # of that read is over, bash breaks off a command that a trap has started.
    trap 'asked=yes' USR1
    trap 'terminated=yes' TERM
    if [ -n "${stop_after:-}" ]; then
        stop_in_time $$ &
        timer=$!
    fi
    run_step "$@"
    if [ ! -e "$started_file" ] && [ -z "$asked" ]; then
        say "the launcher ended before rank 0 was started. A step of this job that was killed can" \
            "leave a socket of its number behind, on which the next one fails: once more, as a new step"
        run_step "$@"
    fi
    if [ -n "${timer:-}" ]; then kill "$timer" 2> /dev/null || true; fi
    status=$(status_of_ranks)
    if [ -e "$listening_file" ]; then listened=yes; fi
    rm -f "$status_file" "$listening_file" "$started_file"
    if [ -e "$stall_file" ]; then status=$STOPPED; fi
    if [ "$status" = $STOPPED ]; then submit_again; fi
    if [ -n "$asked" ] && [ "$status" -gt 128 ]; then explain_killed; fi
    exit "$status"
}

# Its sleep ends with it, and holds no pipe on which someone waits.
stop_in_time() {
    trap - USR1
    trap 'kill $(jobs -p) 2> /dev/null; exit' TERM
    sleep "$stop_after" > /dev/null 2>&1 &
    wait $! && kill -USR1 "$1"
}

# Sets launcher_status.
run_step() {
    rm -f "$started_file"
    start_ranks "$@" &
    launcher_pid=$!
    end_stalled_launcher "$launcher_pid" &
    local watcher=$!
    wait_for_ranks
    kill "$watcher" 2> /dev/null || true
}

# Once a rank has hung, the ranks end within 10 s, and the launcher with them. But after a lost link,
# Open MPI's mpirun waits for ever for ranks that it no longer reaches.
end_stalled_launcher() {
    trap - USR1 TERM
    until [ -e "$stall_file" ]; do sleep 2 > /dev/null 2>&1; done
    sleep 20
    say "a rank hung, and the launcher still waits for others 20 s later: ending it"
    kill -TERM "$1"
    sleep 10
    kill -KILL "$1"
}

# A queue that ends a job sends SIGTERM to the ranks as well. A second signal would make them lose the
# points in hand, so a SIGTERM counts only if the queue is not ending the job. The queue can take long
# to answer, and more signals can come until then.
note_signals() {
    local was_terminated=$terminated
    terminated=''
    if [ -n "$was_terminated" ] && [ -z "$asked" ] && is_running; then asked=yes; fi
}

# Passes a signal on once the ranks listen, because a signal during their start would kill them. It is
# always SIGUSR1: launchers pass that on, but on SIGTERM they kill the ranks.
pass_on() {
    trap - USR1 TERM
    if [ ! -e "$listening_file" ]; then say "signalled: waiting until the ranks listen"; fi
    until [ -e "$listening_file" ]; do
        kill -0 "$launcher_pid" 2> /dev/null || return 0
        sleep 0.2
    done
    if kill -USR1 "$launcher_pid" 2> /dev/null; then say "signalled: asking the ranks to stop"; fi
}

# Sets launcher_status. wait alone is not enough: bash 5.2 waits for ever if the launcher ends while a
# trap runs. read waits without a process, because nothing comes to read, and a signal interrupts it.
wait_for_ranks() {
    local nothing
    exec {nothing}<> <(:)
    while kill -0 "$launcher_pid" 2> /dev/null; do
        note_signals
        if [ -n "$asked" ] && [ -z "$passed_on" ]; then # once: a second signal would kill the ranks
            passed_on=yes
            pass_on &
        fi
        read -r -t 0.5 -u "$nothing" || true
    done
    note_signals
    exec {nothing}>&-
    launcher_status=0
    wait "$launcher_pid" || launcher_status=$?
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

say() { printf '%s %s: %s\n' "$(date +%FT%T)" "$job_name" "$*"; }
