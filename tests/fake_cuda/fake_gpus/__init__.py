"""GPUs on a machine without any: a `cuda` device under torch's CPU build, for tests.

What it emulates, as CUDA 12 and torch have it:

- Tensors say `cuda:1` and compute with the CPU's kernels, to the CPU's bits. Views, aliases,
  autograd with its thread for each device, and all of torch.cuda are torch's own.
- Fresh memory is poisoned: NaN in every floating type, absurd in others. What is freed stays
  reserved until empty_cache. More than there is, or than a limit, raises OutOfMemoryError.
- Tensors on several devices raise torch's RuntimeError. Each thread begins at device 0. A process
  has a context where it sets a device, launches, allocates or waits; a test can allow one only.
- What a CUDA graph captures is noted, has no effect, and runs when the graph is replayed, on the
  same memory. Waiting for the device in a capture, reading a value and copying from or to the host
  are errors that break the capture. A capture has its own memory pool.
- Streams and events; generators of each device; CUDA_VISIBLE_DEVICES; a process that forks.
- GPUs of several models, with settable names, sizes, capabilities and identities.

What it cannot show: anything that needs time to pass on the device, such as work of two streams
that is not ordered or memory that is read too early; cuDNN and which of its kernels are chosen;
NCCL; speed; rounding of a GPU's own kernels, tf32, and what is not deterministic there; sparse
and quantized tensors; torch.compile.

FAKE_GPUS=2 (or H200,V100) puts them under each Python that has the folder above this one on
PYTHONPATH. FAKE_GPUS_ONLY=1 allows a context on cuda:1 alone, FAKE_GPUS_ONLY=SLURM_LOCALID on the
device with that number; FAKE_GPUS_REPORT=FOLDER leaves a file on each process there.
"""
