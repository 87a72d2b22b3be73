// Whatever is infinite or NaN stays noticeable in what a kernel makes of it, on every instruction
// set: no comparison, maximum or conversion makes an ordinary number of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/attention.h"
#include "kernels/block_attention.h"
#include "kernels/gemm.h"
#include "kernels/kernel_isa.h"
#include "kernels/layer_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kBad[] = {NAN, kInfinity, -kInfinity};
constexpr int64_t kHeads = 2;
constexpr int64_t kSize = 20;
constexpr int64_t kWidth = kHeads * kSize;

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

class NotFiniteTest : public testing::TestWithParam<Isa> {
 protected:
  NotFiniteTest() { SetKernelIsa(GetParam()); }
  ~NotFiniteTest() override { SetKernelIsa(SupportedIsas().back()); }
};

// The output of `positions` rows of one sequence.
std::vector<float> Attention(NumberType type, int64_t page_size, std::vector<float> qkv) {
  const int64_t positions = std::ssize(qkv) / (3 * kWidth);
  const int64_t pages = (positions + page_size - 1) / page_size;
  KvPages cache = {nullptr, type, page_size, kHeads, kSize};
  const AlignedBuffer memory(pages * cache.PageBytes());
  cache.memory = memory.data();
  std::vector<int32_t> list(pages);
  std::iota(list.begin(), list.end(), 0);
  std::vector<AttentionRow> rows;
  for (int64_t p = 0; p < positions; ++p) rows.push_back({list.data(), p, p, nullptr, false});
  const HeadLayout layout = HeadLayout::Grouped(kHeads, kHeads, kSize);
  StoreKeysAndValues(cache, layout, nullptr, rows.data(), positions, qkv.data());
  std::vector<float> out(positions * kWidth);
  Attend(cache, ScaledAttention(layout), rows.data(), positions, qkv.data(), out.data());
  return out;
}

std::vector<float> BlockAttention(const std::vector<float>& qkv) {
  const int64_t positions = std::ssize(qkv) / (3 * kWidth);
  BlockCache cache = {nullptr, kHeads, kSize, positions};
  const AlignedBuffer memory(cache.BlockFloats() * static_cast<int64_t>(sizeof(float)));
  cache.memory = memory.As<float>();
  const std::vector<int32_t> turned(positions, 0);
  std::vector<float> out(positions * kWidth);
  AttendInBlock(cache, HeadLayout::Grouped(kHeads, kHeads, kSize), RotaryTable(1, {4}),
                {1, 0, positions, positions, turned.data()}, qkv.data(), out.data());
  return out;
}

// Puts a bad number into a query, key or value of the second head at `position`: its output must
// show it, and what comes before must not.
template <typename Run>
void ExpectNoticed(int64_t positions, const Run& run) {
  for (const float bad : kBad) {
    for (int64_t part = 0; part < 3; ++part) {
      for (int64_t position = 0; position < positions; position += 5) {
        std::vector<float> qkv = RandomVector(positions * 3 * kWidth, 1);
        qkv[(position * kHeads + 1) * 3 * kSize + part * kSize + 7] = bad;
        const std::vector<float> out = run(qkv);
        const auto head = [&](int64_t row, int64_t index) {
          return std::span(out).subspan(row * kWidth + index * kSize, kSize);
        };
        EXPECT_FALSE(AllFinite(head(position, 1)))
            << bad << " in part " << part << " of " << position << " of " << positions;
        EXPECT_TRUE(AllFinite(head(position, 0))) << "the other head";
        if (part > 0) {
          EXPECT_FALSE(AllFinite(head(positions - 1, 1))) << "a later query";
        }
      }
    }
  }
}

TEST_P(NotFiniteTest, PassesThroughAttentionOverEveryCache) {
  for (const NumberType type : {NumberType::kF32, NumberType::kF16, NumberType::kInt8}) {
    SCOPED_TRACE(NumberTypeName(type));
    for (const int64_t page_size : {8, 16}) {
      for (const int64_t positions : {1, 3, 41}) {
        ExpectNoticed(positions, [&](const std::vector<float>& qkv) {
          return Attention(type, page_size, qkv);
        });
      }
    }
  }
}

TEST_P(NotFiniteTest, PassesThroughAttentionWithinBlocks) {
  for (const int64_t positions : {1, 6, 41}) ExpectNoticed(positions, BlockAttention);
}

