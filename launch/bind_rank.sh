#!/usr/bin/env bash
# Give one rank of a node its own GPU and the cores beside it, then become the command.
#
#   mpirun -n 8 --bind-to none launch/bind_rank.sh COMMAND [ARGUMENT ...]
#   the same with mpiexec, srun, jsrun and flux run
#
# GPU      The one with this rank's number on the node, of NVIDIA, AMD or Intel. A GPU that the launcher
#          has chosen for the rank stays; if ranks outnumber GPUs, or no tool of the driver lists
#          them, the choice is left to the command.
# Cores    Those of the GPU's NUMA node; without GPUs, the ranks are distributed over the NUMA nodes.
#          Needs numactl. Cores that the launcher has already chosen within one NUMA node stay.
set -euo pipefail
# shellcheck source=launch/gpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/gpus.sh"

readonly SYSFS=${SYSFS:-/sys} # where the kernel describes the machine

main() {
    if [ $# = 0 ]; then sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; fi
    find_local_rank
    take_gpu
    find_cores
    if [ -n "$cores" ]; then exec numactl --physcpubind="$cores" "$@"; fi
    exec "$@"
}

# Sets local_rank, and local_size, which is 1 if the launcher does not tell. SLURM comes last:
# in a job of SLURM, the ranks of mpirun all have the 0 of the batch script there.
find_local_rank() {
    local names
    for names in OMPI_COMM_WORLD_LOCAL_RANK:OMPI_COMM_WORLD_LOCAL_SIZE MPI_LOCALRANKID:MPI_LOCALNRANKS \
        PMIX_LOCAL_RANK:PMIX_LOCAL_SIZE MV2_COMM_WORLD_LOCAL_RANK:MV2_COMM_WORLD_LOCAL_SIZE \
        MVP_COMM_WORLD_LOCAL_RANK:MVP_COMM_WORLD_LOCAL_SIZE \
        PALS_LOCAL_RANKID:PALS_LOCAL_SIZE JSM_NAMESPACE_LOCAL_RANK:JSM_NAMESPACE_LOCAL_SIZE \
        FLUX_TASK_LOCAL_ID: SLURM_LOCALID:SLURM_NTASKS_PER_NODE; do
        local rank=${names%:*} size=${names#*:}
        local_rank=${!rank:-} local_size=1
        if [ -n "$size" ]; then local_size=${!size:-1}; fi
        if [ -n "$local_rank" ]; then return; fi
    done
    echo "bind_rank: no launcher has numbered this rank: OMPI_COMM_WORLD_LOCAL_RANK (Open MPI)," \
        "MPI_LOCALRANKID (MPICH, Intel MPI), PALS_LOCAL_RANKID, PMIX_LOCAL_RANK, SLURM_LOCALID and the like" \
        "are not set. Start it with mpirun, mpiexec, srun, jsrun or flux run." >&2
    exit 2
}

# Sets gpu, empty if there is none for this rank.
take_gpu() {
    find_gpus
    gpu=
    case ${#gpus[@]} in
        0) ;;
        1) gpu=${gpus[0]} ;; # the launcher's choice, or the only one
        *) if [ "$local_rank" -lt ${#gpus[@]} ]; then
            gpu=${gpus[local_rank]}
            # Its number, if it is one, is then that of nvidia-smi.
            export "$mask=$gpu" CUDA_DEVICE_ORDER=${CUDA_DEVICE_ORDER:-PCI_BUS_ID}
        fi ;;
    esac
}

# Sets cores, empty if they stay as they are. Linux takes memory from the NUMA node on which it
# is first written to, so the cores decide on that as well.
find_cores() {
    local nodes node
    cores=
    mapfile -t nodes < <(numa_nodes)
    if [ ${#nodes[@]} -lt 2 ] || ! command -v numactl > /dev/null; then return; fi
    if [ -n "$gpu" ]; then
        node=$(numa_node_of_gpu)
    elif [ "$local_size" -ge ${#nodes[@]} ]; then
        node=${nodes[local_rank * ${#nodes[@]} / local_size]}
    else
        return 0 # fewer ranks than NUMA nodes would leave cores idle
    fi
    cores=$(allowed_cores_of "$node")
}

# Prints the NUMA nodes with cores on which this process may run.
numa_nodes() {
    local folder node
    for folder in "$SYSFS"/devices/system/node/node[0-9]*; do
        node=${folder##*/node}
        if [ -n "$(allowed_cores_of "$node")" ]; then echo "$node"; fi
    done
}

# The kernel says -1 if it does not know.
numa_node_of_gpu() {
    local bus
    bus=$(bus_of_gpu "$gpu")
    cat "$SYSFS/bus/pci/devices/$bus/numa_node" 2> /dev/null || echo -1
}

allowed_cores_of() {
    local allowed
    allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    comm -12 <(each_of "$allowed") <(each_of "$(cat "$SYSFS/devices/system/node/node$1/cpulist" 2> /dev/null)") |
        paste -sd,
}

# 0-2,8 as 0 1 2 8, sorted as comm wants it.
each_of() {
    local range
    for range in ${1//,/ }; do seq "${range%-*}" "${range#*-}"; done | sort
}

main "$@"
