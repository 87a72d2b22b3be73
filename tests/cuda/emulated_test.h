#ifndef BLOCKFORMER_TESTS_CUDA_EMULATED_TEST_H_
#define BLOCKFORMER_TESTS_CUDA_EMULATED_TEST_H_

#include <gtest/gtest.h>

#include <string>

#include "cuda/emulation/emulation.h"

namespace blockformer::cuda {

// A test that runs once in each order of warps, and looks behind all buffers at its end.
class OrderTest : public testing::TestWithParam<emulation::Order> {
 protected:
  OrderTest() { emulation::SetOrder(GetParam()); }
  ~OrderTest() override {
    emulation::CheckAllBuffers();
    emulation::SetOrder(emulation::Order::kForward);
  }
};

inline auto BothOrders() {
  return testing::Values(emulation::Order::kForward, emulation::Order::kBackward);
}
inline std::string OrderName(const testing::TestParamInfo<emulation::Order>& test) {
  return test.param == emulation::Order::kForward ? "Forward" : "Backward";
}

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_TESTS_CUDA_EMULATED_TEST_H_
