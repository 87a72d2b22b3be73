// int8 layers against exact integer sums, on every instruction set of the processor.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/gemm.h"
#include "kernels/kernel_isa.h"
#include "kernels/reference.h"

namespace blockformer {
namespace {

constexpr double kRoundoff = 0x1.0p-24;
// The largest error of the polynomial that int8 layers use for GELU, as gelu-inl.h says.
double GeluError(double z) { return 4e-5 * (1 + std::abs(z) / 10); }

struct Shape {
  int64_t rows, out, in;
};

// A layer with random weights that use all of [-127, 127].
struct Layer {
  Layer(int64_t outputs, int64_t inputs, uint64_t seed) : out(outputs), in(inputs) {
    Random random(seed);
    for (int64_t i = 0; i < out * in; ++i) {
      values.push_back(static_cast<int8_t>(static_cast<int64_t>(random.Below(255)) - 127));
    }
    for (int64_t o = 0; o < out; ++o) {
      scales.push_back(static_cast<float>(0.002 + 0.001 * random.Uniform()));
      bias.push_back(static_cast<float>(random.Normal()));
    }
    for (int64_t i = 0; i < in; ++i) {
      input_scales.push_back(static_cast<float>(0.5 + random.Uniform()));
    }
  }

  PackedLinear Pack() const {
    return {values.data(), scales.data(), input_scales.data(), bias.data(), out, in};
  }

  int64_t out, in;
  std::vector<int8_t> values;
  std::vector<float> scales, input_scales, bias;
};

std::vector<float> RandomRows(int64_t rows, int64_t width, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(rows * width);
  for (float& value : x) value = static_cast<float>(random.Normal());
  return x;
}

class Int8GemmTest : public testing::TestWithParam<std::tuple<Isa, Shape>> {
 protected:
  Shape shape() const { return std::get<Shape>(GetParam()); }

 private:
  ScopedIsa isa_{std::get<Isa>(GetParam())};
};

TEST_P(Int8GemmTest, MatchesExactSums) {
  const int64_t rows = shape().rows;
  const Layer layer(shape().out, shape().in, 1);
  const PackedLinear packed = layer.Pack();
  const std::vector<float> x = RandomRows(rows, layer.in, 2);
  const std::vector<float> before = RandomRows(rows, layer.out, 3);
  const auto reference = [&](Epilogue epilogue) {
    std::vector<float> y = before;
    reference::Int8Linear(x.data(), layer.values.data(), layer.scales.data(),
                          layer.input_scales.data(), layer.bias.data(), rows, layer.out, layer.in,
                          epilogue, y.data());
    return y;
  };
  const std::vector<float> z = reference(Epilogue::kStore);
  for (const Epilogue epilogue :
       {Epilogue::kStore, Epilogue::kGelu, Epilogue::kRelu, Epilogue::kAdd}) {
    std::vector<float> actual = before;
    packed.Apply({x, layer.in}, epilogue, {actual, layer.out});
    const std::vector<float> expected = reference(epilogue);
    for (size_t i = 0; i < actual.size(); ++i) {
      // A handful of roundings of numbers of this size; the sums themselves are exact.
      const double size = std::abs(z[i]) + std::abs(before[i]) + 3;
      const double gelu = epilogue == Epilogue::kGelu ? GeluError(z[i]) : 0;
      ASSERT_NEAR(actual[i], expected[i], 16 * kRoundoff * size + gelu) << i;
    }
  }
}

// Every product is the largest there is, with one sign: 16-bit sums of pairs would saturate.
TEST_P(Int8GemmTest, DoesNotSaturate) {
  const auto [rows, out, in] = shape();
  Layer layer(out, in, 1);
  layer.scales.assign(layer.scales.size(), 1);
  layer.input_scales.assign(layer.input_scales.size(), 1);
  layer.bias.assign(layer.bias.size(), 0);
  for (int64_t i = 0; i < out * in; ++i) layer.values[i] = i / in % 2 ? 127 : -127;
  const PackedLinear packed = layer.Pack();
  for (const float sign : {1.0F, -1.0F}) {
    const std::vector<float> x(rows * in, sign * 127);
    std::vector<float> y(rows * out);
    packed.Apply({x, in}, Epilogue::kStore, {y, out});
    for (int64_t i = 0; i < rows * out; ++i) {
      const double expected =
          (i % out % 2 ? 1 : -1) * sign * 127.0 * 127.0 * static_cast<double>(in);
      ASSERT_NEAR(y[i], expected, 4 * kRoundoff * std::abs(expected));
    }
  }
}

// Collects a product from its tiles.
class Collector : public TileSink {
 public:
  Collector(int64_t rows, int64_t out) : y(rows, out) { std::ranges::fill(y.values(), NAN); }
  void Take(int thread, const Tile& tile) override {
    EXPECT_TRUE(thread >= 0 && thread < NumThreads());
    for (int64_t r = 0; r < tile.rows; ++r) {
      std::ranges::copy(tile.Row(r), y.Row(tile.first_row + r).begin() + tile.first_column);
    }
  }

