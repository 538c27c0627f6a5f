#include "captures.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "errors.h"
#include "generators.h"
#include "operations.h"

namespace fake_cuda {
namespace {

using StreamKey = std::pair<DeviceIndex, c10::StreamId>;

std::mutex mutex;
std::map<StreamKey, std::shared_ptr<Capture>> captures;
std::map<Graph::PoolId, std::weak_ptr<Pool>> pools;
std::atomic<int> n_captures{0};
std::atomic<uint64_t> last_pool{0};
std::atomic<long> replays{0};

StreamKey key_of(c10::Stream stream) { return {stream.device_index(), stream.id()}; }

void forget_capture(const std::shared_ptr<Capture>& capture) {
    std::lock_guard<std::mutex> guard(mutex);
    n_captures -= static_cast<int>(
        std::erase_if(captures, [&](const auto& entry) { return entry.second == capture; }));
}

std::shared_ptr<Pool> pool_with(Graph::PoolId id, DeviceIndex device) {
    std::lock_guard<std::mutex> guard(mutex);
    std::shared_ptr<Pool> found = pools[id].lock();
    if (!found) pools[id] = found = std::make_shared<Pool>(device);
    return found;
}

}  // namespace

Place::Place(const at::Tensor& tensor, const Pool& pool)
    : data_(tensor.storage().mutable_data()),
      n_bytes_(tensor.storage().nbytes()),
      sizes_(tensor.sizes().vec()),
      strides_(tensor.strides().vec()),
      offset_(tensor.storage_offset()),
      type_(tensor.dtype()),
      is_conjugate_(tensor.is_conj()),
      is_negative_(tensor.is_neg()) {
    const bool is_outside = n_bytes_ > 0 && !is_in(tensor.storage(), pool);
    if (is_outside) owner_ = tensor.storage().getWeakStorageImpl();
}

at::Tensor Place::on_host() const {
    TORCH_CHECK(
        !owner_ || !owner_->expired(),
        "a CUDA graph is replayed that reads or writes memory which was freed since its capture");
    c10::DataPtr pointer(data_, c10::Device(c10::DeviceType::CPU));
    c10::Storage storage(c10::Storage::use_byte_size_t(), n_bytes_, std::move(pointer),
                         c10::GetAllocator(c10::kCPU), true);
    at::Tensor found = at::detail::make_tensor<c10::TensorImpl>(
        std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), type_);
    found.unsafeGetTensorImpl()->set_sizes_and_strides(sizes_, strides_, offset_);
    if (is_conjugate_) found._set_conj(true);
    if (is_negative_) found._set_neg(true);
    return found;
}

Capture::Capture(c10::Stream stream, std::shared_ptr<Pool> pool)
    : stream_(stream),
      pool_(std::move(pool)),
      generator_(default_generator(stream.device_index())),
      generator_state_(generator_.get_state()) {}

void Capture::keep(const at::Tensor& tensor) {
    const c10::Storage& storage = tensor.storage();
    c10::StorageImpl* key = storage.unsafeGetStorageImpl();
    const auto known = kept_.find(key);
    const bool is_known = known != kept_.end() && !known->second.owner.expired();
    if (is_known || is_in(storage, *pool_)) return;
    const char* data = static_cast<const char*>(storage.data());
    kept_.insert_or_assign(key,
                           Kept{storage.getWeakStorageImpl(), {data, data + storage.nbytes()}});
}

std::vector<Note> Capture::end() {
    for (auto& [key, kept] : kept_) {
        if (auto owner = kept.owner.lock()) {
            std::memcpy(owner->mutable_data(), kept.bytes.data(), kept.bytes.size());
        }
    }
    pool_->poison_all();
    generator_.set_state(generator_state_);
    return std::move(notes_);
}

std::shared_ptr<Capture> capture_of(c10::Stream stream) {
    if (n_captures == 0) return nullptr;
    std::lock_guard<std::mutex> guard(mutex);
    const auto found = captures.find(key_of(stream));
    return found == captures.end() ? nullptr : found->second;
}

std::shared_ptr<Pool> pool_of_capture(c10::Stream stream) {
    const std::shared_ptr<Capture> capture = capture_of(stream);
    return capture ? capture->pool() : nullptr;
}

bool is_any_capturing() { return n_captures > 0; }

void join_capture(c10::Stream stream, const std::shared_ptr<Capture>& capture) {
    std::lock_guard<std::mutex> guard(mutex);
    n_captures += captures.emplace(key_of(stream), capture).second;
}

bool break_capture(c10::Stream stream) {
    const std::shared_ptr<Capture> capture = capture_of(stream);
    if (capture) capture->break_it();
    return capture != nullptr;
}

void forbid_in_capture(c10::Stream stream, bool of_any_stream) {
    bool is_capturing = break_capture(stream);
    if (of_any_stream && n_captures > 0) {
        std::lock_guard<std::mutex> guard(mutex);
        for (auto& [key, capture] : captures) {
            if (key.first != stream.device_index()) continue;
            capture->break_it();
            is_capturing = true;
        }
    }
    if (is_capturing) raise(kCaptureUnsupported);
}

Graph::~Graph() {
    if (capture_) forget_capture(capture_);
}

void Graph::capture_begin(std::optional<PoolId> pool, const std::string& error_mode) {
    (void)error_mode;
    TORCH_CHECK(!is_captured_ && !capture_,
                "This CUDAGraph instance already owns a captured graph. "
                "To capture a new graph, create a new instance.");
    const c10::Stream stream = current_stream(current_device());
    TORCH_CHECK(
        stream.id() != 0,
        "CUDA graphs must be captured on a non-default stream. (However, after capture, it's "
        "ok to replay them on the default stream.)");
    open_context(stream.device_index());
    pool_id_ = pool.value_or(new_pool_id());
    pool_ = pool_with(pool_id_, stream.device_index());
    capture_ = std::make_shared<Capture>(stream, pool_);
    join_capture(stream, capture_);
}

void Graph::capture_end() {
    TORCH_CHECK(capture_, "there is no capture to end");
    const std::shared_ptr<Capture> capture = std::move(capture_);
    capture_ = nullptr;
    forget_capture(capture);
    notes_ = capture->end();
    if (capture->is_broken()) {
        notes_.clear();
        raise(kCaptureInvalidated);
    }
    is_captured_ = true;
    stream_ = capture->stream();
}

void Graph::replay() {
    TORCH_CHECK(is_captured_, "Called CUDAGraph::replay without a preceding successful capture.");
    OnDevice guard(stream_->device_index());
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    replays++;
    for (const Note& note : notes_) run_again(note);
}

void Graph::reset() {
    notes_.clear();
    pool_ = nullptr;
    is_captured_ = false;
}

Graph::PoolId Graph::pool() const {
    TORCH_CHECK(is_captured_, "Called CUDAGraph::pool() without a preceding successful capture.");
    return pool_id_;
}

Graph::PoolId new_pool_id() { return {0, ++last_pool}; }

long n_replays() { return replays; }

}  // namespace fake_cuda
