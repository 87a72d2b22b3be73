// A stack's results do not depend on how its positions are cut into steps, on which of them are
// wanted, and, in bounds, on the type of its weights and of its cache.
#include "cpu/transformer_stack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "base/random.h"
#include "config/parameters.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

constexpr int64_t kPageSize = 16;
constexpr int64_t kSequences = 3;
constexpr int64_t kLength = 37;  // of each: several pages

using Rows = std::vector<std::vector<float>>;

ModelConfig ConfigOf(const std::string& kind) {
  ModelConfig config = TinyVanillaConfig();
  config.decoder = {48, 3, 4, 80, 0.5, 10000, /*parallel_residual=*/kind == "Parallel"};
  if (kind != "SharedKeys") return config;
  config.decoder = TinyModernStack(StackFamily::kLlama, 6, 2);
  config.decoder.num_layers = 3;
  return config;
}

Rows RandomRows(int64_t rows, int64_t width) {
  Random random(4);
  Rows x(static_cast<size_t>(rows), std::vector<float>(width));
  for (std::vector<float>& row : x) {
    for (float& value : row) value = static_cast<float>(random.Normal());
  }
  return x;
}

// |a - b| / |b|, over all rows.
double RelativeDifference(const Rows& a, const Rows& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t d = 0; d < a[i].size(); ++d) {
      difference += std::pow(static_cast<double>(a[i][d]) - b[i][d], 2);
      norm += std::pow(b[i][d], 2);
    }
  }
  return std::sqrt(difference / norm);
}

// One thread is quickest at steps this small, above all on a busy machine.
class TransformerStackTest : public testing::TestWithParam<std::string> {
 protected:
  TransformerStackTest()
      : config_(ConfigOf(GetParam())),
        width_(config_.decoder.hidden_size),
        inputs_(RandomRows(kSequences * kLength, width_)),
        threads_(NumThreads()) {
    SetNumThreads(1);
  }
  ~TransformerStackTest() override { SetNumThreads(threads_); }

  TransformerStack MakeStack(NumberType type) const {
    return TransformerStack(config_.decoder, DecoderNames(config_), TinyWeights(config_, type));
  }

  // Runs all sequences side by side, `step` positions at once, of which all or the last alone are
  // wanted. Returns the results of those, by their indices in inputs_; others are empty.
  Rows RunPaged(const TransformerStack& stack, NumberType kv_type, int64_t step,
                bool all_wanted) const {
    const int64_t pages = (kLength + kPageSize - 1) / kPageSize;
    PagedState state(config_.decoder, kv_type, kSequences * pages, kPageSize, kLength);
    std::vector<int32_t> page_lists(kSequences * pages);
    std::iota(page_lists.rbegin(), page_lists.rend(), 0);
    Rows results(inputs_.size());
    for (int64_t first = 0; first < kLength; first += step) {
      const int64_t end = std::min(first + step, kLength);
      std::vector<AttentionRow> rows;
      std::vector<size_t> indices;  // of the rows in inputs_
      std::vector<int64_t> wanted;
      std::vector<float> x;
      for (int64_t sequence = 0; sequence < kSequences; ++sequence) {
        for (int64_t p = first; p < end; ++p) {
          if (all_wanted || p + 1 == end) wanted.push_back(static_cast<int64_t>(rows.size()));
          rows.push_back({page_lists.data() + sequence * pages, p, p, nullptr, false});
          indices.push_back(static_cast<size_t>(sequence * kLength + p));
          x.insert(x.end(), inputs_[indices.back()].begin(), inputs_[indices.back()].end());
        }
      }
      const MatrixView<float> computed = stack.Forward(rows, wanted, {x, width_}, &state);
      EXPECT_EQ(computed.rows(), std::ssize(wanted));
      for (int64_t i = 0; i < computed.rows(); ++i) {
        const std::span<const float> row = computed.Row(i);
        results[indices[wanted[i]]].assign(row.begin(), row.end());
      }
    }
    return results;
  }

  // The same for the sequences as blocks.
  Rows RunInBlock(const TransformerStack& stack, int64_t step, bool all_wanted) const {
    BlockState state(config_.decoder, kSequences, kLength);
    std::vector<int32_t> positions(kLength);
    std::iota(positions.begin(), positions.end(), 0);
    Rows results(inputs_.size());
    for (int64_t first = 0; first < kLength; first += step) {
      const int64_t count = std::min(step, kLength - first);
      const int64_t wanted = all_wanted ? count : 1;
      std::vector<float> x;
      for (int64_t i = 0; i < kSequences * count; ++i) {
        const auto& input = inputs_[i / count * kLength + first + i % count];
        x.insert(x.end(), input.begin(), input.end());
      }
      const MatrixView<float> computed = stack.Forward(
          {kSequences, first, count, wanted, positions.data(), nullptr}, {x, width_}, &state);
      EXPECT_EQ(computed.rows(), kSequences * wanted);
      for (int64_t i = 0; i < computed.rows(); ++i) {
        const int64_t position = first + count - wanted + i % wanted;
        const std::span<const float> row = computed.Row(i);
        results[i / wanted * kLength + position].assign(row.begin(), row.end());
      }
    }
    return results;
  }

