"""Oracle: the page faults that the kernel counted for a process of its own.

Without the setting there are tens of thousands of them, or none, as the heap happens to lie.
"""

import platform
import subprocess
import sys

import pytest

PAGES_OF_AN_ACTIVATION = 64 * 16 * 30 * 30 * 4 // 4096
SCRIPT = """
import resource
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's allocator")
def test_activations_are_not_fetched_from_the_system_again_and_again():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 2 * PAGES_OF_AN_ACTIVATION  # of 160; one may still find no room
