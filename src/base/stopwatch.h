#ifndef BLOCKFORMER_BASE_STOPWATCH_H_
#define BLOCKFORMER_BASE_STOPWATCH_H_

#include <chrono>

namespace blockformer {

// Measures time from when it is made, whatever becomes of the machine's clock.
class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_STOPWATCH_H_
