#ifndef BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_
#define BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_

#include <string>

#include "cuda/plugin.h"

namespace blockformer {

// The plugin for NVIDIA's GPUs, if there is one, opened once. It is the file that the environment
// variable BLOCKFORMER_CUDA names ("off" for none), or else libblockformer_cuda.so beside this
// library, beside the program, or in the folder of libraries beside an installed program's folder.
struct CudaPlugin {
  const cuda::PluginTable* table = nullptr;
  int devices = 0;           // 1 or more if there is a table
  std::string problem;       // why there is none
  bool is_expected = false;  // there is a file, or one was named, whatever came of it
};
const CudaPlugin& GetCudaPlugin();

}  // namespace blockformer

#endif  // BLOCKFORMER_DEVICES_CUDA_PLUGIN_H_
