// Attention over the paged cache against plain loops in double precision that read the same cache,
// on every instruction set of the processor.
#include "kernels/attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/parallel.h"
#include "kernels/kernel_isa.h"
#include "kernels/reference.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

struct AttentionShape {
  int64_t page_size, num_heads, head_size, positions;
  NumberType type;
  int64_t kv_heads = 0;  // 0: as many
};

class AttentionTest : public testing::TestWithParam<std::tuple<Isa, AttentionShape>> {
 protected:
  // Two sequences whose pages lie interleaved and out of order.
  void SetUp() override {
    const auto [page_size, num_heads, head_size, positions, type, kv_heads] = shape();
    layout_ = kv_heads == 0 ? HeadLayout::Grouped(num_heads, num_heads, head_size)
                            : HeadLayout::Split(num_heads, kv_heads, head_size);
    const int64_t pages = (positions + page_size - 1) / page_size;
    cache_ = {nullptr, type, page_size, layout_.kv_heads, head_size};
    memory_ = AlignedBuffer(2 * pages * cache_.PageBytes());
    cache_.memory = memory_.data();
    for (int64_t i = 0; i < pages; ++i) {
      pages_[0].push_back(static_cast<int32_t>(2 * (pages - 1 - i)));
      pages_[1].push_back(static_cast<int32_t>(2 * i + 1));
    }
    mask_.assign(positions, 1);
    for (size_t i = 0; i < mask_.size(); i += 3) mask_[i] = 0;  // position 0 among them
    for (int64_t p = 0; p < positions; ++p) {
      rows_.push_back({pages_[0].data(), p, p, nullptr, false});
      rows_.push_back({pages_[1].data(), p, p + 1, mask_.data(), p % 2 == 1});
    }
    qkv_ = RandomVector(static_cast<int64_t>(rows_.size()) * layout_.width, 5);
  }

  AttentionShape shape() const { return std::get<AttentionShape>(GetParam()); }
  int64_t NumRows() const { return static_cast<int64_t>(rows_.size()); }

  std::vector<float> Run(const AttentionRule& rule) {
    std::vector<float> out(rows_.size() * static_cast<size_t>(layout_.OutputWidth()));
    Attend(cache_, rule, rows_.data(), NumRows(), qkv_.data(), out.data());
    return out;
  }

  void ExpectReference(const AttentionRule& rule) {
    const std::vector<float> actual = Run(rule);
    std::vector<float> expected(actual.size());
    reference::Attend(cache_, rule, rows_.data(), NumRows(), qkv_.data(), expected.data());
    // Averages of numbers up to 1; the vector exp errs by a few roundoffs. A score of head_size
    // products, unless it is divided by their root, has its own error, which exp makes relative.
    const double score_error = rule.scale == 1 ? static_cast<double>(cache_.head_size) : 0;
    EXPECT_LE(MaxDifference(actual, expected), (64 + score_error) * kRoundoff);
  }

  ScopedIsa isa_{std::get<Isa>(GetParam())};
  HeadLayout layout_;
  KvPages cache_;
  AlignedBuffer memory_;
  std::vector<int32_t> pages_[2];
  std::vector<uint8_t> mask_;
  std::vector<AttentionRow> rows_;
  std::vector<float> qkv_;
};

TEST_P(AttentionTest, MatchesTheReferenceWithMasksAndPages) {
  const RotaryTable rotary(shape().positions + 1, {cache_.head_size / 4 * 2});
  StoreKeysAndValues(cache_, layout_, &rotary, rows_.data(), NumRows(), qkv_.data());
  ExpectReference(ScaledAttention(layout_));
}

TEST_P(AttentionTest, MatchesTheReferenceWithPositionBiases) {
  if (layout_.GroupSize() > 1) return;  // none where heads share keys and values
  StoreKeysAndValues(cache_, layout_, nullptr, rows_.data(), NumRows(), qkv_.data());
  const int64_t distances = shape().positions;
  const std::vector<float> bias = RandomVector(layout_.heads * distances, 6);
  ExpectReference({layout_, 1, bias.data(), distances});
}

TEST_P(AttentionTest, MatchesTheReferenceInBothDirections) {
  StoreKeysAndValues(cache_, layout_, nullptr, rows_.data(), NumRows(), qkv_.data());
  for (AttentionRow& row : rows_) row.position = shape().positions - 1;
  ExpectReference(ScaledAttention(layout_));
}

