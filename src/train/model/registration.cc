#include "train/model/registration.h"

namespace blockformer::train {

torch::nn::Module& ModuleAt(torch::nn::Module& root, const std::string& path) {
  if (path.empty()) return root;
  const size_t dot = path.find('.');
  const std::string name = path.substr(0, dot);
  const auto children = root.named_children();
  torch::nn::Module* const child =
      children.contains(name)
          ? children[name].get()
          : root.register_module(name, std::make_shared<torch::nn::Module>()).get();
  return ModuleAt(*child, dot == std::string::npos ? "" : path.substr(dot + 1));
}

}  // namespace blockformer::train
