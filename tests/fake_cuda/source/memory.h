// The memory of the devices: host memory that is counted, limited, and poisoned when it is fresh.
//
// As torch's caching allocator: blocks are multiples of 512 bytes, what is freed stays reserved
// until empty_cache, and what a capture allocates belongs to a pool that keeps its addresses.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Storage.h>

#include <map>
#include <memory>

#include "devices.h"

namespace fake_cuda {

struct Usage {
    int64_t total = 0;           // of the device
    int64_t limit = INT64_MAX;   // what more than that is asked for does not fit
    int64_t allocated = 0;       // by tensors that live
    int64_t peak_allocated = 0;  // since the last reset
    int64_t cached = 0;          // freed, and not yet given back
    int64_t pooled = 0;          // freed, and kept by pools of captures
    int64_t peak_reserved = 0;   // since the last reset
    int64_t n_allocations = 0;
    int64_t n_shortages = 0;  // allocations that did not fit

    int64_t reserved() const { return allocated + cached + pooled; }
};

Usage usage(DeviceIndex device);
void set_total(DeviceIndex device, int64_t bytes);
void set_limit(DeviceIndex device, int64_t bytes);
void reset_peaks(DeviceIndex device);
void empty_caches();

// Whether a lack of memory in a capture breaks it and is said with the words of that, as some
// versions of torch do, and not with an OutOfMemoryError.
void set_capture_breaks_without_memory(bool breaks);

// Fills memory with what is NaN in every floating type, and absurd in all others.
void poison(void* data, size_t n_bytes);

// The memory of one or several captures. What is freed serves the next allocation of a capture, and
// all of it lives as long as a graph or a tensor in it.
class Pool {
  public:
    explicit Pool(DeviceIndex device) : device_(device) {}
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    void* take(size_t n_bytes);
    void give_back(void* data);
    void poison_all();
    int64_t n_bytes() const;

  private:
    DeviceIndex device_;
    std::map<void*, size_t> sizes_;
    std::multimap<size_t, void*> free_;
};

// Of the tensors of all devices; allocates on the current one.
c10::Allocator* allocator();

// What a kernel has returned on the host, as memory of a device.
c10::Storage adopt(const c10::Storage& on_host, DeviceIndex device);

// Whether memory belongs to a pool.
bool is_in(const c10::Storage& storage, const Pool& pool);

}  // namespace fake_cuda
