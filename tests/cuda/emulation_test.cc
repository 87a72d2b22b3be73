// The emulation itself: it ends the process for what a device would not define, and its streams do
// nothing before somebody waits.
#include "cuda/emulation/emulation.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/lane.h"
#include "tests/cuda/device_data.h"
#include "tests/cuda/emulated_test.h"

namespace blockformer::cuda {
namespace {

struct TestShared {
  float numbers[64];
};

__global__ void Reverse(float* x, bool waits) {
  BLOCKFORMER_SHARED(TestShared, shared);
  shared.numbers[threadIdx.x] = x[threadIdx.x];
  if (waits) __syncthreads();
  x[threadIdx.x] = shared.numbers[63 - threadIdx.x];
}

__global__ void WaitsApart() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void LeavesEarly() {
  if (threadIdx.x == 40) return;
  __syncthreads();
}
__global__ void LanesApart(int* x) {
  if (threadIdx.x < 16) *x = __shfl_xor_sync(~0U, 1, 1);
}
__global__ void WritesBehindShared() {
  BLOCKFORMER_SHARED(TestShared, shared);
  (&shared.numbers[0])[threadIdx.x + 1] = 1;
}
__global__ void WritesBehindBuffer(float* x) { x[threadIdx.x + 1] = 1; }

class EmulationTest : public OrderTest {
 protected:
  template <typename... Arguments>
  void RunTwoWarps(Arguments... arguments) {
    Launch("test", &stream_, arguments...);
    stream_.Wait();
  }
  Stream stream_;
};

TEST_P(EmulationTest, AMissingBarrierShows) {
  for (const bool waits : {true, false}) {
    std::vector<float> numbers;
    for (int i = 0; i < 64; ++i) numbers.push_back(static_cast<float>(i));
    const OnDevice<float> x(&stream_, numbers);
    Launch("Reverse", &stream_, Reverse, dim3(1), dim3(64), x.data(), waits);
    std::ranges::reverse(numbers);
    EXPECT_EQ(x.Read(&stream_) == numbers, waits);
  }
}

class EmulationDeathTest : public EmulationTest {};

TEST_P(EmulationDeathTest, EndsTheProcessForWhatIsNotDefined) {
  const OnDevice<float> x(64);
  int result = 0;
  const dim3 one(1);
  const dim3 two_warps(64);
  EXPECT_DEATH(RunTwoWarps(WaitsApart, one, two_warps), "different barriers");
  EXPECT_DEATH(RunTwoWarps(LeavesEarly, one, two_warps), "not at the barrier");
  EXPECT_DEATH(RunTwoWarps(LanesApart, one, two_warps, &result), "not at the barrier");
  EXPECT_DEATH(RunTwoWarps(WritesBehindShared, one, two_warps), "behind its shared memory");
  EXPECT_DEATH(RunTwoWarps(LeavesEarly, one, dim3(48)), "multiple of 32");
  EXPECT_DEATH(RunTwoWarps(LeavesEarly, dim3(1, 70000), two_warps), "out of range");
  EXPECT_DEATH(
      {
        RunTwoWarps(WritesBehindBuffer, one, two_warps, x.data());
        emulation::CheckAllBuffers();
      },
      "behind a buffer");
}

TEST_P(EmulationTest, StreamsDoNothingBeforeSomebodyWaits) {
  const Array<float> x(4);
  std::vector<float> host = {1, 2, 3, 4};
  std::vector<float> back(4, 0);
  stream_.CopyToDevice(x.data(), host.data(), 16);
  Event copied;
  copied.Record(&stream_);
  stream_.CopyToHost(back.data(), x.data(), 16);
  host[0] = 7;
  copied.Wait();
  host[0] = 8;  // too late
  EXPECT_EQ(back[0], 0);
  stream_.Wait();
  EXPECT_EQ(back, (std::vector<float>{7, 2, 3, 4}));
}

TEST_P(EmulationTest, GraphsRepeatTheirLaunches) {
  const OnDevice<float> x(&stream_, RandomFloats(64, 1));
  const std::vector<float> numbers = x.Read(&stream_);
  stream_.BeginCapture();
  Launch("Reverse", &stream_, Reverse, dim3(1), dim3(64), x.data(), true);
  const Graph graph = stream_.EndCapture();
  EXPECT_EQ(x.Read(&stream_), numbers);
  stream_.Launch(graph);
  EXPECT_NE(x.Read(&stream_), numbers);
  stream_.Launch(graph);
  EXPECT_EQ(x.Read(&stream_), numbers);
}

TEST_P(EmulationTest, MemoryEnds) {
  EXPECT_THROW(Buffer(int64_t{1} << 40), Error);
  const int64_t free = FreeMemoryBytes();
  {
    const Buffer buffer(1000);
    EXPECT_EQ(FreeMemoryBytes(), free - 1000);
  }
  EXPECT_EQ(FreeMemoryBytes(), free);
}

INSTANTIATE_TEST_SUITE_P(Orders, EmulationTest, BothOrders(), OrderName);
INSTANTIATE_TEST_SUITE_P(Orders, EmulationDeathTest, BothOrders(), OrderName);

}  // namespace
}  // namespace blockformer::cuda
