#include "train/model/dropout.h"

#include <gtest/gtest.h>

#include <cmath>

#include "train/model/biased_attention.h"

namespace blockformer::train {
namespace {

constexpr int64_t kCount = 200000;

TEST(Dropout, KeepsTheMeanAndRemovesTheRate) {
  for (const double rate : {0.1, 0.5}) {
    const torch::Tensor kept = DropElements(torch::ones({kCount}), rate, /*key=*/7);
    const double removed = (kept == 0).sum().item<double>() / kCount;
    EXPECT_NEAR(removed, rate, 5 * std::sqrt(rate * (1 - rate) / kCount));
    EXPECT_NEAR(kept.max().item<double>(), 1 / (1 - rate), 1e-6);
    EXPECT_NEAR(kept.mean().item<double>(), 1, 0.02);
  }
}

// Neighbours, rows and keys: none follows from another.
TEST(Dropout, MasksAreIndependent) {
  const torch::Tensor ones = torch::ones({400, 500});
  const torch::Tensor first = DropElements(ones, 0.5, 1).ne(0);
  const auto expect_half = [](const torch::Tensor& equal) {
    const auto count = static_cast<double>(equal.numel());
    EXPECT_NEAR(equal.sum().item<double>() / count, 0.5, 5 * 0.5 / std::sqrt(count));
  };
  for (const uint64_t key : {uint64_t{2}, uint64_t{1} << 32, uint64_t{3} << 40}) {
    expect_half(first.eq(DropElements(ones, 0.5, key).ne(0)));
  }
  expect_half(first.slice(1, 1).eq(first.slice(1, 0, 499)));
  expect_half(first.slice(0, 1).eq(first.slice(0, 0, 399)));
}

TEST(Dropout, TheGradientHasTheSameMask) {
  const torch::Tensor x = torch::ones({1000}, torch::requires_grad());
  const torch::Tensor kept = DropElements(x, 0.3, 5);
  kept.sum().backward();
  EXPECT_TRUE(torch::equal(x.grad(), kept.detach()));
}

TEST(Dropout, FollowsTheSeedOfTheGeneratorAndTheMode) {
  const Dropout dropout(0.3);
  const torch::Tensor x = torch::ones({1000});
  const auto drop = [&](uint64_t seed) {
    torch::manual_seed(seed);
    return dropout.Forward(x);
  };
  EXPECT_TRUE(torch::equal(drop(1), drop(1)));
  EXPECT_FALSE(torch::equal(drop(1), drop(2)));
  EXPECT_FALSE(torch::equal(dropout.Forward(x), dropout.Forward(x)));
  Dropout evaluated(0.3);
  evaluated.eval();
  EXPECT_TRUE(torch::equal(evaluated.Forward(x), x));
}

TEST(Dropout, AttentionDropsProbabilities) {
  const torch::Tensor query = torch::zeros({1, 1, 1, 8});
  const torch::Tensor key = torch::zeros({1, 50, 1, 8});
  const torch::Tensor value = torch::eye(50).view({1, 50, 1, 50});
  BiasedAttentionOptions rules;
  rules.dropout = 0.4;
  // Each output is a probability: 1/50 before, and 0 or 1/50/0.6 after.
  const torch::Tensor kept =
      BiasedAttention(query, key.expand({1, 50, 1, 8}), value, rules).flatten() * 50;
  const torch::Tensor removed = kept == 0;
  EXPECT_GT(removed.sum().item<int64_t>(), 5);
  EXPECT_LT(removed.sum().item<int64_t>(), 40);
  EXPECT_LT((kept - 1 / 0.6).masked_fill(removed, 0).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace blockformer::train
