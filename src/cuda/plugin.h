#ifndef BLOCKFORMER_CUDA_PLUGIN_H_
#define BLOCKFORMER_CUDA_PLUGIN_H_

#include <memory>
#include <string>

#include "checkpoint/read_weights.h"
#include "runner/model.h"

namespace blockformer::cuda {

// What libblockformer_cuda.so offers to the program that opens it: one exported C function returns
// this table. Nothing of it but the build id may be used unless that is the program's own.
struct PluginTable {
  const char* build_id = nullptr;
  // Both throw Error(kUnsupported) that says why no device can be used.
  int (*device_count)() = nullptr;
  std::string (*device_name)(int device) = nullptr;
  // Throws Error: kUnsupported if the device cannot run the model, kExhausted if it does not fit.
  std::shared_ptr<const Model> (*make_model)(const ModelConfig& config, const ReadWeights& weights,
                                             int device) = nullptr;
};

inline constexpr char kPluginFile[] = "libblockformer_cuda.so";
inline constexpr char kPluginFunction[] = "blockformer_cuda_plugin";
using PluginFunction = const PluginTable* (*)();

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_PLUGIN_H_
