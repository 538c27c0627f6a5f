#include "operations.h"

#include <ATen/Parallel.h>
#include <ATen/core/op_registration/adaption.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <string_view>
#include <unordered_set>

#include "generators.h"

namespace fake_cuda {
namespace {

using at::Tensor;
using c10::IValue;
using Stack = torch::jit::Stack;

std::atomic<long> launches{0};

const c10::DispatchKeySet kHost(c10::DispatchKey::CPU);
const c10::DispatchKeySet kDevice(c10::DispatchKey::CUDA);

// Those whose result has a size, or is a number, that the host must wait for.
const std::unordered_set<std::string> kReadsValues = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2",
    "aten::unique_dim",          "aten::equal",   "aten::bincount",      "aten::unique_consecutive",
    "aten::repeat_interleave",
};
const std::unordered_set<std::string> kTakesIndices = {
    "aten::index",         "aten::index_put_", "aten::index_put", "aten::_index_put_impl_",
    "aten::_unsafe_index",
};
const std::unordered_set<std::string> kCopies = {"aten::copy_", "aten::_copy_from",
                                                 "aten::_copy_from_and_resize"};

template <typename Function>
IValue with_tensors(const IValue& value, Function change) {
    if (value.isTensor()) return change(value.toTensor());
    if (value.isTensorList()) {
        c10::List<Tensor> changed;
        for (const Tensor& each : value.toTensorVector()) changed.push_back(change(each));
        return changed;
    }
    if (value.isOptionalTensorList()) {
        c10::List<std::optional<Tensor>> changed;
        for (const std::optional<Tensor>& each : value.toOptionalTensorVector()) {
            changed.push_back(each ? std::optional<Tensor>(change(*each)) : std::nullopt);
        }
        return changed;
    }
    return value;
}

template <typename Function>
void for_tensors(c10::ArrayRef<IValue> values, Function look) {
    for (const IValue& value : values) {
        with_tensors(value, [&](const Tensor& tensor) {
            if (tensor.defined()) look(tensor);
            return tensor;
        });
    }
}

// Copies may cross devices; numbers of the host, and indices that lie there, go with any device.
bool may_lie_elsewhere(const std::string& name, size_t argument, const Tensor& tensor) {
    if (kCopies.count(name)) return true;
    return tensor.is_cpu() && (tensor.dim() == 0 || (kTakesIndices.count(name) && argument == 1));
}

void check_indices(const Tensor& indexed, const Tensor& index) {
    TORCH_CHECK(index.is_cpu() || index.device() == indexed.device(),
                "indices should be either on cpu or on the ", "same device as the indexed tensor (",
                indexed.device(), ")");
}

// Returns the device of a call, or raises as torch does where its tensors lie on several.
DeviceIndex device_of_call(const c10::FunctionSchema& schema, c10::ArrayRef<IValue> arguments) {
    std::optional<c10::Device> common;
    for (size_t i = 0; i < arguments.size(); i++) {
        for_tensors(arguments.slice(i, 1), [&](const Tensor& tensor) {
            if (kTakesIndices.count(schema.name()) && i == 1)
                check_indices(arguments[0].toTensor(), tensor);
            if (may_lie_elsewhere(schema.name(), i, tensor)) {
                if (tensor.is_cuda() && !common) common = tensor.device();
                return;
            }
            const std::string method =
                "wrapper_CUDA_" + schema.name().substr(schema.name().find("::") + 2);
            c10::impl::check_and_update_common_device(common, tensor, method.c_str(),
                                                      schema.arguments()[i].name().c_str());
        });
        if (!common && arguments[i].isDevice() && arguments[i].toDevice().is_cuda()) {
            common = cuda(index_of(arguments[i].toDevice()));
        }
    }
    TORCH_CHECK(!common || common->is_cuda(),
                "Expected a 'cpu' device type for generator but found 'cuda'");
    return common ? index_of(*common) : current_device();
}

bool crosses_to_host(const std::string& name, c10::ArrayRef<IValue> arguments) {
    bool on_host = false;
    if (kCopies.count(name)) {
        for_tensors(arguments, [&](const Tensor& tensor) { on_host |= tensor.is_cpu(); });
    } else if (kTakesIndices.count(name) && arguments[1].isOptionalTensorList()) {
        for_tensors(arguments.slice(1, 1),
                    [&](const Tensor& tensor) { on_host |= tensor.is_cpu(); });
    }
    return on_host;
}

// A mask as an index is first made a list of places, whose number the host must know. Torch fills
// the places of a mask with one number without that.
bool looks_up_mask(const std::string& name, c10::ArrayRef<IValue> arguments) {
    if (!kTakesIndices.count(name)) return false;
    bool is_mask = false;
    for_tensors(arguments.slice(1, 1), [&](const Tensor& index) {
        is_mask |= index.scalar_type() == at::kBool || index.scalar_type() == at::kByte;
    });
    const bool is_filled =
        name.find("put") != std::string::npos && arguments[2].toTensor().numel() == 1;
    return is_mask && !is_filled;
}

// The tensors of a call as tensors of the host with the same memory.
class StandIns {
  public:
    Tensor of(const Tensor& tensor) {
        if (!tensor.defined() || !tensor.is_cuda()) return tensor;
        Tensor made = like(tensor, at::detail::make_tensor<c10::TensorImpl>(
                                       storage_for(tensor.storage()), kHost, tensor.dtype()));
        pairs_.emplace_back(tensor, made);
        return made;
    }

