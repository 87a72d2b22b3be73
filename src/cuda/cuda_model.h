#ifndef BLOCKFORMER_CUDA_CUDA_MODEL_H_
#define BLOCKFORMER_CUDA_CUDA_MODEL_H_

#include <memory>
#include <string>

#include "cuda/weights.h"
#include "runner/model.h"

namespace blockformer::cuda {

// How the work is cut, for tests; 0 leaves the choice. Nothing of it changes results.
struct RunnerSettings {
  int64_t prefill_rows = 4096;  // units of prompts that pass through the decoder together
  int64_t token_blocks = 0;     // blocks that pass through the token decoder together
  int64_t logit_rows = 256;     // rows whose logits are in memory together
  bool graphs = true;           // steps are recorded once for each number of rows
};

// The type of a cache, as the device has it.
Element CacheElement(NumberType type);

// A model's weights on one GPU.
class CudaModel : public Model {
 public:
  // Throws Error: kUnsupported if the GPU cannot run the model, kExhausted if it does not fit.
  CudaModel(const ModelConfig& config, const ReadWeights& read, int device,
            const RunnerSettings& settings = {});

  NumberType weight_type() const override { return weight_type_; }
  std::string device() const override;
  int64_t BytesPerPage(NumberType kv_type, int64_t page_size) const override;
  int64_t AvailableBytes() const override;
  std::unique_ptr<Runner> MakeRunner(const RunnerOptions& options) const override;

  int device_index() const { return device_; }
  const ModelWeights& weights() const { return weights_; }
  const RunnerSettings& settings() const { return settings_; }

 private:
  NumberType weight_type_;
  int device_;
  RunnerSettings settings_;
  GemmLibrary library_;
  ModelWeights weights_;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_CUDA_MODEL_H_
