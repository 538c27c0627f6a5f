// Captures of CUDA graphs: what is launched meanwhile is noted, and runs when the graph is
// replayed.
//
// The shapes of results must be known while a capture goes on, so the work is done in fact, and
// undone at its end: memory from outside gets back what it held, memory of the capture is
// poisoned. In between nobody can tell, since all that would show a value is an error in a capture.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/Stream.h>

#include <memory>
#include <vector>

#include "memory.h"
#include "streams.h"

namespace fake_cuda {

// Where the values of a tensor lie. It keeps no memory alive, as a graph of CUDA does not.
class Place {
  public:
    Place(const at::Tensor& tensor, const Pool& pool);
    // A tensor on the host, of the same memory. Raises if that was freed.
    at::Tensor on_host() const;

  private:
    void* data_;
    size_t n_bytes_;
    std::vector<int64_t> sizes_, strides_;
    int64_t offset_;
    caffe2::TypeMeta type_;
    bool is_conjugate_, is_negative_;
    // Of memory outside the pool, which others may free.
    std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> owner_;
};

// One launch: an operation, its arguments, and where its results go.
struct Note {
    c10::OperatorHandle operation;
    std::vector<c10::IValue> arguments;        // tensors of the device stand in them as undefined
    std::vector<std::optional<Place>> inputs;  // of each tensor in the arguments, in their order
    std::vector<std::optional<Place>>
        results;  // of each tensor returned; none of an argument itself
};

class Capture {
  public:
    Capture(c10::Stream stream, std::shared_ptr<Pool> pool);

    c10::Stream stream() const { return stream_; }
    const std::shared_ptr<Pool>& pool() const { return pool_; }
    bool is_broken() const { return is_broken_; }
    void break_it() { is_broken_ = true; }

    // Keeps what outside memory holds, before the capture's work changes it.
    void keep(const at::Tensor& tensor);
    void add(Note note) { notes_.push_back(std::move(note)); }
    // Undoes the work, and returns the notes of it.
    std::vector<Note> end();

  private:
    struct Kept {
        c10::weak_intrusive_ptr<c10::StorageImpl> owner;
        std::vector<char> bytes;
    };

    c10::Stream stream_;
    std::shared_ptr<Pool> pool_;
    bool is_broken_ = false;
    std::vector<Note> notes_;
    std::map<c10::StorageImpl*, Kept> kept_;
    at::Generator generator_;  // of the device, and its state before the capture
    at::Tensor generator_state_;
};

// The capture that a stream is part of, if any.
std::shared_ptr<Capture> capture_of(c10::Stream stream);
std::shared_ptr<Pool> pool_of_capture(c10::Stream stream);
bool is_any_capturing();
// Lets a stream that waits for a capturing one be part of that capture.
void join_capture(c10::Stream stream, const std::shared_ptr<Capture>& capture);
// Returns whether there was one.
bool break_capture(c10::Stream stream);
// Raises in a capture, and breaks it.
void forbid_in_capture(c10::Stream stream, bool of_any_stream);

// What torch.cuda.CUDAGraph stands on.
class Graph {
  public:
    using PoolId = std::pair<uint64_t, uint64_t>;

    explicit Graph(bool keep_graph) { (void)keep_graph; }
    ~Graph();

    void capture_begin(std::optional<PoolId> pool, const std::string& error_mode);
    void capture_end();
    void replay();
    void reset();
    PoolId pool() const;
    long n_notes() const { return static_cast<long>(notes_.size()); }

  private:
    std::shared_ptr<Capture> capture_;
    std::shared_ptr<Pool> pool_;
    PoolId pool_id_{0, 0};
    std::optional<c10::Stream> stream_;
    std::vector<Note> notes_;
    bool is_captured_ = false;
};

Graph::PoolId new_pool_id();
long n_replays();

}  // namespace fake_cuda
