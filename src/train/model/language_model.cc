#include "train/model/language_model.h"

#include <cmath>
#include <numbers>

#include "base/parallel.h"
#include "base/random.h"
#include "config/parameters.h"
#include "train/model/block_model.h"
#include "train/model/vanilla_model.h"

namespace blockformer::train {
namespace {

constexpr int64_t kGrain = 1 << 12;

// Independent normal numbers by Box and Muller, each from its own key.
void DrawNormal(float* values, int64_t count, double stddev, uint64_t seed, uint64_t stream) {
  ParallelFor(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto position = static_cast<uint64_t>(2 * i);
      const double radius = std::sqrt(-2.0 * std::log(1.0 - KeyedUniform(seed, stream, position)));
      const double angle = 2.0 * std::numbers::pi * KeyedUniform(seed, stream, position + 1);
      values[i] = static_cast<float>(stddev * radius * std::cos(angle));
    }
  });
}

void InitializeParameters(LanguageModel& model, uint64_t seed) {
  torch::NoGradGuard no_gradients;
  const auto parameters = model.named_parameters();
  uint64_t stream = 0;
  for (const ParameterSpec& spec : ListParameters(model.config())) {
    ++stream;
    if (!spec.is_used) continue;
    torch::Tensor parameter = parameters[spec.name];
    if (spec.init_stddev > 0) {
      DrawNormal(parameter.data_ptr<float>(), parameter.numel(), spec.init_stddev, seed, stream);
    } else {
      parameter.fill_(spec.init_constant);
    }
    if (spec.init_zero_row >= 0) parameter.select(0, spec.init_zero_row).zero_();
  }
}

}  // namespace

std::shared_ptr<LanguageModel> MakeLanguageModel(const ModelConfig& config, ComputeType compute,
                                                 uint64_t seed) {
  std::shared_ptr<LanguageModel> model;
  if (config.kind == ModelKind::kVanilla) {
    model = std::make_shared<VanillaModel>(config, compute);
  } else {
    model = std::make_shared<BlockModel>(config, compute);
  }
  InitializeParameters(*model, seed);
  model->eval();
  return model;
}

}  // namespace blockformer::train
