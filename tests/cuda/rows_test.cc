// Kernels over rows and single numbers, against plain loops.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cuda/device_data.h"
#include "tests/cuda/emulated_test.h"

namespace blockformer::cuda {
namespace {

constexpr float kF32Tolerance = 1e-5F;
constexpr float kBf16Tolerance = 0x1.0p-8F;  // half a unit in the last place, relative

float ToleranceOf(Element type) { return type == Element::kF32 ? kF32Tolerance : kBf16Tolerance; }

class RowsTest : public OrderTest {
 protected:
  Stream stream_;
};

TEST_P(RowsTest, NormalizesAsTheFormula) {
  Random random(1);
  for (int round = 0; round < 12; ++round) {
    const int64_t rows = 1 + static_cast<int64_t>(random.Below(5));
    const int64_t width = 1 + static_cast<int64_t>(random.Below(round < 8 ? 300 : 1500));
    const Element type = round % 2 == 0 ? Element::kF32 : Element::kBf16;
    const bool has_gain = round % 3 == 0;
    SCOPED_TRACE(testing::Message() << rows << " rows of " << width);
    std::vector<float> x = RandomFloats(rows * width, random.Next(), 3);
    for (float& value : x) value += 2;
    const std::vector<float> gain = RandomFloats(width, random.Next());
    const std::vector<float> bias = RandomFloats(width, random.Next());
    const OnDevice<float> device_x(&stream_, x);
    const OnDevice<float> device_gain(&stream_, gain);
    const OnDevice<float> device_bias(&stream_, bias);
    const Numbers y(type, rows * width);
    NormalizeRows(&stream_, device_x.data(), rows, width, {round % 4 == 1, 1e-5F},
                  has_gain ? device_gain.data() : nullptr, has_gain ? device_bias.data() : nullptr,
                  type, y.data());
    const std::vector<float> actual = y.Read(&stream_);
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0;
      double variance = 0;
      for (int64_t i = 0; i < width; ++i) mean += x[r * width + i];
      mean = round % 4 == 1 ? 0 : mean / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) {
        variance += std::pow(x[r * width + i] - mean, 2);
      }
      variance /= static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) {
        const size_t at = i;
        const size_t index = static_cast<size_t>(r * width) + at;
        double expected = (x[index] - mean) / std::sqrt(variance + 1e-5);
        if (has_gain) expected = expected * gain[at] + bias[at];
        ASSERT_NEAR(actual[index], expected, ToleranceOf(type) * (1 + std::abs(expected)));
      }
    }
  }
}

// As zeros they would pass for numbers.
TEST_P(RowsTest, ANormWhoseSquaresOverflowIsNotANumber) {
  constexpr int64_t kWidth = 70;
  for (const bool is_rms : {false, true}) {
    std::vector<float> x(2 * kWidth, 1.0F);
    x[3] = 1e30F;
    const OnDevice<float> device_x(&stream_, x);
    const Numbers y(Element::kF32, 2 * kWidth);
    NormalizeRows(&stream_, device_x.data(), 2, kWidth, {is_rms, 1e-5F}, nullptr, nullptr,
                  Element::kF32, y.data());
    const std::vector<float> actual = y.Read(&stream_);
    for (int64_t i = 0; i < 2 * kWidth; ++i) {
      EXPECT_EQ(std::isnan(actual[i]), i < kWidth) << i << (is_rms ? " RMS" : " layer norm");
    }
  }
}

TEST_P(RowsTest, FinishesAProductWithBiasAndGelu) {
  for (const Element type : {Element::kF32, Element::kBf16}) {
    for (const bool gelu : {false, true}) {
      constexpr int64_t kRows = 3;
      constexpr int64_t kWidth = 37;
      constexpr int64_t kStride = 41;
      const Numbers y(&stream_, type, RandomFloats(kRows * kStride, 1, 2));
      const Numbers bias(&stream_, type, RandomFloats(kWidth, 2));
      FinishProduct(&stream_, type, y.data(), kRows, kWidth, kStride, bias.data(),
                    gelu ? Activation::kGelu : Activation::kNone);
      const std::vector<float> actual = y.Read(&stream_);
      for (int64_t i = 0; i < kRows * kStride; ++i) {
        double expected = y[i];
        if (i % kStride < kWidth) {
          expected += bias[i % kStride];
          if (gelu) expected = 0.5 * expected * (1 + std::erf(expected / std::sqrt(2.0)));
        }
        ASSERT_NEAR(actual[i], expected, ToleranceOf(type) * (1 + std::abs(expected)));
      }
    }
  }
}

TEST_P(RowsTest, GathersListedRowsAndTheLastOnesOfBlocks) {
  const OnDevice<float> x(&stream_, RandomFloats(12 * 7, 1));
  const std::vector<float> values = x.Read(&stream_);
  const OnDevice<int32_t> list(&stream_, {5, 0, 11});
  const OnDevice<float> y(3 * 7);
  GatherRows(&stream_, x.data(), 3, 7, list.data(), 0, 0, y.data());
  const std::vector<float> listed = y.Read(&stream_);
  const OnDevice<float> z(8 * 7);
  GatherRows(&stream_, x.data(), 8, 7, nullptr, 3, 2, z.data());
  const std::vector<float> last = z.Read(&stream_);
  const std::vector<size_t> last_rows = {1, 2, 4, 5, 7, 8, 10, 11};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(listed[i], values[5 * 7 + i]);
    EXPECT_EQ(listed[14 + i], values[11 * 7 + i]);
    for (size_t r = 0; r < 8; ++r) EXPECT_EQ(last[r * 7 + i], values[last_rows[r] * 7 + i]);
  }
}

