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

EmbeddingTable::EmbeddingTable(const ReadWeights& read, const std::string& name, int64_t width) {
  std::vector<float> values = read(name);
  if (read.type == NumberType::kF32) {
    floats_ = {std::move(values), width};
    return;
  }
  const auto too_large = std::ranges::find_if(
      values, [](float value) { return std::fabs(value) >= kLeastBeyondHalves; });
  Require(too_large == values.end(), ErrorCode::kUnsupported,
          "{}: element {} is {}, too large for f16, as tables are beside weights of bf16 or int8; "
          "weights of f32 keep it",
          name, too_large - values.begin(), too_large == values.end() ? 0 : *too_large);
  halves_.Resize(std::ssize(values) / width, width);
  ToHalves(values.data(), std::ssize(values), halves_.data());
}

void EmbeddingTable::Copy(std::span<const int32_t> ids, MatrixView<float> out) const {
  const int64_t grain = kMinRowNumbersPerThread / out.columns() + 1;
  ParallelFor(std::ssize(ids), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) CopyRow(ids[i], out.Row(i));
  });
}

void EmbeddingTable::CopyRow(int32_t id, std::span<float> out) const {
  if (halves_.empty()) {
    std::ranges::copy(floats_.Row(id), out.begin());
  } else {
    FromHalves(halves_.Row(id).data(), std::ssize(out), out.data());
  }
}

}  // namespace blockformer
