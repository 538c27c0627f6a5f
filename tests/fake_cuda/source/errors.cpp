#include "errors.h"

namespace fake_cuda {

std::string words_of(CudaError error) {
    switch (error) {
        case kInvalidDevice:
            return "invalid device ordinal";
        case kCaptureUnsupported:
            return "operation not permitted when stream is capturing";
        case kCaptureInvalidated:
            return "operation failed due to a previous error during capture";
    }
    return "unknown error";
}

void raise(CudaError error) {
    const c10::SourceLocation here = {__func__, __FILE__, static_cast<uint32_t>(__LINE__)};
    throw c10::AcceleratorError(here, error, "CUDA error: " + words_of(error) + "\n(a fake GPU)");
}

}  // namespace fake_cuda
