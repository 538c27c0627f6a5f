#include "memory.h"

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>

#include "captures.h"
#include "errors.h"

namespace fake_cuda {
namespace {

constexpr size_t kBlockBytes = 512;
constexpr uint16_t kPoison = 0x7FFD;  // in any number of 2, 4 or 8 bytes a NaN, or near the largest
constexpr double kMebibyte = 1 << 20;

std::recursive_mutex mutex;
std::array<Usage, kMostDevices> usages;
std::atomic<bool> capture_breaks_without_memory{false};

size_t rounded(size_t n_bytes) { return (n_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

// What lies in the context of the DataPtr of a tensor.
struct Block {
    DeviceIndex device;
    void* data;
    size_t n_bytes;
    std::shared_ptr<Pool> pool;        // of a capture
    std::optional<c10::Storage> host;  // that the memory was adopted from
};

void note_peaks(Usage& usage) {
    usage.peak_allocated = std::max(usage.peak_allocated, usage.allocated);
    usage.peak_reserved = std::max(usage.peak_reserved, usage.reserved());
}

[[noreturn]] void raise_out_of_memory(DeviceIndex device, size_t n_bytes) {
    if (capture_breaks_without_memory && break_capture(current_stream(device))) {
        raise(kCaptureInvalidated);
    }
    const Usage& usage = usages.at(device);
    TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ",
                     n_bytes / kMebibyte, " MiB. GPU ", int(device), " has a total capacity of ",
                     usage.total / kMebibyte, " MiB of which ",
                     (usage.total - usage.reserved()) / kMebibyte, " MiB is free. (a fake GPU)");
}

// Counts memory that a device is about to hold, or raises.
void reserve(DeviceIndex device, size_t n_bytes) {
    const int64_t n = static_cast<int64_t>(n_bytes);
    std::lock_guard<std::recursive_mutex> guard(mutex);
    Usage& usage = usages.at(device);
    if (usage.allocated + usage.pooled + n > std::min(usage.limit, usage.total)) {
        usage.n_shortages++;
        raise_out_of_memory(device, n_bytes);
    }
    usage.n_allocations++;
    usage.allocated += n;
    usage.cached -= std::min(usage.cached, n);
    // As much of the cache as no longer fits beside what is allocated was given back for it.
    usage.cached = std::min(usage.cached, usage.total - usage.allocated - usage.pooled);
    note_peaks(usage);
}

void release(DeviceIndex device, size_t n_bytes) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    usages.at(device).allocated -= static_cast<int64_t>(n_bytes);
    usages.at(device).cached += static_cast<int64_t>(n_bytes);
}

// Memory of a pool goes from one count to another when it is freed, and back when it is used again.
void move_to_pooled(DeviceIndex device, int64_t n_bytes) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    Usage& usage = usages.at(device);
    usage.allocated -= n_bytes;
    usage.pooled += n_bytes;
    note_peaks(usage);
}

void* take_from_host(size_t n_bytes) {
    void* data = std::aligned_alloc(kBlockBytes, n_bytes);
    TORCH_CHECK(data != nullptr, "no memory on the host for ", n_bytes, " bytes of a fake GPU");
    poison(data, n_bytes);
    return data;
}

void free_block(void* context) {
    std::unique_ptr<Block> block(static_cast<Block*>(context));
    if (block->pool) {
        block->pool->give_back(block->data);
        return;
    }
    release(block->device, block->n_bytes);
    if (!block->host) std::free(block->data);
}

c10::DataPtr pointer_to(std::unique_ptr<Block> block) {
    const c10::Device device = cuda(block->device);
    void* data = block->data;
    return {data, block.release(), &free_block, device};
}

class Allocator final : public c10::Allocator {
  public:
    c10::DataPtr allocate(size_t n_bytes) override {
        const DeviceIndex device = current_device();
        open_context(device);
        if (n_bytes == 0) return {nullptr, nullptr, &c10::detail::deleteNothing, cuda(device)};
        const size_t n = rounded(n_bytes);
        if (std::shared_ptr<Pool> pool = pool_of_capture(current_stream(device))) {
            void* data = pool->take(n);
            return pointer_to(std::make_unique<Block>(Block{device, data, n, pool, {}}));
        }
        reserve(device, n);
        return pointer_to(std::make_unique<Block>(Block{device, take_from_host(n), n, {}, {}}));
    }
    c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
    void copy_data(void* to, const void* from, size_t n_bytes) const override {
        std::memcpy(to, from, n_bytes);
    }
};

Allocator the_allocator;
REGISTER_ALLOCATOR(c10::DeviceType::CUDA, &the_allocator);

}  // namespace

