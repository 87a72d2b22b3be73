#include "bench/outliers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/teacher_forcing.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

constexpr int64_t kChannels = 3;

// Biases begin as zeros, which outliers would leave as they are.
ModelQuantizer::ReadFloats WeightsWithBiases(const ModelConfig& config) {
  return [read = TinyWeights(config)](const std::string& name) {
    std::vector<float> values = read(name);
    if (name.ends_with("layernorm.bias")) {
      for (size_t i = 0; i < values.size(); ++i) values[i] = 0.1F * static_cast<float>(i % 5 + 1);
    }
    return values;
  };
}

std::vector<float> Logits(const ModelConfig& config, const ModelQuantizer::ReadFloats& floats) {
  const CpuModel model(config, {floats, NumberType::kF32});
  ForwardInput input;
  input.batch = 1;
  input.units = 5;
  for (int32_t i = 0; i < input.units * model.unit_length(); ++i) {
    input.ids.push_back(i * 7 % static_cast<int32_t>(config.vocab_size));
  }
  input.mask.assign(input.ids.size(), 1);
  input.unit_mask.assign(input.units, 1);
  return Forward(model, input).logits;
}

int64_t CountChanged(const std::vector<float>& before, const std::vector<float>& after) {
  int64_t changed = 0;
  for (size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i] ? 1 : 0;
  return changed;
}

TEST(OutliersTest, LeaveWhatEveryModelComputes) {
  for (const auto& [name, config] : TinyConfigs()) {
    const auto plain = WeightsWithBiases(config);
    const std::vector<float> expected = Logits(config, plain);
    const std::vector<float> logits = Logits(config, WithOutliers(config, plain, kChannels));
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_NEAR(logits[i], expected[i], 1e-4 * std::fabs(expected[i]) + 1e-4) << name << " " << i;
    }
  }
}

TEST(OutliersTest, AreAsManyBehindEachNormInsideALayer) {
  const ModelConfig config = TinyBlockConfig();
  const auto plain = WeightsWithBiases(config);
  const auto changed = WithOutliers(config, plain, kChannels);
  int64_t parameters = 0;
  for (const ParameterSpec& spec : ListParameters(config)) {
    const int64_t count = CountChanged(plain(spec.name), changed(spec.name));
    const bool is_norm =
        spec.name.ends_with("layernorm.weight") || spec.name.ends_with("layernorm.bias");
    const bool reads_norm = spec.name.ends_with("query_key_value.weight") ||
                            spec.name.ends_with("dense_h_to_4h.weight");
    const int64_t rows = is_norm ? 1 : reads_norm ? spec.shape[0] : 0;
    EXPECT_EQ(count, kChannels * rows) << spec.name;
    parameters += is_norm ? 1 : 0;
  }
  EXPECT_EQ(parameters, 4 * (config.decoder.num_layers + config.token_decoder.num_layers));
}

TEST(OutliersTest, AreAtMostTheNarrowestStacksChannels) {
  EXPECT_EQ(MaxOutliers(TinyBlockConfig()), 20);
  EXPECT_EQ(MaxOutliers(TinyT5Config()), 24);
  EXPECT_EQ(MaxOutliers(TinyVanillaConfig()), 24);
}

}  // namespace
}  // namespace blockformer
