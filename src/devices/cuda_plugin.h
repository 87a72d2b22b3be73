#ifndef BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_
#define BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_

#include <string>

#include "cuda/plugin.h"

namespace blockformer {

// The plugin for NVIDIA's GPUs, if there is one, opened once. It is the file that the environment
// variable BLOCKFORMER_CUDA names ("off" for none), or else libblockformer_cuda.so in the program's
// folder or the folder of installed libraries.
struct CudaPlugin {
  const cuda::PluginTable* table = nullptr;
  int devices = 0;        // 1 or more if there is a table
  std::string problem;    // why there is none
  bool is_there = false;  // the file, whatever came of it
};
const CudaPlugin& GetCudaPlugin();

}  // namespace blockformer

#endif  // BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_
