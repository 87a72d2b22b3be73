#include "cpu/embedding_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/half.h"

namespace blockformer {
namespace {

constexpr int64_t kMinRowNumbersPerThread = 1 << 14;
constexpr float kLeastBeyondHalves = 65520;  // rounds to infinity

}  // namespace

EmbeddingTable::EmbeddingTable(const ReadWeights& read, const std::string& name, int64_t width)
    : width_(width) {
  std::vector<float> values = read(name);
  if (read.type == NumberType::kF32) {
    floats_ = std::move(values);
    return;
  }
  const auto too_large = std::ranges::find_if(
      values, [](float value) { return std::fabs(value) >= kLeastBeyondHalves; });
  Require(too_large == values.end(), ErrorCode::kUnsupported,
          "{}: element {} is {}, too large for f16, as tables are beside weights of bf16 or int8; "
          "weights of f32 keep it",
          name, too_large - values.begin(), too_large == values.end() ? 0 : *too_large);
  halves_.resize(values.size());
  ToHalves(values.data(), static_cast<int64_t>(values.size()), halves_.data());
}

void EmbeddingTable::Copy(const int32_t* ids, int64_t count, float* out) const {
  ParallelFor(count, kMinRowNumbersPerThread / width_ + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = ids[i] * width_;
      if (halves_.empty()) {
        std::copy_n(floats_.data() + row, width_, out + i * width_);
      } else {
        FromHalves(halves_.data() + row, width_, out + i * width_);
      }
    }
  });
}

}  // namespace blockformer