// Scores of -1e31 hide nothing: all keys weigh the same.
TEST_P(NotFiniteTest, LowScoresAreNotTakenForHiddenKeys) {
  constexpr int64_t kPositions = 5;
  std::vector<float> qkv(kPositions * 3 * kWidth, 1);
  for (int64_t i = 0; i < kPositions * kHeads; ++i) {
    const auto query = qkv.begin() + i * 3 * kSize;
    std::fill_n(query, kSize, -1e16F);
    std::fill_n(query + kSize, kSize, 1e16F);
  }
  for (const float value : Attention(NumberType::kF32, 8, qkv)) EXPECT_NEAR(value, 1, 1e-5);
  for (const float value : BlockAttention(qkv)) EXPECT_NEAR(value, 1, 1e-5);
}

TEST_P(NotFiniteTest, PassesThroughNorms) {
  const std::vector<float> gain(kWidth, 1);
  const std::vector<float> bias(kWidth, 0);
  std::vector<float> y(kWidth);
  const auto expect_noticed = [&](const std::vector<float>& x) {
    LayerNorm(x.data(), 1, kWidth, gain.data(), bias.data(), 1e-5F, y.data());
    EXPECT_FALSE(AllFinite(y)) << "layer norm";
    RmsNorm(x.data(), 1, kWidth, gain.data(), 1e-5F, y.data());
    EXPECT_FALSE(AllFinite(y)) << "RMS norm";
  };
  for (const float bad : kBad) {
    std::vector<float> x = RandomVector(kWidth, 1);
    x[kWidth - 1] = bad;
    expect_noticed(x);
  }
  std::vector<float> x(kWidth);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 2 == 0 ? 1e30F : -1e30F;
  expect_noticed(x);  // the squares overflow
}

TEST_P(NotFiniteTest, PassesThroughSwiGlu) {
  for (const float bad : kBad) {
    for (const size_t place : {size_t{0}, size_t{kWidth - 1}, size_t{kWidth}}) {
      std::vector<float> x(2 * kWidth, 1);
      x[place] = bad;
      std::vector<float> y(kWidth);
      SwiGlu(x.data(), 1, kWidth, y.data());
      EXPECT_FALSE(AllFinite(y)) << bad << " at " << place;
    }
  }
}

TEST_P(NotFiniteTest, PassesThroughLayersOfEveryTypeAndEpilogue) {
  constexpr int64_t kOut = 37;
  constexpr int64_t kIn = 24;
  const std::vector<float> weights = RandomVector(kOut * kIn, 2);
  const std::vector<int8_t> bytes(kOut * kIn, 3);
  const std::vector<float> ones(kOut, 1);
  std::vector<PackedLinear> layers;
  layers.emplace_back(weights.data(), nullptr, kOut, kIn, NumberType::kF32);
  layers.emplace_back(weights.data(), nullptr, kOut, kIn, NumberType::kBf16);
  layers.emplace_back(bytes.data(), ones.data(), ones.data(), nullptr, kOut, kIn);
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (const Epilogue epilogue :
         {Epilogue::kStore, Epilogue::kGelu, Epilogue::kRelu, Epilogue::kAdd}) {
      for (const float bad : kBad) {
        std::vector<float> x = RandomVector(3 * kIn, 3);
        x[kIn + 5] = bad;
        if (std::isinf(bad)) x[kIn + 6] = -bad;  // infinities of both signs: sums of them are NaN
        if (std::isinf(bad)) x[kIn + 7] = bad;
        std::vector<float> y(3 * kOut);
        layers[layer].Apply({x, kIn}, epilogue, {y, kOut});
        const std::span all(y);
        EXPECT_TRUE(AllFinite(all.first(kOut)) && AllFinite(all.last(kOut)));
        for (const float value : all.subspan(kOut, kOut)) {
          const bool is_relu_of_minus_infinity =
              epilogue == Epilogue::kRelu && std::isinf(bad) && value == 0;
          EXPECT_TRUE(!std::isfinite(value) || is_relu_of_minus_infinity)
              << "layer " << layer << " epilogue " << static_cast<int>(epilogue) << ": " << bad;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, NotFiniteTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& isa) { return IsaName(isa.param); });

}  // namespace
}  // namespace blockformer
