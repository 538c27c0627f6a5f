# shellcheck shell=bash
# Sourced by the templates of this folder: run a command on the ranks of the job, and end with status
# 75, on which LSF requeues it (#BSUB -Q), when it was stopped in time.
: "${LSB_JOBID:?is set by LSF: submit the template with bsub}"
: "${stop_after:?how long the ranks run; the template sets it, e.g. stop_after=230m}"
# shellcheck source=launch/run_ranks.sh
. launch/run_ranks.sh

# shellcheck disable=SC2034 # used by launch/run_ranks.sh
job_name=${LSB_JOBNAME:-job} job_id=$LSB_JOBID
# LSF keeps no output of a run that it requeues.
exec >> "$job_name-$job_id.log" 2>&1

# In the background, where it becomes the launcher, which knows the nodes of the job and nothing of
# its GPUs.
start_ranks() {
    exec "${launcher[@]}" env "${notes[@]}" launch/run_rank.sh "$status_file" launch/bind_rank.sh "$@"
}

# Not after bkill, which signals the ranks as well.
submit_again() {
    if [ -s "$stall_file" ]; then say "a rank hung on $(cat "$stall_file"); if it does so again, ask for other hosts"; fi
    if [ -n "$asked" ] || [ -e "$stall_file" ]; then
        say "stopped; LSF requeues this job, which continues from the last written round"
    else
        say "LSF is ending this job, so it is not requeued; the same bsub continues from the last written round"
        status=143 # a status that #BSUB -Q does not name
    fi
    rm -f "$stall_file"
}

explain_killed() {
    say "the ranks were killed after the signal: lower stop_after, or raise the limit of -W. The same" \
        "bsub continues from the last written round." >&2
}

is_running() { false; } # nothing but LSF's own end of a job sends SIGTERM