TEST_P(AttentionTest, AttendsToKeysAndValuesOfAnotherSource) {
  const HeadLayout source = HeadLayout::KeysAndValues(cache_.kv_heads, cache_.head_size);
  std::vector<float> kv = RandomVector(NumRows() * source.width, 7);
  StoreKeysAndValues(cache_, source, nullptr, rows_.data(), NumRows(), kv.data());
  for (AttentionRow& row : rows_) row.position = shape().positions - 1;
  // Row 2 is the first sequence's position 1. Numbers up to 1 are off by half a unit in the last
  // place of f16, or by half of the 127th part of the largest.
  const double error = cache_.type == NumberType::kF32   ? 0
                       : cache_.type == NumberType::kF16 ? 0x1.0p-12
                                                         : 0.5 / 127 + kRoundoff;
  std::vector<float> key(cache_.head_size);
  std::vector<float> value(key.size());
  for (int64_t head = 0; head < cache_.kv_heads; ++head) {
    cache_.Read(pages_[0][0], head, 1, key.data(), value.data());
    const float* stored = kv.data() + (2 * cache_.kv_heads + head) * 2 * cache_.head_size;
    for (size_t d = 0; d < key.size(); ++d) {
      EXPECT_NEAR(key[d], stored[d], error);
      EXPECT_NEAR(value[d], stored[key.size() + d], error);
    }
  }
  ExpectReference(
      {HeadLayout::Queries(layout_.heads, layout_.kv_heads, layout_.head_size), 1, nullptr, 0});
}

TEST_P(AttentionTest, DoesNotDependOnTheNumberOfThreads) {
  StoreKeysAndValues(cache_, layout_, nullptr, rows_.data(), NumRows(), qkv_.data());
  const AttentionRule rule = ScaledAttention(layout_);
  const int threads = NumThreads();
  SetNumThreads(1);
  const std::vector<float> one = Run(rule);
  SetNumThreads(3);
  const std::vector<float> three = Run(rule);
  SetNumThreads(threads);
  EXPECT_EQ(one, three);
}

// Decoding computes rows one at a time, prefill several: both have to give the same numbers.
TEST_P(AttentionTest, RowsDependOnNothingButThemselves) {
  StoreKeysAndValues(cache_, layout_, nullptr, rows_.data(), NumRows(), qkv_.data());
  // Sequence by sequence, so that rows form groups.
  std::vector<AttentionRow> sorted;
  for (size_t i = 0; i < rows_.size(); i += 2) sorted.push_back(rows_[i]);
  for (size_t i = 1; i < rows_.size(); i += 2) sorted.push_back(rows_[i]);
  const AttentionRule rule = ScaledAttention(layout_);
  const int64_t width = layout_.OutputWidth();
  std::vector<float> together(NumRows() * width);
  Attend(cache_, rule, sorted.data(), NumRows(), qkv_.data(), together.data());
  std::vector<float> alone(width);
  for (int64_t i = 0; i < NumRows(); ++i) {
    Attend(cache_, rule, &sorted[i], 1, qkv_.data() + i * layout_.width, alone.data());
    ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + i * width)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Combine(testing::ValuesIn(SupportedIsas()),
                     testing::Values(AttentionShape{16, 4, 32, 50, NumberType::kF32},
                                     AttentionShape{8, 2, 12, 5, NumberType::kF32},
                                     AttentionShape{16, 1, 64, 16, NumberType::kF32},
                                     AttentionShape{24, 3, 7, 23, NumberType::kF32},
                                     AttentionShape{128, 2, 128, 127, NumberType::kF32},
                                     AttentionShape{16, 4, 32, 50, NumberType::kF16},
                                     AttentionShape{16, 2, 13, 37, NumberType::kF16},
                                     AttentionShape{8, 1, 80, 20, NumberType::kF16},
                                     AttentionShape{16, 4, 32, 50, NumberType::kInt8},
                                     AttentionShape{16, 2, 13, 37, NumberType::kInt8},
                                     AttentionShape{8, 1, 80, 20, NumberType::kInt8},
                                     // Heads share keys and values by 2, 3, 4, 7.
                                     AttentionShape{16, 4, 32, 50, NumberType::kF32, 2},
                                     AttentionShape{8, 9, 12, 37, NumberType::kF16, 3},
                                     AttentionShape{16, 4, 16, 21, NumberType::kInt8, 1},
                                     AttentionShape{16, 14, 8, 33, NumberType::kF32, 2})),
    [](const auto& test) {
      const AttentionShape& shape = std::get<AttentionShape>(test.param);
      return fmt::format("{}_{}_page{}_heads{}_kv{}_size{}_positions{}",
                         IsaName(std::get<Isa>(test.param)), NumberTypeName(shape.type),
                         shape.page_size, shape.num_heads, shape.kv_heads, shape.head_size,
                         shape.positions);
    });

}  // namespace
}  // namespace blockformer
