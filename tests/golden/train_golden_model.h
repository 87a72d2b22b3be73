#ifndef BLOCKFORMER_TESTS_GOLDEN_TRAIN_GOLDEN_MODEL_H_
#define BLOCKFORMER_TESTS_GOLDEN_TRAIN_GOLDEN_MODEL_H_

#include <memory>
#include <string>

#include "config/parameters.h"
#include "data/packing.h"
#include "tests/golden/golden_file.h"
#include "train/model/block_model.h"
#include "train/model/vanilla_model.h"
#include "train/torch.h"

namespace blockformer::train {

// A tensor of a golden file: integers as i64, all else as f32.
inline torch::Tensor GoldenTensor(const GoldenFile& file, const std::string& name) {
  if (file.IsInteger(name)) {
    return torch::tensor(file.Integers(name), torch::kInt64).view(file.Shape(name));
  }
  return torch::tensor(file.Floats(name)).view(file.Shape(name));
}

// The trainer's model with the weights of a golden file whose names open with `prefix`.
inline std::shared_ptr<LanguageModel> MakeGoldenModel(const GoldenFile& file,
                                                      const std::string& prefix) {
  auto model = MakeLanguageModel(file.config(), ComputeType::kFloat32, /*seed=*/1);
  torch::NoGradGuard no_gradients;
  for (const auto& parameter : model->named_parameters()) {
    parameter.value().detach().copy_(GoldenTensor(file, prefix + parameter.key()));
  }
  return model;
}

// The inputs of a golden file under `prefix` as the trainer's batch. Without a mask all is text,
// and without labels all text is to be predicted.
inline TokenBatch GoldenBatchOf(const GoldenFile& file, const std::string& prefix) {
  const auto input = [&](const char* name) {
    const torch::Tensor tensor = GoldenTensor(file, prefix + name);
    return tensor.view({tensor.size(0), -1});
  };
  const torch::Tensor ids = input("input_ids");
  const torch::Tensor mask =
      file.Has(prefix + "attention_mask") ? input("attention_mask") : torch::ones_like(ids);
  const torch::Tensor labels =
      file.Has(prefix + "labels") ? input("labels") : ids.masked_fill(mask == 0, kIgnoredLabel);
  return {ids, mask, labels};
}

inline torch::Tensor VanillaLogits(const VanillaModel& model, const torch::Tensor& ids,
                                   const torch::Tensor& mask, const torch::Tensor& positions) {
  StackContext context;
  context.positions = positions.defined() ? positions : torch::arange(ids.size(1), ids.options());
  context.mask = mask;
  context.padding_queries = model.padding_queries();
  return model.Logits(model.Forward(ids, context));
}

// Infinite if the shapes differ or a value is not finite.
inline double MaxDifference(const torch::Tensor& actual, const torch::Tensor& expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (actual.sizes() != expected.sizes()) return kInfinity;
  const torch::Tensor difference =
      (actual.detach().to(torch::kFloat64) - expected.to(torch::kFloat64)).abs();
  if (difference.numel() == 0) return 0;
  const double maximum = difference.max().item<double>();
  return std::isnan(maximum) ? kInfinity : maximum;
}

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TESTS_GOLDEN_TRAIN_GOLDEN_MODEL_H_
