// What Python calls, as the module _fake_cuda.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/Generator.h>

#include "captures.h"
#include "devices.h"
#include "errors.h"
#include "generators.h"
#include "memory.h"
#include "operations.h"
#include "streams.h"

namespace fake_cuda {
namespace {

namespace py = pybind11;
using StreamNumbers = std::tuple<int64_t, int, int>;  // as torch keeps them in Python

StreamNumbers numbers_of(c10::Stream stream) {
    const auto packed = stream.pack3();
    return {packed.stream_id, packed.device_index, static_cast<int>(packed.device_type)};
}

py::dict usage_as_dict(int device) {
    const Usage found = usage(static_cast<DeviceIndex>(device));
    py::dict made;
    made["total"] = found.total;
    made["limit"] = found.limit;
    made["allocated"] = found.allocated;
    made["peak_allocated"] = found.peak_allocated;
    made["reserved"] = found.reserved();
    made["peak_reserved"] = found.peak_reserved;
    made["pooled"] = found.pooled;
    made["n_allocations"] = found.n_allocations;
    made["n_shortages"] = found.n_shortages;
    return made;
}

py::dict counts() {
    py::dict made;
    made["launches"] = n_launches();
    made["synchronizations"] = n_synchronizations();
    made["replays"] = n_replays();
    return made;
}

py::object generator_of(int device) {
    const at::Generator& generator = default_generator(static_cast<DeviceIndex>(device));
    return py::reinterpret_steal<py::object>(THPGenerator_initDefaultGenerator(generator));
}

template <typename Function>
auto safely(Function function) {
    return torch::wrap_pybind_function(function);
}

void define_devices(py::module& module) {
    module.def("device_count", [] { return int(device_count()); });
    module.def("set_device_count", safely(&set_device_count));
    module.def("current_device", [] { return int(current_device()); });
    module.def("set_device", safely(&set_device));
    module.def("exchange_device", safely([](int index) { return int(exchange_device(index)); }));
    module.def("maybe_exchange_device",
               safely([](int index) { return int(maybe_exchange_device(index)); }));
    module.def("open_context",
               safely([](int index) { open_context(static_cast<DeviceIndex>(index)); }));
    module.def("contexts", &contexts);
    module.def("forget_contexts", &forget_contexts);
    module.def("allow_only", &allow_only);
    module.def("default_generator", &generator_of);
}

void define_streams(py::module& module) {
    module.def("current_stream",
               [](int device) { return numbers_of(current_stream(DeviceIndex(device))); });
    module.def("default_stream",
               [](int device) { return numbers_of(default_stream(DeviceIndex(device))); });
    module.def("set_stream", safely([](int64_t id, int device, int type) {
                   const c10::Stream stream =
                       c10::Stream::unpack3(id, DeviceIndex(device), c10::DeviceType(type));
                   exchange_device(device);
                   exchange_stream(stream);
               }));
    module.def("synchronize", safely([] { synchronize_device(current_device()); }));
    module.def("is_current_stream_capturing",
               [] { return capture_of(current_stream(current_device())) != nullptr; });
    module.def("is_any_capturing", &is_any_capturing);
}

void define_memory(py::module& module) {
    module.def("usage", &usage_as_dict);
    module.def("set_total",
               [](int device, int64_t bytes) { set_total(DeviceIndex(device), bytes); });
    module.def("set_limit",
               [](int device, int64_t bytes) { set_limit(DeviceIndex(device), bytes); });
    module.def("reset_peaks", [](int device) { reset_peaks(DeviceIndex(device)); });
    module.def("empty_caches", &empty_caches);
    module.def("set_capture_breaks_without_memory", &set_capture_breaks_without_memory);
    module.def("counts", &counts);
}

void define_graph(py::module& module) {
    module.def("new_pool_id", &new_pool_id);
    py::class_<Graph, std::shared_ptr<Graph>>(module, "Graph")
        .def(py::init<bool>(), py::arg("keep_graph") = false)
        .def("capture_begin", safely(&Graph::capture_begin), py::arg("pool") = py::none(),
             py::arg("capture_error_mode") = "global")
        .def("capture_end", safely(&Graph::capture_end))
        .def("instantiate", [](Graph&) {})
        .def("replay", safely(&Graph::replay))
        .def("reset", safely(&Graph::reset))
        .def("pool", safely(&Graph::pool))
        .def("n_notes", &Graph::n_notes);
}

}  // namespace
}  // namespace fake_cuda

PYBIND11_MODULE(_fake_cuda, module) {
    fake_cuda::define_devices(module);
    fake_cuda::define_streams(module);
    fake_cuda::define_memory(module);
    fake_cuda::define_graph(module);
}
