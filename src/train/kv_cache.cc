#include "train/kv_cache.h"

namespace blockformer::train {

KvCache::KvCache(const Shape& shape, torch::Device device) {
  const auto options = torch::TensorOptions().device(device);
  const std::vector<int64_t> sizes = {shape.batch, shape.capacity, shape.heads, shape.head_size};
  for (int64_t i = 0; i < shape.layers; ++i) {
    keys_.push_back(torch::empty(sizes, options));
    values_.push_back(torch::empty(sizes, options));
  }
}

std::pair<torch::Tensor, torch::Tensor> KvCache::Append(int64_t layer, const torch::Tensor& key,
                                                        const torch::Tensor& value) {
  const int64_t rows = key.size(1);
  torch::Tensor& keys = keys_[static_cast<size_t>(layer)];
  torch::Tensor& values = values_[static_cast<size_t>(layer)];
  keys.narrow(1, length_, rows).copy_(key);
  values.narrow(1, length_, rows).copy_(value);
  return {keys.narrow(1, 0, length_ + rows), values.narrow(1, 0, length_ + rows)};
}

}  // namespace blockformer::train
