"""Oracle: the page faults that the kernel counted for a process of its own."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
if sys.argv[1] == "keep":
    from landscape_mpi.compute.memory import keep_freed_memory
    assert keep_freed_memory()
import torch
torch.set_num_threads(1)
layers = [layer for _ in range(4) for layer in (torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU())]
network = torch.nn.Sequential(*layers).eval()
images = torch.zeros(64, 16, 32, 32).to(memory_format=torch.channels_last)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with torch.inference_mode():
    for _ in range(3):
        network(images)
    before = faults()
    for _ in range(20):
        network(images)
print(faults() - before)
"""


def count_faults(how):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's allocator")
def test_activations_are_not_fetched_from_the_system_again_and_again():
    assert count_faults("keep") < 0.05 * count_faults("leave")
