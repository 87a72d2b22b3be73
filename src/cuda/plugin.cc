#include "cuda/plugin.h"

#include "base/build_id.h"
#include "cuda/cuda_model.h"
#include "cuda/device.h"

namespace blockformer::cuda {
namespace {

std::shared_ptr<const Model> MakePluginModel(const ModelConfig& config, const ReadWeights& weights,
                                             int device) {
  return std::make_shared<const CudaModel>(config, weights, device);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const PluginTable* blockformer_cuda_plugin() {
  static const PluginTable table = {kBuildId, DeviceCount, DeviceName, MakePluginModel};
  return &table;
}

}  // namespace blockformer::cuda
