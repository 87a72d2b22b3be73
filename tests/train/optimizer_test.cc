#include "train/loop/optimizer.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>

namespace blockformer::train {
namespace {

TEST(AdamWTest, FusedEqualsGeneric) {
  torch::manual_seed(1);
  torch::Tensor parameter = torch::randn({40001});
  torch::Tensor mean = torch::zeros_like(parameter);
  torch::Tensor variance = torch::zeros_like(parameter);
  torch::Tensor other = parameter.clone();
  torch::Tensor other_mean = mean.clone();
  torch::Tensor other_variance = variance.clone();
  for (int64_t update = 1; update <= 5; ++update) {
    const AdamWUpdate numbers({}, update, 1e-2, 0.5);
    const torch::Tensor gradient = torch::randn_like(parameter);
    UpdateFused(numbers, parameter, gradient, mean, variance);
    UpdateGeneric(numbers, other, gradient, other_mean, other_variance);
  }
  EXPECT_TRUE(torch::allclose(parameter, other, 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(mean, other_mean, 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(variance, other_variance, 1e-5, 1e-6));
}

TEST(AdamWTest, MatchesLibtorch) {
  torch::manual_seed(1);
  torch::nn::Linear ours(8, 8);
  torch::nn::Linear theirs(8, 8);
  torch::NoGradGuard no_gradients;
  theirs->weight.copy_(ours->weight);
  theirs->bias.copy_(ours->bias);
  AdamW optimizer(*ours, {});
  torch::optim::AdamW reference(
      theirs->parameters(),
      torch::optim::AdamWOptions(1e-2).betas({0.9, 0.95}).eps(1e-8).weight_decay(0.1));
  for (int i = 0; i < 5; ++i) {
    ours->weight.mutable_grad() = torch::randn({8, 8});
    ours->bias.mutable_grad() = torch::randn({8});
    theirs->weight.mutable_grad() = ours->weight.grad().clone();
    theirs->bias.mutable_grad() = ours->bias.grad().clone();
    optimizer.Step(1e-2, 1.0);
    reference.step();
  }
  EXPECT_TRUE(torch::allclose(ours->weight, theirs->weight, 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(ours->bias, theirs->bias, 1e-5, 1e-6));
}

TEST(AdamWTest, LeavesParametersWithoutGradientAlone) {
  torch::nn::Linear module(4, 4);
  const torch::Tensor before = module->weight.detach().clone();
  AdamW optimizer(*module, {});
  optimizer.Step(1.0, 1.0);
  EXPECT_TRUE(torch::equal(module->weight.detach(), before));
}

TEST(AdamWTest, ClipScaleKeepsSmallNorms) {
  EXPECT_EQ(ClipScale(0.5, 1.0), 1.0);
  EXPECT_NEAR(ClipScale(4.0, 1.0), 0.25, 1e-6);
}

}  // namespace
}  // namespace blockformer::train
