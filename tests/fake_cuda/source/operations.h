// What tensors of a device do: each operation runs torch's CPU kernel on the same memory.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include "captures.h"

namespace fake_cuda {

// The kernel of nearly every operation of torch.
void run_on_host(const c10::OperatorHandle& operation, c10::DispatchKeySet keys,
                 torch::jit::Stack* stack);

// Runs what a capture has noted.
void run_again(const Note& note);

long n_launches();

}  // namespace fake_cuda
