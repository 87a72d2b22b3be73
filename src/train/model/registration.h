#ifndef BLOCKFORMER_TRAIN_MODEL_REGISTRATION_H_
#define BLOCKFORMER_TRAIN_MODEL_REGISTRATION_H_

#include <memory>
#include <string>
#include <utility>

#include "train/torch.h"

namespace blockformer::train {

// The module at a path such as "layers.0.attention" below `root`; those that are not there yet are
// made. An empty path is `root`.
torch::nn::Module& ModuleAt(torch::nn::Module& root, const std::string& path);

// Registers a module at a path below `root`, as the table of tensor names has them.
template <typename Module>
std::shared_ptr<Module> RegisterAt(torch::nn::Module& root, const std::string& path,
                                   std::shared_ptr<Module> module) {
  const size_t dot = path.rfind('.');
  const bool nested = dot != std::string::npos;
  return ModuleAt(root, nested ? path.substr(0, dot) : "")
      .register_module(nested ? path.substr(dot + 1) : path, std::move(module));
}

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_REGISTRATION_H_
