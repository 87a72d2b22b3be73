#ifndef BLOCKFORMER_TESTS_WAIT_UNTIL_H_
#define BLOCKFORMER_TESTS_WAIT_UNTIL_H_

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

namespace blockformer {

// Polls until the condition holds; fails the test after a minute.
[[nodiscard]] inline bool WaitUntil(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "waited for a minute in vain";
  return false;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_WAIT_UNTIL_H_
