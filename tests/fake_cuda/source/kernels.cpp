// The kernels of torch's CUDA key: one that runs on the host whatever operation there is, and the
// few that concern memory itself.
#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "devices.h"
#include "memory.h"
#include "operations.h"

namespace fake_cuda {
namespace {

using at::Tensor;
using c10::SymInt;
using c10::SymIntArrayRef;

const c10::DispatchKeySet kDevice(c10::DispatchKey::CUDA);

DeviceIndex checked_index(std::optional<c10::Device> device) {
    const DeviceIndex index = device ? index_of(*device) : current_device();
    check_device(index);
    return index;
}

Tensor empty(SymIntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
             std::optional<c10::Device> device, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
    const OnDevice guard(checked_index(device));
    return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), allocator(), kDevice,
                                     type.value_or(at::kFloat), format);
}

Tensor empty_strided(SymIntArrayRef size, SymIntArrayRef strides,
                     std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<c10::Device> device, std::optional<bool>) {
    const OnDevice guard(checked_index(device));
    return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                             C10_AS_INTARRAYREF_SLOW(strides), allocator(), kDevice,
                                             type.value_or(at::kFloat));
}

void resize_storage(const c10::Storage& storage, size_t n_bytes) {
    c10::DataPtr larger = allocator()->allocate(n_bytes);
    if (storage.nbytes()) std::memcpy(larger.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr_noswap(std::move(larger));
    storage.set_nbytes(n_bytes);
}

const Tensor& resize(const Tensor& self, SymIntArrayRef size,
                     std::optional<at::MemoryFormat> format) {
    const OnDevice guard(self.device().index());
    at::TensorImpl* impl = self.unsafeGetTensorImpl();
    impl->set_sizes_contiguous(C10_AS_INTARRAYREF_SLOW(size));
    if (format && *format != at::MemoryFormat::Preserve) impl->empty_tensor_restride(*format);
    const size_t n_bytes = (self.storage_offset() + self.numel()) * self.itemsize();
    if (n_bytes > self.storage().nbytes()) resize_storage(self.storage(), n_bytes);
    return self;
}

Tensor& set_strided(Tensor& self, c10::Storage source, SymInt offset, SymIntArrayRef size,
                    SymIntArrayRef strides) {
    at::TensorImpl* impl = self.unsafeGetTensorImpl();
    impl->set_storage_keep_dtype(std::move(source));
    const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
    impl->set_storage_offset(offset.expect_int());
    if (strides.empty() && !sizes.empty()) {
        impl->set_sizes_contiguous(sizes);
    } else {
        impl->set_sizes_and_strides(sizes, C10_AS_INTARRAYREF_SLOW(strides));
    }
    return self;
}

Tensor& set_storage(Tensor& self, c10::Storage source) {
    const SymInt n(static_cast<int64_t>(source.nbytes() / self.itemsize()));
    return set_strided(self, std::move(source), 0, SymIntArrayRef(&n, 1), {});
}

Tensor& set_tensor(Tensor& self, const Tensor& source) {
    return set_strided(self, source.storage(), source.storage_offset(), source.sym_sizes(),
                       source.sym_strides());
}

Tensor& set_nothing(Tensor& self) {
    const OnDevice guard(self.device().index());
    const SymInt zero(0);
    c10::Storage nothing(c10::Storage::use_byte_size_t(), 0, allocator(), true);
    return set_strided(self, std::move(nothing), 0, SymIntArrayRef(&zero, 1), {});
}

// Torch's dropout on the CPU, drawn from the generator of the device.
std::tuple<Tensor, Tensor> dropout(const Tensor& input, double p, std::optional<bool> train) {
    if (!train.value_or(true)) return {input.clone(), at::empty_like(input, at::kBool).fill_(true)};
    const Tensor noise = at::empty_like(input).bernoulli_(1 - p);
    const Tensor kept = noise.to(at::kBool);
    return {input.mul(p == 1 ? noise : noise.div_(1 - p)), kept};
}

// Attention by its formula: kernels that fuse it are chosen by what hardware there is.
int64_t choose_attention(const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&,
                         double, bool, std::optional<double>, bool) {
    constexpr int64_t kByFormula = 0;
    return kByFormula;
}

void record_stream(Tensor&, c10::Stream) {}

torch::CppFunction on_host_kernel() {
    return torch::CppFunction::makeFromBoxedFunction<&run_on_host>();
}

}  // namespace

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(on_host_kernel()); }

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
    library.impl("empty.memory_format", empty);
    library.impl("empty_strided", empty_strided);
    library.impl("resize_", resize);
    library.impl("set_.source_Storage_storage_offset", set_strided);
    library.impl("set_.source_Storage", set_storage);
    library.impl("set_.source_Tensor", set_tensor);
    library.impl("set_", set_nothing);
    library.impl("native_dropout", dropout);
    library.impl("_fused_sdp_choice", choose_attention);
    library.impl("record_stream", record_stream);
    // Torch would take these apart, choosing by the kind of device.
    library.impl("copy_", on_host_kernel());
    library.impl("convolution", on_host_kernel());
    library.impl("_convolution", on_host_kernel());
    library.impl("convolution_backward", on_host_kernel());
}

}  // namespace fake_cuda