    // Gives the device's tensors what an operation has changed in their stand-ins, e.g. their size.
    void take_changes(DeviceIndex device, bool in_capture) {
        for (auto& [tensor, stand_in] : pairs_) {
            if (stand_in.storage().data() != tensor.storage().data()) {
                TORCH_CHECK(!in_capture,
                            "a fake GPU cannot capture an operation that resizes its output");
                c10::Storage storage = tensor.storage();
                c10::Storage fresh = adopt(stand_in.storage(), device);
                storage.set_nbytes(fresh.nbytes());
                storage.set_data_ptr_noswap(std::move(fresh.mutable_data_ptr()));
            }
            if (stand_in.sizes() != tensor.sizes() || stand_in.strides() != tensor.strides()) {
                tensor.unsafeGetTensorImpl()->set_sizes_and_strides(stand_in.sizes(),
                                                                    stand_in.strides());
            }
        }
    }

    // Returns what a result of the host stands for: an argument, a view of one, or something new.
    Tensor back(const Tensor& result, DeviceIndex device) {
        for (auto& [tensor, stand_in] : pairs_) {
            if (stand_in.is_same(result)) return tensor;
        }
        for (auto& [tensor, stand_in] : pairs_) {
            if (stand_in.is_alias_of(result)) {
                return like(result, at::detail::make_tensor<c10::TensorImpl>(
                                        c10::TensorImpl::VIEW, c10::Storage(tensor.storage()),
                                        tensor.key_set(), tensor.dtype()));
            }
        }
        return like(result, at::detail::make_tensor<c10::TensorImpl>(
                                storage_from(result.storage(), device), kDevice, result.dtype()));
    }

  private:
    c10::Storage storage_for(const c10::Storage& of_device) {
        for (auto& [known, of_host] : storages_) {
            if (known.unsafeGetStorageImpl() == of_device.unsafeGetStorageImpl()) return of_host;
        }
        auto* kept = new c10::Storage(of_device);
        c10::DataPtr pointer(
            of_device.mutable_data(), kept,
            [](void* context) { delete static_cast<c10::Storage*>(context); },
            c10::Device(c10::DeviceType::CPU));
        c10::Storage of_host(c10::Storage::use_byte_size_t(), of_device.nbytes(),
                             std::move(pointer), c10::GetAllocator(c10::kCPU), true);
        storages_.emplace_back(of_device, of_host);
        return of_host;
    }

    // Results that share memory go on sharing it.
    c10::Storage storage_from(const c10::Storage& of_host, DeviceIndex device) {
        for (auto& [of_device, known] : storages_) {
            if (known.unsafeGetStorageImpl() == of_host.unsafeGetStorageImpl()) return of_device;
        }
        storages_.emplace_back(adopt(of_host, device), of_host);
        return storages_.back().first;
    }

    static Tensor like(const Tensor& model, Tensor made) {
        made.unsafeGetTensorImpl()->set_sizes_and_strides(model.sizes(), model.strides(),
                                                          model.storage_offset());
        if (model.is_conj() != made.is_conj()) made._set_conj(model.is_conj());
        if (model.is_neg() != made.is_neg()) made._set_neg(model.is_neg());
        return made;
    }

