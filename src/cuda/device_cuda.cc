#include <cuda_runtime_api.h>

#include "base/error.h"
#include "cuda/device.h"

namespace blockformer::cuda {
namespace {

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const ErrorCode code = status == cudaErrorMemoryAllocation ? ErrorCode::kExhausted
                         : status == cudaErrorNotSupported   ? ErrorCode::kUnsupported
                                                             : ErrorCode::kInternal;
  Fail(code, "CUDA: {}: {}", what, cudaGetErrorString(status));
}

cudaStream_t StreamOf(void* handle) { return static_cast<cudaStream_t>(handle); }

}  // namespace

int DeviceCount() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice) return 0;
  if (status != cudaSuccess) {
    Fail(ErrorCode::kUnsupported, "no CUDA device can be used: {}", cudaGetErrorString(status));
  }
  return count;
}

std::string DeviceName(int device) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, device), "properties of the device");
  return properties.name;
}

void UseDevice(int device) { Check(cudaSetDevice(device), "choice of the device"); }

int64_t FreeMemoryBytes() {
  size_t free = 0;
  size_t total = 0;
  Check(cudaMemGetInfo(&free, &total), "free memory");
  return static_cast<int64_t>(free);
}

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* memory = nullptr;
  if (cudaMalloc(&memory, bytes) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    Fail(ErrorCode::kExhausted,
         "{} MB of the GPU's memory cannot be had; a smaller `batch` or `max_length` takes less",
         bytes / 1'000'000);
  }
  memory_.reset(memory);
}

void Buffer::Free::operator()(void* memory) const { static_cast<void>(cudaFree(memory)); }

PinnedBuffer::PinnedBuffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* memory = nullptr;
  Check(cudaMallocHost(&memory, bytes), "pinned memory");
  memory_.reset(memory);
}

void PinnedBuffer::Free::operator()(void* memory) const { static_cast<void>(cudaFreeHost(memory)); }

Stream::Stream(int64_t scratch_bytes) : scratch_(scratch_bytes) {
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  handle_ = stream;
}

Stream::~Stream() {
  static_cast<void>(cudaStreamSynchronize(StreamOf(handle_)));
  static_cast<void>(cudaStreamDestroy(StreamOf(handle_)));
}

void Stream::CopyToDevice(void* device, const void* host, int64_t bytes) {
  Check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, StreamOf(handle_)),
        "copy to the device");
}

void Stream::CopyToHost(void* host, const void* device, int64_t bytes) {
  Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, StreamOf(handle_)),
        "copy to the host");
}

void Stream::Fill(void* device, uint8_t byte, int64_t bytes) {
  Check(cudaMemsetAsync(device, byte, bytes, StreamOf(handle_)), "fill");
}

void Stream::Wait() { Check(cudaStreamSynchronize(StreamOf(handle_)), "work of the device"); }

void Stream::BeginCapture() {
  Check(cudaStreamBeginCapture(StreamOf(handle_), cudaStreamCaptureModeThreadLocal), "capture");
}

Graph Stream::EndCapture() {
  cudaGraph_t graph = nullptr;
  Check(cudaStreamEndCapture(StreamOf(handle_), &graph), "end of the capture");
  cudaGraphExec_t instance = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&instance, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  Check(status, "graph");
  return Graph(std::shared_ptr<void>(instance, [](void* handle) {
    static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle)));
  }));
}

void Stream::Launch(const Graph& graph) {
  Check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.handle()), StreamOf(handle_)),
        "launch of a graph");
}

Event::Event() {
  cudaEvent_t event = nullptr;
  Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
  handle_ = event;
}

Event::~Event() { static_cast<void>(cudaEventDestroy(static_cast<cudaEvent_t>(handle_))); }

void Event::Record(Stream* stream) {
  Check(cudaEventRecord(static_cast<cudaEvent_t>(handle_), StreamOf(stream->handle())),
        "record of an event");
}

void Event::Wait() {
  Check(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_)), "work of the device");
}

void CheckLaunch(const char* kernel) { Check(cudaGetLastError(), kernel); }

}  // namespace blockformer::cuda