  Matrix<float> y;
};

TEST_P(Int8GemmTest, TilesHoldTheSameNumbersAsTheWhole) {
  const auto [rows, out, in] = shape();
  const PackedLinear packed = Layer(out, in, 1).Pack();
  const Matrix<float> x(RandomRows(rows, in, 2), in);
  Matrix<float> whole(rows, out);
  packed.Apply(x, Epilogue::kStore, whole);
  Collector collector(rows, out);
  packed.ApplyTiles(x, &collector);
  EXPECT_TRUE(std::ranges::equal(collector.y.values(), whole.values()));
}

TEST_P(Int8GemmTest, RowsDependOnNothingButThemselves) {
  const auto [rows, out, in] = shape();
  const PackedLinear packed = Layer(out, in, 1).Pack();
  const Matrix<float> x(RandomRows(rows, in, 2), in);
  Matrix<float> together(rows, out);
  packed.Apply(x, Epilogue::kGelu, together);
  const int threads = NumThreads();
  SetNumThreads(1);
  Matrix<float> alone(1, out);
  for (int64_t row = 0; row < rows; ++row) {
    packed.Apply(x.Rows(row, 1), Epilogue::kGelu, alone);
    ASSERT_TRUE(std::ranges::equal(alone.Row(0), together.Row(row))) << row;
  }
  SetNumThreads(threads);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Int8GemmTest,
    testing::Combine(testing::ValuesIn(SupportedIsas()),
                     testing::Values(Shape{1, 1, 1}, Shape{3, 5, 7}, Shape{8, 48, 64},
                                     Shape{9, 49, 30}, Shape{17, 16, 129}, Shape{13, 96, 20},
                                     Shape{6, 250, 18}, Shape{40, 33, 256}, Shape{19, 35, 1100})),
    [](const auto& test) {
      const Shape& shape = std::get<Shape>(test.param);
      return std::string(IsaName(std::get<Isa>(test.param))) + "_" + std::to_string(shape.rows) +
             "x" + std::to_string(shape.out) + "x" + std::to_string(shape.in);
    });

// The sum of all products exceeds 32 bits.
TEST(Int8GemmTest, LongRowsDoNotOverflow) {
  constexpr int64_t kInputs = 1 << 18;
  constexpr int64_t kGroups = kInputs / kInt8GroupInputs;
  const std::vector<int8_t> values(kInputs, -127);
  const std::vector<float> ones(kInputs, 1);
  const float scale = 1;
  const PackedLinear packed(values.data(), &scale, ones.data(), nullptr, 1, kInputs);
  float y = 0;
  packed.Apply({ones, kInputs}, Epilogue::kStore, {&y, 1, 1});
  EXPECT_NEAR(y, -127.0 * kInputs, kGroups * kRoundoff * 127 * kInputs);
}

TEST(Int8GemmTest, NumbersThatAreNotFiniteReachTheResult) {
  const Layer layer(20, 24, 1);
  const PackedLinear packed = layer.Pack();
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (const size_t place : {0, 9, 23}) {
      std::vector<float> x = RandomRows(2, 24, 5);
      x[24 + place] = bad;
      std::vector<float> y(40);
      packed.Apply({x, 24}, Epilogue::kStore, {y, 20});
      EXPECT_TRUE(std::isfinite(y[0]));
      EXPECT_TRUE(std::isnan(y[20])) << bad << " at " << place;
    }
  }
}

TEST(Int8GemmTest, RowsOfZerosAndOfTinyNumbersAreExact) {
  const Layer layer(20, 24, 1);
  const PackedLinear packed = layer.Pack();
  std::vector<float> y(20);
  packed.Apply({std::vector<float>(24, 0.0F), 24}, Epilogue::kStore, {y, 20});
  EXPECT_EQ(y, layer.bias);
  packed.Apply({std::vector<float>(24, 1e-42F), 24}, Epilogue::kStore, {y, 20});
  for (const float value : y) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace blockformer