Usage usage(DeviceIndex device) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    return usages.at(device);
}

void set_total(DeviceIndex device, int64_t bytes) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    usages.at(device).total = bytes;
}

void set_limit(DeviceIndex device, int64_t bytes) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    usages.at(device).limit = bytes;
}

void reset_peaks(DeviceIndex device) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    usages.at(device).peak_allocated = 0;
    usages.at(device).peak_reserved = 0;
    note_peaks(usages.at(device));
}

void empty_caches() {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    for (Usage& each : usages) each.cached = 0;
}

void set_capture_breaks_without_memory(bool breaks) { capture_breaks_without_memory = breaks; }

void poison(void* data, size_t n_bytes) {
    auto* bytes = static_cast<unsigned char*>(data);
    for (size_t i = 0; i < n_bytes; i++) bytes[i] = (i % 2 ? kPoison >> 8 : kPoison) & 0xFF;
}

Pool::~Pool() {
    for (auto& [data, n_bytes] : sizes_) std::free(data);
    std::lock_guard<std::recursive_mutex> guard(mutex);
    usages.at(device_).pooled -= n_bytes();
    usages.at(device_).cached += n_bytes();
}

void* Pool::take(size_t n_bytes) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    const auto found = free_.lower_bound(n_bytes);
    if (found == free_.end() || found->first >= 2 * n_bytes) {  // a large one is not wasted
        reserve(device_, n_bytes);
        void* data = take_from_host(n_bytes);
        sizes_[data] = n_bytes;
        return data;
    }
    void* data = found->second;
    move_to_pooled(device_, -static_cast<int64_t>(found->first));
    poison(data, found->first);
    free_.erase(found);
    return data;
}

void Pool::give_back(void* data) {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    const size_t n_bytes = sizes_.at(data);
    free_.emplace(n_bytes, data);
    move_to_pooled(device_, static_cast<int64_t>(n_bytes));
}

void Pool::poison_all() {
    std::lock_guard<std::recursive_mutex> guard(mutex);
    for (auto& [data, n_bytes] : sizes_) poison(data, n_bytes);
}

int64_t Pool::n_bytes() const {
    int64_t sum = 0;
    for (auto& [data, n_bytes] : sizes_) sum += static_cast<int64_t>(n_bytes);
    return sum;
}

c10::Allocator* allocator() { return &the_allocator; }

c10::Storage adopt(const c10::Storage& on_host, DeviceIndex device) {
    const size_t n_bytes = on_host.nbytes();
    OnDevice guard(device);
    if (n_bytes == 0 || pool_of_capture(current_stream(device))) {
        // A capture keeps addresses, so that the memory must be its pool's own.
        c10::DataPtr copy = the_allocator.allocate(n_bytes);
        if (n_bytes) std::memcpy(copy.get(), on_host.data(), n_bytes);
        return c10::Storage(c10::Storage::use_byte_size_t(), n_bytes, std::move(copy),
                            &the_allocator, true);
    }
    const size_t n = rounded(n_bytes);
    reserve(device, n);
    auto block = std::make_unique<Block>(Block{device, on_host.mutable_data(), n, {}, on_host});
    return c10::Storage(c10::Storage::use_byte_size_t(), n_bytes, pointer_to(std::move(block)),
                        &the_allocator, true);
}

bool is_in(const c10::Storage& storage, const Pool& pool) {
    const c10::DataPtr& pointer = storage.data_ptr();
    if (pointer.get_deleter() != &free_block) return false;
    return static_cast<Block*>(pointer.get_context())->pool.get() == &pool;
}

}  // namespace fake_cuda
