#ifndef BLOCKFORMER_TESTS_CUDA_CONTRACT_MODELS_H_
#define BLOCKFORMER_TESTS_CUDA_CONTRACT_MODELS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/cuda_model.h"
#include "cuda/emulation/emulation.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model.h"
#include "tests/engine/engine_fixture.h"

namespace blockformer {

// Whose runner a test holds to the contract, by name.
inline std::vector<std::string> ContractDevices() { return {"cpu", "cuda"}; }

// The tiny models that a GPU runs.
inline std::map<std::string, ModelConfig> ContractConfigs() {
  ModelConfig sequential = TinyBlockConfig();
  sequential.decoder.parallel_residual = false;
  sequential.token_decoder.parallel_residual = false;
  ModelConfig projected = TinyBlockConfig();
  projected.embedder.projection = EmbedderProjection::kConv1d;
  projected.embedder.hidden_size = 10;
  ModelConfig repeated = TinyBlockConfig();
  repeated.expansion = Expansion::kRepeat;
  repeated.token_decoder.hidden_size = repeated.decoder.hidden_size;
  ModelConfig summed = TinyBlockConfig();
  summed.embedder.projection = EmbedderProjection::kMean;
  summed.embedder.hidden_size = summed.decoder.hidden_size;
  return {{"Vanilla", TinyVanillaConfig()},
          {"Prefix", TinyBlockConfig()},
          {"Summation", TinySummationConfig()},
          {"Sequential", sequential},
          {"ModernVanilla", TinyModernVanillaConfig()},
          {"FusedVanilla", TinyFusedVanillaConfig()},
          {"ModernPrefix", TinyModernBlockConfig()},
          {"ModernSummation", TinyModernSummationConfig()},
          {"Projected", projected},
          {"Repeated", repeated},
          {"Mean", summed}};
}

// Cuts work into many small pieces, so that all loops over them run more than once.
inline cuda::RunnerSettings SmallPieces(bool graphs = true) { return {5, 3, 2, graphs}; }

inline std::shared_ptr<const Model> MakeOn(const std::string& device, const ModelConfig& config,
                                           NumberType type = NumberType::kF32,
                                           const cuda::RunnerSettings& settings = SmallPieces()) {
  const ReadWeights weights = TinyWeights(config, type);
  if (device == "cpu") return std::make_shared<const CpuModel>(config, weights);
  return std::make_shared<const cuda::CudaModel>(config, weights, 0, settings);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CUDA_CONTRACT_MODELS_H_
