// What torch itself asks of a kind of device: its guard, and the hooks of CUDA.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "captures.h"
#include "devices.h"
#include "generators.h"
#include "memory.h"
#include "streams.h"

namespace fake_cuda {
namespace {

struct Event {
    std::shared_ptr<Capture> capture;  // that the stream was part of
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
  public:
    c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
    DeviceIndex deviceCount() const noexcept override { return device_count(); }

    c10::Device exchangeDevice(c10::Device device) const override {
        return cuda(exchange_device(device.index()));
    }
    c10::Device getDevice() const override { return cuda(current_device()); }
    // The threads of autograd, one for each device, begin with this call. In a torch built for CUDA
    // they make it only where the process has a context already.
    void setDevice(c10::Device device) const override { maybe_exchange_device(device.index()); }
    void uncheckedSetDevice(c10::Device device) const noexcept override {
        maybe_exchange_device(device.index());
    }

    c10::Stream getStream(c10::Device device) const override {
        return current_stream(index_of(device));
    }
    c10::Stream getDefaultStream(c10::Device device) const override {
        return default_stream(index_of(device));
    }
    c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
        return new_stream(index_of(device));
    }
    c10::Stream getNewStream(c10::Device device, int) const override {
        return new_stream(index_of(device));
    }
    c10::Stream exchangeStream(c10::Stream stream) const override {
        return exchange_stream(stream);
    }
    bool queryStream(const c10::Stream&) const override { return true; }
    void synchronizeStream(const c10::Stream& stream) const override { synchronize_stream(stream); }
    void synchronizeDevice(const DeviceIndex device) const override { synchronize_device(device); }
    bool isStreamCapturing(const c10::Stream& stream) const override {
        return capture_of(stream) != nullptr;
    }

    void record(void** event, const c10::Stream& stream, const DeviceIndex,
                const c10::EventFlag) const override {
        open_context(stream.device_index());
        if (*event == nullptr) *event = new Event;
        *static_cast<Event*>(*event) = {capture_of(stream)};
    }
    void block(void* event, const c10::Stream& stream) const override {
        open_context(stream.device_index());
        const std::shared_ptr<Capture> capture =
            event ? static_cast<Event*>(event)->capture : nullptr;
        if (capture && capture_of(capture->stream()) == capture) join_capture(stream, capture);
    }
    bool queryEvent(void*) const override { return true; }
    void synchronizeEvent(void*) const override { count_synchronization(); }
    void destroyEvent(void* event, const DeviceIndex) const noexcept override {
        delete static_cast<Event*>(event);
    }
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard);

// cuDNN is absent: which kernels it takes, a fake cannot show.
struct Hooks : public at::CUDAHooksInterface {
    explicit Hooks(at::CUDAHooksArgs) {}

    void init() const override {}
    bool hasCUDA() const override { return true; }
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return device_count() > 0; }
    bool hasPrimaryContext(DeviceIndex device) const override { return has_context(device); }

    DeviceIndex deviceCount() const override { return device_count(); }
    int getNumGPUs() const override { return device_count(); }
    DeviceIndex current_device() const override { return fake_cuda::current_device(); }
    DeviceIndex getCurrentDevice() const override { return fake_cuda::current_device(); }
    void setCurrentDevice(DeviceIndex device) const override { set_device(device); }
    DeviceIndex exchangeDevice(DeviceIndex device) const override {
        return exchange_device(device);
    }
    DeviceIndex maybeExchangeDevice(DeviceIndex device) const override {
        return maybe_exchange_device(device);
    }
    void deviceSynchronize(DeviceIndex device) const override { synchronize_device(device); }

    const at::Generator& getDefaultGenerator(DeviceIndex device) const override {
        return default_generator(device < 0 ? fake_cuda::current_device() : device);
    }
    at::Generator getNewGenerator(DeviceIndex device) const override {
        return new_generator(device < 0 ? fake_cuda::current_device() : device);
    }

    c10::Allocator* getCUDADeviceAllocator() const override { return allocator(); }
    c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
    bool isPinnedPtr(const void*) const override { return false; }
};

}  // namespace
}  // namespace fake_cuda

// Torch looks them up by the name CUDAHooks.
namespace at {
using CUDAHooks = fake_cuda::Hooks;
REGISTER_CUDA_HOOKS(CUDAHooks)
}  // namespace at
