#ifndef BLOCKFORMER_CUDA_EMULATION_EMULATION_H_
#define BLOCKFORMER_CUDA_EMULATION_EMULATION_H_

// Emulates CUDA's threads on the host, for sources that g++ compiles in nvcc's place. A kernel's
// threads are fibers of one thread of the host. One warp after the other runs to its next barrier
// of the block, its lanes one after the other, so that a missing barrier shows in one of both
// orders. Shared memory is filled with NaNs before each block, and guarded behind. Whatever would
// be undefined on a device ends the process with a message: lanes that wait at different barriers,
// a block that is left while others wait, a launch out of range, a write behind shared memory.
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <string>

#include "cuda/device.h"

namespace blockformer::cuda::emulation {

struct Index {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

// The order in which warps, and the lanes of a warp, run.
enum class Order { kForward, kBackward };
void SetOrder(Order order);
Order GetOrder();

// The fiber that runs, for kernels.
inline thread_local Index thread_index;
inline thread_local Index block_index;
inline thread_local Index block_size;
inline thread_local Index grid_size;

// Runs a kernel's body for every thread of the grid, now.
void RunGrid(const char* kernel, Index grid, Index block, const std::function<void()>& body);
// Queues work that would be the device's.
void Enqueue(void* stream, std::function<void()> work);

// The block's shared memory: the same for all its threads.
void* SharedMemory(size_t bytes);
// Ends the process if something was written behind a buffer of the device.
void CheckAllBuffers();

enum class Barrier { kWarp, kBlock };
void Wait(Barrier barrier, unsigned line);
unsigned Lane();
// Hands `bits` to all lanes of the warp, and returns those of `lane`.
uint64_t Exchange(uint64_t bits, unsigned lane, unsigned line);

template <typename T>
T Shuffle(T value, unsigned lane, unsigned line) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = Exchange(bits, lane % 32, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Counts of what kernels and products did since the last call of ResetCounts().
struct Counts {
  int64_t launches = 0;
  int64_t products = 0;
  double product_flops = 0;
  double cache_bytes = 0;  // read by attention over pages
};
Counts& CountsSoFar();

}  // namespace blockformer::cuda::emulation

#endif  // BLOCKFORMER_CUDA_EMULATION_EMULATION_H_
