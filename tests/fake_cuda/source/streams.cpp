#include "streams.h"

#include <array>
#include <atomic>

#include "captures.h"

namespace fake_cuda {
namespace {

std::atomic<c10::StreamId> last_stream{0};
std::atomic<long> synchronizations{0};
thread_local std::array<c10::StreamId, kMostDevices> current_ids{};

c10::Stream stream_of(DeviceIndex device, c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, cuda(device), id);
}

}  // namespace

c10::Stream current_stream(DeviceIndex device) { return stream_of(device, current_ids.at(device)); }

c10::Stream default_stream(DeviceIndex device) { return stream_of(device, 0); }

c10::Stream new_stream(DeviceIndex device) {
    check_device(device);
    open_context(device);
    return stream_of(device, ++last_stream);
}

c10::Stream exchange_stream(c10::Stream stream) {
    const c10::Stream before = current_stream(stream.device_index());
    current_ids.at(stream.device_index()) = stream.id();
    return before;
}

void synchronize_device(DeviceIndex device) {
    open_context(device);
    forbid_in_capture(current_stream(device), /*of_any_stream=*/true);
    count_synchronization();
}

void synchronize_stream(c10::Stream stream) {
    open_context(stream.device_index());
    forbid_in_capture(stream, /*of_any_stream=*/false);
    count_synchronization();
}

long n_synchronizations() { return synchronizations; }

void count_synchronization() { synchronizations++; }

}  // namespace fake_cuda
