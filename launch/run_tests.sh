#!/usr/bin/env bash
# Run the tests; print at the end the closing line of each run, and the skipped tests.
#
#   launch/run_tests.sh serial       the tests that need one process
#   launch/run_tests.sh fake         the tests on fake GPUs, which tests/fake_cuda simulates for torch
#   launch/run_tests.sh 2 3          the tests marked parallel(2), then parallel(3), on that many ranks
#
# Every run is made, even after one that failed, and is ended after TIME_LIMIT_S (3600 seconds).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHON=.venv/bin/python
readonly LOGS=build/tests
# One more than cores, since some tests wait; each takes up to 5 GB. A file's tests stay together.
readonly SIDE_BY_SIDE=(-n "$(($(nproc) < 6 ? $(nproc) + 1 : 6))" --dist loadscope --no-loadscope-reorder
    --max-worker-restart=0) # where a process dies, others would wait for it
export TIME_LIMIT_S=${TIME_LIMIT_S:-3600}
# Threads that wait leave their core to other tests; those of OpenBLAS cannot.
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
unset PYTHONDONTWRITEBYTECODE # or hundreds of processes compile the same files, each for itself

main() {
    mkdir -p $LOGS
    expect_what_was_set_up
    local run failed=()
    for run in "$@"; do
        title "$run"
        run_and_keep "$run" || failed+=("$run")
    done
    closing_lines "$@"
    if [ ${#failed[@]} != 0 ]; then echo "FAILED: ${failed[*]}" && exit 1; fi
}

# Tests expect what set-up built or installed: its absence is a failure, not a reason to skip.
expect_what_was_set_up() {
    if [ -e .venv/set_up.txt ]; then export LANDSCAPE_EXPECT_LIBRARIES=1; fi
    if grep -qsx hdf5=parallel .venv/set_up.txt; then export LANDSCAPE_EXPECT_PARALLEL_HDF5=1; fi
}

run_and_keep() {
    case $1 in
        serial) in_one_process ;;
        fake) on_fake_gpus ;;
        *) on_ranks "$1" ;;
    esac < /dev/null 2>&1 | tee "$LOGS/$1.log"
}

in_one_process() {
    timeout --foreground --kill-after=10 "$TIME_LIMIT_S" $PYTHON -m pytest --color=no \
        -m "not parallel" "${SIDE_BY_SIDE[@]}" "$@"
}

on_fake_gpus() {
    local files words
    mapfile -t files < <(grep -rlE --include='test_*.py' 'mark[.]fake_gpus|[( ](device|gpu)[,)]' tests | sort)
    export FAKE_GPUS=2
    if words=$(fake_gpus_library); then
        export PYTHONPATH=$PWD/tests/fake_cuda${PYTHONPATH:+:$PYTHONPATH}
    elif [ $? = 3 ] && [ -z "${LANDSCAPE_EXPECT_FAKE_CUDA:-}" ]; then
        export NO_FAKE_GPUS=$words # the reason of each test that is skipped
    else
        echo "$words" && return 1
    fi
    in_one_process "${files[@]}"
}

# Status 3 says that there is no compiler to build it with.
fake_gpus_library() {
    PYTHONPATH=tests/fake_cuda FAKE_GPUS='' $PYTHON -m fake_gpus.library 2>&1
}

on_ranks() {
    local files
    mapfile -t files < <(grep -rl --include='test_*.py' "mark[.]parallel" tests | sort)
    launch/try_ranks.sh "$1" $PYTHON -m pytest --color=no -m "parallel and parallel[match]" "${files[@]}"
}

# Last first: the serial tests, which are most, end the page.
closing_lines() {
    local run
    for run in $(printf '%s\n' "$@" | tac); do
        title "$run"
        grep '^SKIPPED ' "$LOGS/$run.log" || true
        grep -E '^=+ .* in [0-9.]+s.* =+$' "$LOGS/$run.log" | tail -n 1 ||
            echo "no closing line: ended by an error or by the limit of $TIME_LIMIT_S s"
    done
}

title() {
    case $1 in
        serial) echo "tests in one process" ;;
        fake) echo "tests on fake GPUs" ;;
        *) echo "tests on ranks: $1" ;;
    esac
}

main "$@"
