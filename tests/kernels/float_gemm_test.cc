// f32 and bf16 layers against plain loops in double precision, on every instruction set of the
// processor. Adding n random products of numbers below 1 in f32, the k-th sum is about sqrt(k) / 3
// and adds an error of one roundoff of that: together about n / 4 roundoffs, of which the tolerance
// allows four times as much.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "base/bf16.h"
#include "base/matrix.h"
#include "base/parallel.h"
#include "kernels/float_tile.h"
#include "kernels/gemm.h"
#include "kernels/kernel_isa.h"
#include "kernels/product_plan.h"
#include "kernels/reference.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

struct GemmShape {
  int64_t rows, out, in;
};

constexpr Epilogue kEpilogues[] = {Epilogue::kStore, Epilogue::kGelu, Epilogue::kRelu,
                                   Epilogue::kAdd};

void RoundToBf16(std::span<float> values) {
  for (float& value : values) value = FromBf16(ToBf16(value));
}

class FloatGemmTest : public testing::TestWithParam<std::tuple<Isa, NumberType, GemmShape>> {
 protected:
  NumberType type() const { return std::get<NumberType>(GetParam()); }
  GemmShape shape() const { return std::get<GemmShape>(GetParam()); }
  PackedLinear Pack(const std::vector<float>& weights, const float* bias) const {
    return {weights.data(), bias, shape().out, shape().in, type()};
  }

 private:
  ScopedIsa isa_{std::get<Isa>(GetParam())};
};

TEST_P(FloatGemmTest, MatchesTheReference) {
  const auto [rows, out, in] = shape();
  Matrix<float> x(RandomVector(rows * in, 1), in);
  std::vector<float> weights = RandomVector(out * in, 2);
  const std::vector<float> bias = RandomVector(out, 3);
  // What is rounded already is not changed by rounding.
  if (type() == NumberType::kBf16) {
    RoundToBf16(x.values());
    RoundToBf16(weights);
  }
  const double tolerance = static_cast<double>(in) * kRoundoff;
  for (const bool has_bias : {true, false}) {
    const float* b = has_bias ? bias.data() : nullptr;
    const PackedLinear linear = Pack(weights, b);
    for (const Epilogue epilogue : kEpilogues) {
      std::vector<float> actual = RandomVector(rows * out, 4);
      std::vector<float> expected = actual;
      linear.Apply(x, epilogue, {actual, out});
      reference::Linear(x.data(), weights.data(), b, rows, out, in, epilogue, expected.data());
      // A few more operations behind the sum; what GELU adds, gelu-inl.h says.
      const double largest = *std::max_element(expected.begin(), expected.end());
      const double slack = epilogue == Epilogue::kGelu ? 3e-7 * (1 + std::abs(largest)) : 0;
      EXPECT_LE(MaxDifference(actual, expected), tolerance + 1e-6 + slack)
          << "epilogue " << static_cast<int>(epilogue) << (has_bias ? " with" : " without")
          << " bias";
    }
  }
}

// Bit for bit: alone, among others, and on any number of threads.
TEST_P(FloatGemmTest, RowsDependOnNothingButThemselves) {
  const auto [rows, out, in] = shape();
  const std::vector<float> weights = RandomVector(out * in, 1);
  const PackedLinear linear = Pack(weights, nullptr);
  const Matrix<float> x(RandomVector(rows * in, 2), in);
  Matrix<float> together(rows, out);
  Matrix<float> alone(1, out);
  for (const int threads : {1, 2, 3}) {
    const ThreadLimit limit(threads);
    linear.Apply(x, Epilogue::kGelu, together);
    for (int64_t row = 0; row < rows; ++row) {
      linear.Apply(x.Rows(row, 1), Epilogue::kGelu, alone);
      ASSERT_TRUE(std::ranges::equal(alone.Row(0), together.Row(row)))
          << row << " of " << rows << " on " << threads << " threads";
    }
  }
}

class FloatCollector : public TileSink {
 public:
  FloatCollector(int64_t rows, int64_t out) : y(rows, out) { std::ranges::fill(y.values(), NAN); }
  void Take(int thread, const Tile& tile) override {
    EXPECT_TRUE(thread >= 0 && thread < NumThreads());
    for (int64_t r = 0; r < tile.rows; ++r) {
      std::ranges::copy(tile.Row(r), y.Row(tile.first_row + r).begin() + tile.first_column);
    }
  }

  Matrix<float> y;
};

TEST_P(FloatGemmTest, TilesHoldTheSameNumbersAsTheWhole) {
  const auto [rows, out, in] = shape();
  const std::vector<float> weights = RandomVector(out * in, 1);
  const std::vector<float> bias = RandomVector(out, 3);
  const PackedLinear linear = Pack(weights, bias.data());
  const Matrix<float> x(RandomVector(rows * in, 2), in);
  Matrix<float> whole(rows, out);
  linear.Apply(x, Epilogue::kStore, whole);
  FloatCollector collector(rows, out);
  linear.ApplyTiles(x, &collector);
  EXPECT_TRUE(std::ranges::equal(collector.y.values(), whole.values()));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FloatGemmTest,
    testing::Combine(testing::ValuesIn(SupportedIsas()),
                     testing::Values(NumberType::kF32, NumberType::kBf16),
                     testing::Values(GemmShape{1, 1, 1}, GemmShape{1, 768, 256},
                                     GemmShape{3, 17, 5}, GemmShape{7, 100, 33},
                                     GemmShape{33, 160, 48}, GemmShape{64, 96, 1024},
                                     GemmShape{129, 31, 12}, GemmShape{9, 300, 389})),
    [](const auto& test) {
      const GemmShape& shape = std::get<GemmShape>(test.param);
      return fmt::format("{}_{}_{}x{}x{}", IsaName(std::get<Isa>(test.param)),
                         NumberTypeName(std::get<NumberType>(test.param)), shape.rows, shape.out,
                         shape.in);
    });

// What 64 threads would do, which no machine here has: the items of the layers of 768 outputs.
TEST(ProductPlanTest, GivesEveryThreadSeveralItems) {
  for (const int threads : {2, 16, 64}) {
    for (const int64_t groups : {16, 32, 128}) {  // panels of 48 or 24 columns
      for (const int64_t blocks : {32, 64}) {     // 256 rows
        const ProductPlan plan = PlanProduct(blocks, 32, groups, threads);
        const int64_t items = plan.items();
        EXPECT_GE(items, std::min<int64_t>(kItemsPerThread * threads, groups * blocks));
        // The last of the threads ends at most a quarter later than if all ended together.
        const double balance =
            static_cast<double>(DivideUp(items, threads) * threads) / static_cast<double>(items);
        EXPECT_LE(balance, 1.25) << threads << " threads, " << groups << " groups";
      }
    }
  }
  EXPECT_EQ(PlanProduct(1, 32, 128, 64).chunks, 1);  // one row cannot be cut
  EXPECT_EQ(PlanProduct(64, 32, 128, 1).chunks, 2);
}

}  // namespace
}  // namespace blockformer
