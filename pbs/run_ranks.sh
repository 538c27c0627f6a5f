# shellcheck shell=bash
# Sourced by the templates of this folder: run a command on the ranks of the job, and submit the
# template again when the job was stopped.
: "${PBS_JOBID:?is set by PBS: submit the template with qsub}"
: "${template:?the path of the template, which sets it: it is submitted again}"
: "${stop_after:?how long the ranks run; the template sets it, e.g. stop_after=230m}"
# shellcheck source=launch/run_ranks.sh
. launch/run_ranks.sh

# shellcheck disable=SC2034 # used by launch/run_ranks.sh
job_name=${PBS_JOBNAME:-job} job_id=${PBS_JOBID%%.*}

# In the background, where it becomes the launcher, which knows the nodes of the job and nothing of
# its GPUs.
start_ranks() {
    exec "${launcher[@]}" env "${notes[@]}" launch/run_rank.sh "$status_file" launch/bind_rank.sh "$@"
}

# As a new job: qrerun, which would keep the number, is for operators. Not after qdel.
submit_again() {
    local number
    if [ -s "$stall_file" ]; then say "a rank hung on $(cat "$stall_file"); if it does so again, ask for other nodes"; fi
    rm -f "$stall_file"
    if ! is_running; then
        say "PBS is ending this job, so it is not submitted again: qsub $template continues from the last" \
            "written round"
    elif number=$(qsub -W depend=afterany:"$PBS_JOBID" "$template"); then
        say "submitted again as $number, to continue from the last written round"
    else
        say "qsub failed here: submit $template where it works, and the run continues from the last" \
            "written round" >&2
    fi
}

explain_killed() {
    say "the ranks were killed after the signal: lower stop_after, or raise walltime. qsub $template" \
        "continues from the last written round." >&2
}

is_running() { qstat -f "$PBS_JOBID" | grep -q 'job_state = R'; }
