#!/usr/bin/env bash
# Run a command on N ranks of this machine, for tests and the demo.
#
#   launch/try_ranks.sh N COMMAND [ARGUMENT ...]
#   TIME_LIMIT_S=60 launch/try_ranks.sh ...       end all ranks after that time, with status 124
#
# A real run calls mpirun or srun itself, and should not need the settings below.
set -euo pipefail

main() {
    local n_ranks=$1 command=$2
    shift
    forget_outer_ranks
    allow_root_and_few_cores
    share_cores "$n_ranks"
    local limit=()
    if [ -n "${TIME_LIMIT_S:-}" ]; then
        limit=(timeout --foreground --kill-after=10 "$TIME_LIMIT_S")
    fi
    exec "${limit[@]}" "$(mpiexec_for "$command")" -n "$n_ranks" "$@"
}

# Under an outer mpiexec, its variables would make the inner one believe that it is a rank.
forget_outer_ranks() {
    if [ -z "${OMPI_COMM_WORLD_RANK:-}${PMIX_RANK:-}${PMI_RANK:-}" ]; then return; fi
    local name
    for name in $(compgen -e); do
        case $name in
            OMPI_* | OPAL_* | PMIX_* | PRTE_* | PMI_* | HYDI_* | MPI_LOCAL*) unset "$name" ;;
        esac
    done
}

allow_root_and_few_cores() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # Allow more ranks than cores, and bind none: Open MPI 4, then Open MPI 5. MPICH allows it anyway.
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
    export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none
    # A rank that waits gives its core to those that compute, of this run or of another.
    export OMPI_MCA_mpi_yield_when_idle=1
    # Containers forbid reading another process's memory, and Open MPI 4 says so at every message.
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
}

share_cores() {
    local share=$(($(nproc) / $1))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((share > 0 ? share : 1))}
}

# The mpiexec beside this Python, if MPI came from PyPI; otherwise the system's.
mpiexec_for() {
    local beside
    beside=$(dirname "$1")/mpiexec
    if [[ $1 == */* && -x $beside ]]; then echo "$beside"; else echo mpiexec; fi
}

main "$@"
