// Which devices this process sees, which one is current in a thread, and where it has a context.
//
// As in CUDA 12 and torch: a new thread begins at device 0; setting a device opens a context there,
// and so does all that launches, allocates or waits; going back to a device when a guard ends
// opens none.
#pragma once

#include <c10/core/Device.h>

#include <vector>

namespace fake_cuda {

using c10::DeviceIndex;

constexpr int kMostDevices = 16;
constexpr int kAnyDevice = -1;

DeviceIndex device_count();
void set_device_count(int n);

// Raises "invalid device ordinal" where there is no such device.
void check_device(int index);

DeviceIndex current_device();
void set_device(int index);
DeviceIndex exchange_device(int index);
// Opens no context.
DeviceIndex maybe_exchange_device(int index);

// Raises where another device than `index` is the only one that is allowed.
void open_context(DeviceIndex index);
bool has_context(DeviceIndex index);
std::vector<int> contexts();
void forget_contexts();
// kAnyDevice allows all.
void allow_only(int index);

// Makes a device current for a while, as the guards inside torch's operations do.
class OnDevice {
  public:
    explicit OnDevice(DeviceIndex index);
    ~OnDevice();
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

  private:
    DeviceIndex before_;
};

inline c10::Device cuda(DeviceIndex index) { return c10::Device(c10::DeviceType::CUDA, index); }

// The index of a device, the current one where it names none.
inline DeviceIndex index_of(c10::Device device) {
    return device.has_index() ? device.index() : current_device();
}

}  // namespace fake_cuda
