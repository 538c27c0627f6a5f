// Streams and events. Work is done when it is launched, so that nothing ever waits; what a stream
// decides is which capture its work belongs to.
#pragma once

#include <c10/core/Stream.h>

#include "devices.h"

namespace fake_cuda {

c10::Stream current_stream(DeviceIndex device);
c10::Stream default_stream(DeviceIndex device);
c10::Stream new_stream(DeviceIndex device);
// Returns the one before. Streams are current per thread and device.
c10::Stream exchange_stream(c10::Stream stream);

// Errors in a capture, as everything that waits for the device.
void synchronize_device(DeviceIndex device);
void synchronize_stream(c10::Stream stream);

// Of streams and devices that were waited for, and values that were read.
long n_synchronizations();
void count_synchronization();

}  // namespace fake_cuda
