// Errors as CUDA's, which reach Python as torch.AcceleratorError.
#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace fake_cuda {

// Numbers of the CUDA runtime's cudaError_t.
enum CudaError : int32_t {
    kInvalidDevice = 101,
    kCaptureUnsupported = 900,
    kCaptureInvalidated = 901,
};

[[noreturn]] void raise(CudaError error);

// The words of an error, as cudaGetErrorString returns them.
std::string words_of(CudaError error);

}  // namespace fake_cuda