    std::vector<std::pair<Tensor, Tensor>> pairs_;                 // of the device, of the host
    std::vector<std::pair<c10::Storage, c10::Storage>> storages_;  // likewise
};

// An argument that names the device or its generator names those of the host instead.
IValue without_device(const IValue& value, const c10::Argument& argument, DeviceIndex device) {
    if (value.isDevice() && value.toDevice().is_cuda()) return c10::Device(c10::DeviceType::CPU);
    if (argument.name() != "generator") return value;
    if (!value.isGenerator()) return on_host(default_generator(device));
    TORCH_CHECK(value.toGenerator().device().is_cuda(),
                "Expected a 'cuda' device type for generator but found 'cpu'");
    return on_host(value.toGenerator());
}

// Notes the arguments of a call, before it changes them.
Note note_of(const c10::OperatorHandle& operation, c10::ArrayRef<IValue> arguments,
             Capture& capture) {
    Note note{operation, {}, {}, {}};
    for (const IValue& value : arguments) {
        note.arguments.push_back(with_tensors(value, [&](const Tensor& tensor) {
            if (!tensor.defined() || tensor.is_cpu()) {
                note.inputs.emplace_back();
                return tensor.defined() ? tensor.clone() : tensor;
            }
            capture.keep(tensor);
            note.inputs.emplace_back(Place(tensor, *capture.pool()));
            return Tensor();
        }));
    }
    return note;
}

void note_result(Note& note, const Tensor& result, c10::ArrayRef<IValue> arguments,
                 const Capture& capture) {
    bool is_new = result.defined() && result.is_cuda();
    for_tensors(arguments, [&](const Tensor& each) {
        if (is_new && each.is_cuda()) {
            is_new =
                each.storage().unsafeGetStorageImpl() != result.storage().unsafeGetStorageImpl();
        }
    });
    note.results.push_back(is_new ? std::optional<Place>(Place(result, *capture.pool()))
                                  : std::nullopt);
}

void forbid_what_waits(const std::string& name, c10::ArrayRef<IValue> arguments,
                       DeviceIndex device) {
    if (kReadsValues.count(name) || crosses_to_host(name, arguments) ||
        looks_up_mask(name, arguments)) {
        forbid_in_capture(current_stream(device), /*of_any_stream=*/false);
        count_synchronization();
    }
}

// Whether a result is undefined, or a tensor of the host that was given.
bool is_one_of(c10::ArrayRef<IValue> arguments, const Tensor& result) {
    bool found = !result.defined();
    for_tensors(arguments, [&](const Tensor& each) { found |= each.is_same(result); });
    return found;
}

// A copy from one device to another opens a context on both.
void open_contexts(c10::ArrayRef<IValue> arguments) {
    for_tensors(arguments, [](const Tensor& tensor) {
        if (tensor.is_cuda()) open_context(tensor.device().index());
    });
}

}  // namespace

void run_on_host(const c10::OperatorHandle& operation, c10::DispatchKeySet, Stack* stack) {
    const c10::FunctionSchema& schema = operation.schema();
    const std::vector<IValue> arguments = torch::jit::pop(*stack, schema.arguments().size());
    const DeviceIndex device = device_of_call(schema, arguments);
    const OnDevice guard(device);
    open_contexts(arguments);
    forbid_what_waits(schema.name(), arguments, device);
    const std::shared_ptr<Capture> capture = capture_of(current_stream(device));
    std::optional<Note> note;
    if (capture) note = note_of(operation, arguments, *capture);

    StandIns stand_ins;
    const auto to_host = [&](const Tensor& tensor) { return stand_ins.of(tensor); };
    for (size_t i = 0; i < arguments.size(); i++) {
        const IValue value = with_tensors(arguments[i], to_host);
        stack->push_back(without_device(value, schema.arguments()[i], device));
    }
    launches++;
    at::init_num_threads();  // OpenMP has a number of each thread, also of those of autograd
    operation.redispatchBoxed(kHost, stack);
    stand_ins.take_changes(device, capture != nullptr);

    const auto to_device = [&](const Tensor& result) {
        const Tensor found = is_one_of(arguments, result) ? result : stand_ins.back(result, device);
        if (note) note_result(*note, found, arguments, *capture);
        return found;
    };
    for (const IValue& value : torch::jit::pop(*stack, schema.returns().size())) {
        stack->push_back(with_tensors(value, to_device));
    }
    if (note) capture->add(std::move(*note));
}

void run_again(const Note& note) {
    Stack stack;
    size_t next = 0;
    const c10::FunctionSchema& schema = note.operation.schema();
    for (size_t i = 0; i < note.arguments.size(); i++) {
        const IValue value = with_tensors(note.arguments[i], [&](const Tensor& tensor) {
            const std::optional<Place>& place = note.inputs[next++];
            return place ? place->on_host() : tensor;
        });
        stack.push_back(without_device(value, schema.arguments()[i], current_device()));
    }
    launches++;
    at::init_num_threads();
    note.operation.redispatchBoxed(kHost, &stack);
    next = 0;
    for (const IValue& value : stack) {
        with_tensors(value, [&](const Tensor& result) {
            const std::optional<Place>& place = note.results[next++];
            if (place) place->on_host().copy_(result);
            return result;
        });
    }
}

long n_launches() { return launches; }

}  // namespace fake_cuda
