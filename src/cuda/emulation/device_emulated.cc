#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "base/error.h"
#include "cuda/device.h"
#include "cuda/emulation/emulation.h"

namespace blockformer::cuda {
namespace {

constexpr int kDevices = 2;
constexpr int64_t kMemoryBytes = int64_t{4} << 30;  // of each
constexpr int64_t kAlignment = 256;
constexpr int64_t kGuard = 256;
constexpr int kPoisonByte = 0xFF;  // NaNs; a number that a kernel forgets to write shows

thread_local int current_device = 0;

// What is allocated, so that guards can be checked.
struct Allocations {
  std::mutex mutex;
  std::map<void*, std::pair<int64_t, int>> sizes;  // bytes and device
  int64_t used[kDevices] = {};
};

Allocations& AllAllocations() {
  static Allocations* allocations = new Allocations;  // freed buffers may outlive static objects
  return *allocations;
}

void CheckGuard(const void* memory, int64_t bytes) {
  const auto* guard = static_cast<const unsigned char*>(memory) + bytes;
  for (int64_t i = 0; i < kGuard; ++i) {
    if (guard[i] == kPoisonByte) continue;
    std::fprintf(stderr, "emulation: byte %lld behind a buffer of %lld bytes was written\n",
                 static_cast<long long>(i), static_cast<long long>(bytes));
    std::abort();
  }
}

using Work = std::function<void()>;

struct EmulatedStream {
  std::deque<Work> queue;
  int64_t done = 0;  // pieces of work so far
  bool captures = false;
  std::vector<Work> captured;

  int64_t end() const { return done + static_cast<int64_t>(queue.size()); }

  void RunTo(int64_t place) {
    while (done < place) {
      const Work work = std::move(queue.front());
      queue.pop_front();
      ++done;
      work();
    }
  }
};

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  int64_t place = 0;
};

EmulatedStream* StreamOf(void* handle) { return static_cast<EmulatedStream*>(handle); }

}  // namespace

void emulation::Enqueue(void* stream, Work work) {
  EmulatedStream* target = StreamOf(stream);
  if (target->captures) {
    target->captured.push_back(std::move(work));
  } else {
    target->queue.push_back(std::move(work));
  }
}

void emulation::CheckAllBuffers() {
  Allocations& all = AllAllocations();
  const std::lock_guard lock(all.mutex);
  for (const auto& [memory, size] : all.sizes) CheckGuard(memory, size.first);
}

int DeviceCount() { return kDevices; }
std::string DeviceName(int device) { return "emulated device " + std::to_string(device); }

void UseDevice(int device) {
  Require(device >= 0 && device < kDevices, ErrorCode::kUnsupported,
          "there is no emulated device {}", device);
  current_device = device;
}

int64_t FreeMemoryBytes() {
  Allocations& all = AllAllocations();
  const std::lock_guard lock(all.mutex);
  return kMemoryBytes - all.used[current_device];
}

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  Allocations& all = AllAllocations();
  const std::lock_guard lock(all.mutex);
  Require(bytes <= kMemoryBytes - all.used[current_device], ErrorCode::kExhausted,
          "{} MB of the GPU's memory cannot be had; a smaller `batch` or `max_length` takes less",
          bytes / 1'000'000);
  const int64_t whole = (bytes + kGuard + kAlignment - 1) / kAlignment * kAlignment;
  memory_.reset(std::aligned_alloc(kAlignment, whole));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(memory_.get(), kPoisonByte, whole);
  all.sizes[memory_.get()] = {bytes, current_device};
  all.used[current_device] += bytes;
}

void Buffer::Free::operator()(void* memory) const {
  Allocations& all = AllAllocations();
  const std::lock_guard lock(all.mutex);
  const auto found = all.sizes.find(memory);
  if (found != all.sizes.end()) {
    CheckGuard(memory, found->second.first);
    all.used[found->second.second] -= found->second.first;
    all.sizes.erase(found);
  }
  std::free(memory);
}

PinnedBuffer::PinnedBuffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const int64_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  memory_.reset(std::aligned_alloc(kAlignment, whole));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(memory_.get(), kPoisonByte, whole);
}

void PinnedBuffer::Free::operator()(void* memory) const { std::free(memory); }

Stream::Stream(int64_t scratch_bytes) : handle_(new EmulatedStream), scratch_(scratch_bytes) {}

Stream::~Stream() {
  EmulatedStream* stream = StreamOf(handle_);
  stream->RunTo(stream->end());
  delete stream;
}

void Stream::CopyToDevice(void* device, const void* host, int64_t bytes) {
  emulation::Enqueue(handle_, [=] { std::memcpy(device, host, bytes); });
}

void Stream::CopyToHost(void* host, const void* device, int64_t bytes) {
  emulation::Enqueue(handle_, [=] { std::memcpy(host, device, bytes); });
}

void Stream::Fill(void* device, uint8_t byte, int64_t bytes) {
  emulation::Enqueue(handle_, [=] { std::memset(device, byte, bytes); });
}

void Stream::Wait() { StreamOf(handle_)->RunTo(StreamOf(handle_)->end()); }

void Stream::BeginCapture() {
  Require(!StreamOf(handle_)->captures, ErrorCode::kInternal, "a capture is under way");
  StreamOf(handle_)->captures = true;
}

Graph Stream::EndCapture() {
  EmulatedStream* stream = StreamOf(handle_);
  Require(stream->captures, ErrorCode::kInternal, "no capture is under way");
  stream->captures = false;
  auto works = std::make_shared<std::vector<Work>>(std::move(stream->captured));
  stream->captured.clear();
  return Graph(std::move(works));
}

void Stream::Launch(const Graph& graph) {
  const auto* works = static_cast<const std::vector<Work>*>(graph.handle());
  for (const Work& work : *works) emulation::Enqueue(handle_, work);
}

Event::Event() : handle_(new EmulatedEvent) {}
Event::~Event() { delete static_cast<EmulatedEvent*>(handle_); }

void Event::Record(Stream* stream) {
  auto* event = static_cast<EmulatedEvent*>(handle_);
  event->stream = StreamOf(stream->handle());
  event->place = event->stream->end();
}

void Event::Wait() {
  auto* event = static_cast<EmulatedEvent*>(handle_);
  if (event->stream != nullptr) event->stream->RunTo(event->place);
}

void CheckLaunch(const char*) {}

}  // namespace blockformer::cuda
