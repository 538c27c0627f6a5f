#include "generators.h"

#include <ATen/CPUGeneratorImpl.h>

#include <array>

namespace fake_cuda {
namespace {

class DeviceGenerator final : public c10::GeneratorImpl {
  public:
    DeviceGenerator(DeviceIndex device, at::Generator host)
        : GeneratorImpl(cuda(device), c10::DispatchKeySet(c10::DispatchKey::CUDA)),
          host_(std::move(host)) {}

    const at::Generator& host() const { return host_; }

    void set_current_seed(uint64_t seed) override { host_.set_current_seed(seed); }
    void set_offset(uint64_t offset) override { host_.set_offset(offset); }
    uint64_t get_offset() const override { return host_.get_offset(); }
    uint64_t current_seed() const override { return host_.current_seed(); }
    uint64_t seed() override { return host_.seed(); }
    void set_state(const c10::TensorImpl& state) override {
        host_.unsafeGetGeneratorImpl()->set_state(state);
    }
    c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
        return host_.unsafeGetGeneratorImpl()->get_state();
    }

  private:
    DeviceGenerator* clone_impl() const override {
        return new DeviceGenerator(device().index(), host_.clone());
    }

    at::Generator host_;
};

std::array<at::Generator, kMostDevices> make_defaults() {
    std::array<at::Generator, kMostDevices> made;
    for (int i = 0; i < kMostDevices; i++) made[i] = new_generator(static_cast<DeviceIndex>(i));
    return made;
}

}  // namespace

const at::Generator& default_generator(DeviceIndex device) {
    static const std::array<at::Generator, kMostDevices> defaults = make_defaults();
    return defaults.at(device);
}

at::Generator new_generator(DeviceIndex device) {
    return at::Generator(
        c10::make_intrusive<DeviceGenerator>(device, at::detail::createCPUGenerator()));
}

at::Generator on_host(const at::Generator& generator) {
    if (generator.device().type() != c10::DeviceType::CUDA) return generator;
    return static_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl())->host();
}

}  // namespace fake_cuda
