#!/usr/bin/env bash
# A real SLURM of two nodes on this one machine, in a folder of its own: for tests.
#
#   tests/slurm_lab.sh up FOLDER         start it; then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/slurm_lab.sh down FOLDER       end its jobs and its processes, and no others
#   tests/slurm_lab.sh missing           say what it lacks here; nothing is printed where it can run
#   tests/slurm_lab.sh install           apt-get install what it lacks
#
# It needs root and the packages slurm-wlm and munge, whose services may run or not: the
# lab has a key, a socket and ports of its own.
set -euo pipefail
# shellcheck source=tests/programs.sh
. "$(dirname "${BASH_SOURCE[0]}")/programs.sh"

readonly NODES=(n1 n2)
readonly program_name=slurm_lab
readonly PROGRAMS=(munged slurmctld slurmd sbatch srun scancel scontrol sinfo)
readonly PACKAGES=(slurm-wlm munge)
PATH=$PATH:/usr/sbin:/sbin

main() {
    case "${1:-}:$#" in
        up:2) up "$(realpath -m "$2")" ;;
        down:2) down "$(realpath -m "$2")" ;;
        missing:1) missing ;;
        install:1) install_packages ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
}

up() {
    folder=$1
    [ -z "$(missing)" ] || stop "lacks $(missing | paste -sd' '). As root: $0 install"
    [ ! -e "$folder/slurm.conf" ] || stop "$folder holds a lab already: $0 down $folder"
    mkdir -p "$folder"/{run,log,state}
    chmod 755 "$folder" "$folder/run"
    write_configuration
    start_munge
    export SLURM_CONF=$folder/slurm.conf
    slurmctld
    local node
    for node in "${NODES[@]}"; do
        slurmd -N "$node"
    done
    wait_until 120 nodes_are_idle || stop "the nodes are not ready after 120 s:" "$(sinfo -N 2>&1)" "logs: $folder/log"
}

start_munge() {
    (umask 077 && head -c 1024 /dev/urandom > "$folder/run/munge.key")
    # --force: it need not mind that others may read the folder.
    munged --force --key-file="$folder/run/munge.key" --socket="$folder/run/munge.socket" \
        --pid-file="$folder/run/munged.pid" --seed-file="$folder/run/munge.seed" \
        --log-file="$folder/log/munged.log" 2> "$folder/log/munged.err" ||
        stop "munged did not start:" "$(cat "$folder/log/munged.err")"
}

write_configuration() {
    local host node ports
    host=$(hostname -s)
    mapfile -t ports < <(free_ports $((1 + ${#NODES[@]})))
    cat > "$folder/slurm.conf" << END
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$folder/run/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SlurmdParameters=config_overrides
TmpFS=$folder/tmp.%n
KillWait=10
MinJobAge=3600
END
    for node in "${NODES[@]}"; do
        mkdir -p "$folder/spool.$node" "$folder/tmp.$node"
        unset 'ports[0]' && ports=("${ports[@]}")
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[0]} CPUs=16 Boards=1" \
            "SocketsPerBoard=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN"
    done >> "$folder/slurm.conf"
    echo "PartitionName=debug Nodes=$(IFS=, && echo "${NODES[*]}") Default=YES MaxTime=INFINITE State=UP" \
        >> "$folder/slurm.conf"
}

# Below those that the system gives to others, which could take one before the lab does.
free_ports() {
    python3 - "$1" << 'END'
import contextlib, random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    with contextlib.suppress(OSError):
        held.append(socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))))
print(*(s.getsockname()[1] for s in held), sep="\n")
END
}

nodes_are_idle() { [ "$(sinfo -h -N -o %T 2> /dev/null | grep -cx idle)" = ${#NODES[@]} ]; }

down() {
    folder=$1
    [ -e "$folder/slurm.conf" ] || stop "$folder holds no lab."
    export SLURM_CONF=$folder/slurm.conf
    scontrol update PartitionName=debug State=DOWN # a job that requeues itself stays in the queue
    wait_until 120 cancel_all || stop "jobs are left after 120 s:" "$(squeue 2>&1)"
    local name
    for name in slurmd.{n1,n2} slurmctld munged; do
        end_process "$folder/run/$name.pid"
    done
    mv "$folder/slurm.conf" "$folder/slurm.conf.down"
}

cancel_all() {
    scancel --user="$(id -un)" --quiet || true
    [ -z "$(squeue --noheader)" ]
}

# The file may be of a process long gone, and its number another's by now.
end_process() {
    local pid
    pid=$(cat "$1" 2> /dev/null) || return 0
    grep -qsE 'munged|slurmctld|slurmd' "/proc/$pid/comm" || return 0
    kill "$pid"
    wait_until 10 is_gone "$pid" || kill -KILL "$pid"
}

# Where nobody collects its status, a process that ended stays as a zombie.
is_gone() { ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"; }

wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then return 1; fi
        sleep 0.1
    done
}

main "$@"