  // The results in `all` of the rows that `some` holds; the others are empty.
  static Rows Select(const Rows& all, const Rows& some) {
    Rows selected = all;
    for (size_t i = 0; i < all.size(); ++i) {
      if (some[i].empty()) selected[i].clear();
    }
    return selected;
  }

  const ModelConfig config_;
  const int64_t width_;
  const Rows inputs_;

 private:
  int threads_;
};

TEST_P(TransformerStackTest, Int8RowsAreTheSameHoweverTheyAreCutAndWanted) {
  const TransformerStack stack = MakeStack(NumberType::kInt8);
  for (const NumberType kv_type : {NumberType::kF32, NumberType::kF16, NumberType::kInt8}) {
    const Rows whole = RunPaged(stack, kv_type, kLength, true);
    for (const int64_t step : {int64_t{1}, int64_t{4}, int64_t{7}, kLength}) {
      SCOPED_TRACE(std::string(NumberTypeName(kv_type)) + " in steps of " + std::to_string(step));
      EXPECT_EQ(RunPaged(stack, kv_type, step, true), whole);
      const Rows last = RunPaged(stack, kv_type, step, false);
      EXPECT_EQ(last, Select(whole, last));
    }
  }
  const Rows whole = RunInBlock(stack, kLength, true);
  for (const int64_t step : {int64_t{1}, int64_t{4}, kLength}) {
    EXPECT_EQ(RunInBlock(stack, step, true), whole);
    const Rows last = RunInBlock(stack, step, false);
    EXPECT_EQ(last, Select(whole, last));
  }
}

// Sums of floats depend on the number of rows, by a few roundoffs.
TEST_P(TransformerStackTest, FloatRowsAgreeHoweverTheyAreCutAndWanted) {
  const TransformerStack stack = MakeStack(NumberType::kF32);
  const Rows whole = RunPaged(stack, NumberType::kF32, kLength, true);
  for (const int64_t step : {int64_t{1}, int64_t{4}, int64_t{7}, kLength}) {
    for (const bool all_wanted : {true, false}) {
      const Rows paged = RunPaged(stack, NumberType::kF32, step, all_wanted);
      EXPECT_LE(RelativeDifference(paged, Select(whole, paged)), 1e-5);
      // The other attention kernel.
      EXPECT_LE(RelativeDifference(RunInBlock(stack, step, all_wanted), Select(whole, paged)),
                1e-5);
    }
  }
}

TEST_P(TransformerStackTest, NothingWantedStillFillsTheCache) {
  const TransformerStack stack = MakeStack(NumberType::kInt8);
  PagedState state(config_.decoder, NumberType::kF32, 2, kPageSize, 2);
  const int32_t pages[] = {1, 0};
  for (const bool chunked : {true, false}) {
    std::vector<float> x = inputs_[0];
    if (chunked) {
      stack.Forward({{pages, 0, 0, nullptr, false}}, {}, {x, width_}, &state);
      x = inputs_[1];
      stack.Forward({{pages, 1, 1, nullptr, false}}, {0}, {x, width_}, &state);
    } else {
      x.insert(x.end(), inputs_[1].begin(), inputs_[1].end());
      stack.Forward({{pages, 0, 0, nullptr, false}, {pages, 1, 1, nullptr, false}}, {1},
                    {x, width_}, &state);
    }
    x.resize(width_);
    EXPECT_EQ(x, RunPaged(stack, NumberType::kF32, kLength, true)[1]);
  }
}

// Rounding to a 2^-12th, relative, or to the 254th part of the largest of a head's numbers, which
// three layers pass on and the norms and the sharper attention of large weights amplify.
TEST_P(TransformerStackTest, SmallTypesOfTheCacheGiveCloseResults) {
  const TransformerStack stack = MakeStack(NumberType::kF32);
  const Rows exact = RunPaged(stack, NumberType::kF32, kLength, true);
  const double half = RelativeDifference(RunPaged(stack, NumberType::kF16, kLength, true), exact);
  const double bytes = RelativeDifference(RunPaged(stack, NumberType::kInt8, kLength, true), exact);
  EXPECT_GT(half, 0);
  EXPECT_LE(half, 1e-3);
  EXPECT_GT(bytes, half);
  EXPECT_LE(bytes, 2e-2);
}

INSTANTIATE_TEST_SUITE_P(, TransformerStackTest,
                         testing::Values("Parallel", "Sequential", "SharedKeys"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace blockformer
