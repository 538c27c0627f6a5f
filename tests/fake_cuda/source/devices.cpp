#include "devices.h"

#include <array>
#include <atomic>

#include "errors.h"

namespace fake_cuda {
namespace {

std::atomic<int> n_devices{0};
std::atomic<int> only_allowed{kAnyDevice};
std::array<std::atomic<bool>, kMostDevices> is_open{};
thread_local DeviceIndex current = 0;

}  // namespace

DeviceIndex device_count() { return static_cast<DeviceIndex>(n_devices.load()); }

void set_device_count(int n) {
    TORCH_CHECK(0 <= n && n <= kMostDevices, "a fake machine has 0 to ", kMostDevices,
                " GPUs, not ", n);
    n_devices = n;
}

void check_device(int index) {
    if (index < 0 || index >= n_devices) raise(kInvalidDevice);
}

DeviceIndex current_device() { return current; }

void set_device(int index) {
    check_device(index);
    open_context(static_cast<DeviceIndex>(index));
    current = static_cast<DeviceIndex>(index);
}

DeviceIndex exchange_device(int index) {
    const DeviceIndex before = current;
    if (index >= 0 && index != before) set_device(index);
    return before;
}

DeviceIndex maybe_exchange_device(int index) {
    const DeviceIndex before = current;
    if (index < 0) return before;
    check_device(index);
    current = static_cast<DeviceIndex>(index);
    return before;
}

void open_context(DeviceIndex index) {
    const int only = only_allowed;
    TORCH_CHECK(only == kAnyDevice || only == index, "a context was opened on cuda:", int(index),
                ", and this process may have one on cuda:", only, " only");
    is_open.at(index) = true;
}

bool has_context(DeviceIndex index) { return is_open.at(index); }

std::vector<int> contexts() {
    std::vector<int> found;
    for (int i = 0; i < kMostDevices; i++) {
        if (is_open[i]) found.push_back(i);
    }
    return found;
}

void forget_contexts() {
    for (auto& each : is_open) each = false;
}

void allow_only(int index) { only_allowed = index; }

OnDevice::OnDevice(DeviceIndex index) : before_(current) {
    open_context(index);
    current = index;
}

OnDevice::~OnDevice() { current = before_; }

}  // namespace fake_cuda
