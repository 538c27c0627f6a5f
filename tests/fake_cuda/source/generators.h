// Random numbers of a device: those that torch's generator of the CPU draws from the same seed.
#pragma once

#include <ATen/core/Generator.h>

#include "devices.h"

namespace fake_cuda {

const at::Generator& default_generator(DeviceIndex device);
at::Generator new_generator(DeviceIndex device);

// The generator of the CPU that a generator of a device draws from.
at::Generator on_host(const at::Generator& generator);

}  // namespace fake_cuda
