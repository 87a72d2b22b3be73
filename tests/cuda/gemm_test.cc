// Products through cuBLASLt's descriptors, against plain loops.
#include "cuda/gemm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cuda/emulation/lt_emulated.h"
#include "tests/cuda/device_data.h"
#include "tests/cuda/emulated_test.h"

namespace blockformer::cuda {
namespace {

double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

class GemmTest : public testing::Test {
 protected:
  void Test(const GemmShape& shape, int64_t rows, bool expects_fused);

  Stream stream_ = Stream(kGemmScratchBytes);
  GemmLibrary library_;
};

void GemmTest::Test(const GemmShape& shape, int64_t rows, bool expects_fused) {
  const Gemm gemm(&library_, shape);
  EXPECT_EQ(gemm.is_fused(), expects_fused);
  const Numbers x(&stream_, shape.type, RandomFloats(rows * shape.x_stride, 1));
  const Numbers w(&stream_, shape.type, RandomFloats(shape.out * shape.in, 2, 0.3F));
  const Numbers bias(&stream_, shape.y_type, RandomFloats(shape.out, 3));
  const Numbers y(&stream_, shape.y_type, RandomFloats(rows * shape.y_stride, 4));
  const auto at = [](const Numbers& numbers, Element type, int64_t column) {
    return static_cast<char*>(numbers.data()) + column * ElementBytes(type);
  };
  gemm.Run(&stream_, at(x, shape.type, shape.x_column), rows, w.data(), bias.data(),
           at(y, shape.y_type, shape.y_column));
  const std::vector<float> actual = y.Read(&stream_);
  const double tolerance = shape.y_type == Element::kF32 ? 1e-5 : 1e-2;
  for (int64_t i = 0; i < rows * shape.y_stride; ++i) {
    const int64_t row = i / shape.y_stride;
    const int64_t column = i % shape.y_stride - shape.y_column;
    double expected = y[i];
    if (column >= 0 && column < shape.out) {
      double sum = shape.has_bias ? bias[column] : 0;
      for (int64_t k = 0; k < shape.in; ++k) {
        sum += static_cast<double>(x[row * shape.x_stride + shape.x_column + k]) *
               w[column * shape.in + k];
      }
      if (shape.finish == Finish::kGelu) sum = Gelu(sum);
      expected = shape.finish == Finish::kAdd ? expected + sum : sum;
    }
    ASSERT_NEAR(actual[i], expected, tolerance * (1 + std::abs(expected)))
        << "row " << row << ", column " << column;
  }
}

GemmShape ShapeOf(Element type, Finish finish, bool has_bias) {
  GemmShape shape;
  shape.out = 19;
  shape.in = 24;
  shape.type = type;
  shape.y_type = finish == Finish::kAdd ? Element::kF32 : type;
  shape.x_stride = 31;
  shape.x_column = 5;
  shape.y_stride = 40;
  shape.y_column = 16;
  shape.finish = finish;
  shape.has_bias = has_bias;
  return shape;
}

TEST_F(GemmTest, EveryFinishInBothTypes) {
  for (const Element type : {Element::kF32, Element::kBf16}) {
    for (const bool has_bias : {false, true}) {
      for (const Finish finish : {Finish::kStore, Finish::kGelu, Finish::kAdd}) {
        // GELU in f32 is the exact one, which cuBLASLt has not.
        const bool fused = finish != Finish::kGelu || type == Element::kBf16;
        for (const int64_t rows : {1, 7}) Test(ShapeOf(type, finish, has_bias), rows, fused);
      }
    }
  }
}

TEST_F(GemmTest, AKernelFollowsWhereNothingIsTakenAlong) {
  emulation::RefuseEpilogues(true);
  for (const Finish finish : {Finish::kStore, Finish::kGelu, Finish::kAdd}) {
    Test(ShapeOf(Element::kBf16, finish, true), 3, /*expects_fused=*/false);
  }
  emulation::RefuseEpilogues(false);
}

TEST_F(GemmTest, AMisalignedAddressIsFound) {
  GemmShape shape = ShapeOf(Element::kF32, Finish::kStore, false);
  shape.y_column = 0;  // a lie, which makes the heuristics expect more
  shape.y_stride = 64;
  const Gemm gemm(&library_, shape);
  const OnDevice<float> x(64);
  const OnDevice<float> w(19 * 24);
  const OnDevice<float> y(64);
  EXPECT_DEATH(gemm.Run(&stream_, x.data() + 5, 1, w.data(), nullptr, y.data() + 3), "aligned");
}

}  // namespace
}  // namespace blockformer::cuda
