#include "cuda/cuda_model.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/cuda_runner.h"
#include "cuda/stack.h"

namespace blockformer::cuda {
namespace {

// Makes a device the current one before anything is made on it.
int Use(int device) {
  UseDevice(device);
  return device;
}

RunnerSettings WithDefaults(RunnerSettings settings, const ModelConfig& config, Element type) {
  if (settings.token_blocks > 0 || config.kind == ModelKind::kVanilla) return settings;
  // So many that their activations stay in the L2 cache.
  constexpr int64_t kCacheBytes = 30'000'000;
  const StackConfig& stack = config.token_decoder;
  const int64_t numbers =
      2 * stack.hidden_size + 3 * stack.Heads().OutputWidth() + 3 * stack.intermediate_size;
  const int64_t bytes = numbers * ElementBytes(type) + 8 * stack.hidden_size + 1;
  settings.token_blocks = std::max<int64_t>(kCacheBytes / bytes / 64 * 64, 64);
  return settings;
}

}  // namespace

Element CacheElement(NumberType type) {
  switch (type) {
    case NumberType::kF32:
      return Element::kF32;
    case NumberType::kBf16:
      return Element::kBf16;
    case NumberType::kInt8:
      return Element::kInt8;
    case NumberType::kF16:
      return Element::kF16;
  }
  Fail(ErrorCode::kInternal, "a KV cache of an unknown type");
}

CudaModel::CudaModel(const ModelConfig& config, const ReadWeights& read, int device,
                     const RunnerSettings& settings)
    : Model(config),
      weight_type_(read.type),
      device_(Use(device)),
      weights_(LoadWeights(config, read, &library_)) {
  settings_ = WithDefaults(settings, config, weights_.type);
}

std::string CudaModel::device() const { return "cuda:" + std::to_string(device_); }

int64_t CudaModel::BytesPerPage(NumberType kv_type, int64_t page_size) const {
  return KvCache::BytesPerPage(weights_.decoder, CacheElement(kv_type), page_size);
}

int64_t CudaModel::AvailableBytes() const {
  UseDevice(device_);
  return std::max<int64_t>(FreeMemoryBytes() - CudaRunner::FixedBytes(*this), 0);
}

std::unique_ptr<Runner> CudaModel::MakeRunner(const RunnerOptions& options) const {
  return std::make_unique<CudaRunner>(*this, options);
}

}  // namespace blockformer::cuda
