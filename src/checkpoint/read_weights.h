#ifndef BLOCKFORMER_CHECKPOINT_READ_WEIGHTS_H_
#define BLOCKFORMER_CHECKPOINT_READ_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/number_type.h"
#include "checkpoint/quantize.h"
#include "config/model_config.h"

namespace blockformer {

// Where a model's parameters come from, and how its linear layers keep them.
struct ReadWeights {
  // The values of a parameter, by its name in ListParameters.
  std::function<std::vector<float>(const std::string& name)> floats;
  NumberType type = NumberType::kF32;  // kF32, kBf16 or kInt8
  // For kInt8: the linear layer whose weights are the parameter `name`.weight.
  std::function<Int8Linear(const std::string& name)> int8 = {};

  std::vector<float> operator()(const std::string& name) const { return floats(name); }
};

// Reads from a model directory, whose files stay mapped as long as the result lives. Without a type
// it is that of the files' linear layers, and kF32 for f16. Floats are quantised, and int8 weights
// are widened, if the type asks for it.
ReadWeights WeightsFromDirectory(const std::string& directory, const ModelConfig& config,
                                 std::optional<NumberType> type = std::nullopt);

// Draws initial values as training does; equal for equal seeds.
ReadWeights RandomWeights(const ModelConfig& config, uint64_t seed,
                          NumberType type = NumberType::kF32);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_READ_WEIGHTS_H_