TEST_P(RowsTest, CarriesOutWrites) {
  const OnDevice<uint32_t> words(&stream_, {1, 2, 3, 4, 5});
  const OnDevice<uint32_t> target(&stream_, std::vector<uint32_t>(4, 9));
  const OnDevice<Write> writes(&stream_, {{target.data() + 1, 3, 2}, {target.data() + 3, 0, 1}});
  CarryOutWrites(&stream_, writes.data(), 2, words.data());
  EXPECT_EQ(target.Read(&stream_), (std::vector<uint32_t>{9, 4, 5, 1}));
}

TEST_P(RowsTest, EmbedsUnitsOfAHistoryAndOfAList) {
  constexpr int64_t kWidth = 5;
  constexpr int64_t kLength = 3;
  for (const Element type : {Element::kF32, Element::kBf16}) {
    const Numbers table(&stream_, type, RandomFloats(10 * kWidth, 1));
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 24; ++i) tokens.push_back(i * 7 % 10);
    const OnDevice<int32_t> ids(&stream_, tokens);
    const std::vector<DecoderRow> rows = {{1, 2, 0, 0}, {0, 0, 0, 0}};
    const OnDevice<DecoderRow> device_rows(&stream_, rows);
    const UnitIds history = {ids.data(), device_rows.data(), 12, 1, kLength};
    const UnitIds list = {ids.data(), nullptr, 0, 0, kLength};
    for (const bool from_history : {true, false}) {
      const auto id = [&](int64_t row, int64_t t) {
        const DecoderRow& r = rows[row];
        const int64_t first = from_history ? r.table * 12 + (r.unit + 1) * kLength : row * kLength;
        return tokens[first + t];
      };
      const OnDevice<float> x(2 * kLength * kWidth);
      EmbedUnits(&stream_, type, table.data(), kWidth, from_history ? history : list, Pool::kConcat,
                 2, Element::kF32, x.data());
      const std::vector<float> concat = x.Read(&stream_);
      const OnDevice<float> y(2 * kWidth);
      EmbedUnits(&stream_, type, table.data(), kWidth, from_history ? history : list, Pool::kMean,
                 2, Element::kF32, y.data());
      const std::vector<float> mean = y.Read(&stream_);
      for (int64_t row = 0; row < 2; ++row) {
        for (int64_t i = 0; i < kWidth; ++i) {
          float sum = 0;
          for (int64_t t = 0; t < kLength; ++t) {
            const float expected = table[id(row, t) * kWidth + i];
            sum += expected;
            ASSERT_EQ(concat[(row * kLength + t) * kWidth + i], expected);
          }
          ASSERT_NEAR(mean[row * kWidth + i], sum / 3, 1e-6);
        }
      }
    }
  }
}

TEST_P(RowsTest, EmbedsTokensBehindVectorsAndBesideThem) {
  constexpr int64_t kWidth = 6;
  const Numbers table(&stream_, Element::kBf16, RandomFloats(10 * kWidth, 1));
  const OnDevice<int32_t> ids(&stream_, {3, 1, 4, 1, 5, 9});
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9};
  const UnitIds units = {ids.data(), nullptr, 0, 0, 3};
  for (const bool adds : {false, true}) {
    // Two vectors before the tokens, or three added to the begin token 7 and two tokens.
    const int64_t vectors = adds ? 3 : 2;
    const OnDevice<float> device_vectors(&stream_, RandomFloats(2 * vectors * kWidth, 2));
    const std::vector<float> vector = device_vectors.Read(&stream_);
    TokenInputs inputs;
    inputs.width = kWidth;
    inputs.lead = adds ? 1 : 2;
    inputs.adds_vectors = adds;
    inputs.begin_id = 7;
    inputs.vectors = vectors;
    inputs.first = 1;
    inputs.count = 2;
    const OnDevice<float> x(2 * 2 * kWidth);
    EmbedTokens(&stream_, Element::kBf16, table.data(), inputs, device_vectors.data(), units, 2,
                x.data());
    const std::vector<float> actual = x.Read(&stream_);
    for (int64_t block = 0; block < 2; ++block) {
      for (int64_t p = 1; p <= 2; ++p) {
        for (int64_t i = 0; i < kWidth; ++i) {
          const float beside =
              vector[static_cast<size_t>((block * vectors + (adds || p < 2 ? p : 0)) * kWidth + i)];
          const auto embedding = [&](int64_t token) {
            return table[tokens[block * 3 + token] * kWidth + i];
          };
          const float expected = adds    ? embedding(p - 1) + beside
                                 : p < 2 ? beside
                                         : embedding(p - 2);
          ASSERT_EQ(actual[(block * 2 + p - 1) * kWidth + i], expected);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, RowsTest, BothOrders(), OrderName);

}  // namespace
}  // namespace blockformer::cuda
