#include "train/model/attention.h"

#include <gtest/gtest.h>

#include "tests/base/far_rotation.h"

namespace blockformer::train {
namespace {

constexpr double kTolerance = 2e-5;

struct Case {
  int64_t batch, rows, heads, head_size, pairs;
  int64_t kv_heads = 0;  // 0: as many, in GPT-NeoX's order
  bool is_grouped = false;

  HeadLayout Layout() const {
    const int64_t kv = kv_heads == 0 ? heads : kv_heads;
    return kv_heads == 0 || is_grouped ? HeadLayout::Grouped(heads, kv, head_size)
                                       : HeadLayout::Split(heads, kv, head_size);
  }
};

class AttentionTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    const Case& c = GetParam();
    input_ = torch::randn({c.batch, c.rows, c.Layout().width});
    weights_ = torch::randn({c.batch, c.rows, c.heads * c.head_size});
    rotary_ = MakeRotaryTable(torch::arange(c.rows, torch::kInt64), {2 * c.pairs});
    mask_ = torch::rand({c.batch, c.rows}) > 0.3;
  }

  // The output, and the gradient of its sum with random weights.
  template <typename Attention>
  std::pair<torch::Tensor, torch::Tensor> Run(Attention attention, const torch::Tensor& mask,
                                              PaddingQueries padding) const {
    torch::Tensor input = input_.clone().requires_grad_(true);
    const torch::Tensor output = attention(input, GetParam().Layout(), rotary_, mask, padding);
    (output * weights_).sum().backward();
    return {output.detach(), input.grad()};
  }

  void ExpectEqual(const torch::Tensor& mask, PaddingQueries padding) const {
    const auto [output, gradient] = Run(FusedCausalAttention, mask, padding);
    const auto [expected, expected_gradient] = Run(GenericFusedAttention, mask, padding);
    EXPECT_LE((output - expected).abs().max().item<double>(), kTolerance);
    EXPECT_LE((gradient - expected_gradient).abs().max().item<double>(),
              kTolerance * expected_gradient.abs().max().item<double>());
  }

  torch::Tensor input_, weights_, mask_;
  RotaryTable rotary_;
};

TEST(RotaryTest, HoldsTheEnginesBitsFarOut) {
  const torch::Tensor positions = torch::tensor({int64_t{0}, kFarPosition}, torch::kInt64);
  for (const torch::Tensor& rows : {positions, positions.view({1, 2})}) {
    const RotaryTable table = MakeRotaryTable(rows, {kFarSize, kFarBase});
    const torch::Tensor cosines = table.cosines.reshape({2, kFarSize / 2});
    const torch::Tensor sines = table.sines.reshape({2, kFarSize / 2});
    for (int64_t pair = 0; pair < kFarSize / 2; ++pair) {
      EXPECT_EQ(cosines[0][pair].item<float>(), 1);
      EXPECT_EQ(cosines[1][pair].item<float>(), kFarRotations[pair].cosine) << pair;
      EXPECT_EQ(sines[1][pair].item<float>(), kFarRotations[pair].sine) << pair;
    }
  }
}

TEST_P(AttentionTest, FusedEqualsGenericWithoutPadding) { ExpectEqual({}, PaddingQueries::kZero); }

TEST_P(AttentionTest, FusedEqualsGenericWithZeroedPadding) {
  ExpectEqual(mask_, PaddingQueries::kZero);
}

TEST_P(AttentionTest, FusedEqualsGenericWithAttendingPadding) {
  mask_.select(1, 0).fill_(true);
  ExpectEqual(mask_, PaddingQueries::kAttend);
}

TEST_P(AttentionTest, PaddingIsExactlyZero) {
  torch::NoGradGuard no_gradients;
  const torch::Tensor output =
      FusedCausalAttention(input_, GetParam().Layout(), rotary_, mask_, PaddingQueries::kZero);
  EXPECT_EQ(output.index({~mask_}).abs().sum().item<double>(), 0.0);
  EXPECT_GT(output.index({mask_}).abs().min().item<double>(), 0.0);
}

TEST_P(AttentionTest, IsDeterministic) {
  const auto [output, gradient] = Run(FusedCausalAttention, mask_, PaddingQueries::kZero);
  const auto [again, gradient_again] = Run(FusedCausalAttention, mask_, PaddingQueries::kZero);
  EXPECT_TRUE(torch::equal(output, again));
  EXPECT_TRUE(torch::equal(gradient, gradient_again));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         ::testing::Values(Case{7, 5, 2, 32, 4}, Case{3, 9, 3, 20, 5},
                                           Case{2, 1, 1, 16, 8}, Case{2, 33, 2, 16, 0},
                                           Case{2, 130, 3, 24, 12}, Case{2, 7, 4, 16, 8, 2},
                                           Case{2, 130, 6, 8, 4, 2},
                                           Case{2, 41, 4, 12, 3, 1, true}));

}  // namespace
}  // namespace blockformer::train
