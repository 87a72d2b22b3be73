#ifndef BLOCKFORMER_CUDA_DEVICE_H_
#define BLOCKFORMER_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

// Memory, streams, events and graphs of a device, in the terms of CUDA's runtime. There are two
// implementations: device_cuda.cc calls the runtime, and emulation/device_emulated.cc is a twin on
// the host, which carries out a stream's work no earlier than somebody waits for it. All functions
// throw Error: kExhausted if memory cannot be had, kUnsupported for what else the device refuses.
namespace blockformer::cuda {

int DeviceCount();
std::string DeviceName(int device);
// Makes a device this thread's current one, which everything below is made on and belongs to.
void UseDevice(int device);
// Memory of the current device that is free now.
int64_t FreeMemoryBytes();

// Memory of the device; its contents are arbitrary at first. Aligned to 256 bytes.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes);

  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  int64_t bytes_ = 0;
  std::unique_ptr<void, Free> memory_;
};

template <typename T>
class Array {
 public:
  Array() = default;
  explicit Array(int64_t size) : size_(size), buffer_(size * static_cast<int64_t>(sizeof(T))) {}

  T* data() const { return static_cast<T*>(buffer_.data()); }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
  Buffer buffer_;
};

// Memory of the host that the device copies from and to while the host goes on.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(int64_t bytes);

  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  int64_t bytes_ = 0;
  std::unique_ptr<void, Free> memory_;
};

// Launches that were recorded once and are carried out again as a whole. What varies between them
// lies in device memory.
class Graph {
 public:
  Graph() = default;
  explicit Graph(std::shared_ptr<void> handle) : handle_(std::move(handle)) {}

  void* handle() const { return handle_.get(); }

 private:
  std::shared_ptr<void> handle_;
};

// A queue of work for the device, carried out in order. What a copy reads or writes on the host has
// to stay until it is done. Not thread-safe.
class Stream {
 public:
  // Work in the stream may use `scratch_bytes` of memory while it runs.
  explicit Stream(int64_t scratch_bytes = 0);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void CopyToDevice(void* device, const void* host, int64_t bytes);
  void CopyToHost(void* host, const void* device, int64_t bytes);
  // Sets all bytes.
  void Fill(void* device, uint8_t byte, int64_t bytes);
  // Until everything so far is done. Throws Error(kInternal) for what went wrong in it.
  void Wait();

  // What is queued between these two is recorded, not carried out.
  void BeginCapture();
  Graph EndCapture();
  void Launch(const Graph& graph);

  void* handle() const { return handle_; }  // a cudaStream_t
  const Buffer& scratch() const { return scratch_; }

 private:
  void* handle_;
  Buffer scratch_;
};

// A place in a stream's work.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Record(Stream* stream);
  // Until all that was queued before is done.
  void Wait();

 private:
  void* handle_;
};

// Throws Error(kInternal) that names the kernel if the launch before was refused.
void CheckLaunch(const char* kernel);

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_DEVICE_H_
