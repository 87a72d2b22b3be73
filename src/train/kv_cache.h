#ifndef BLOCKFORMER_TRAIN_KV_CACHE_H_
#define BLOCKFORMER_TRAIN_KV_CACHE_H_

#include <utility>
#include <vector>

#include "train/torch.h"

namespace blockformer::train {

// Keys and values of the positions decoded so far, a pair for each layer.
class KvCache {
 public:
  struct Shape {
    int64_t layers = 0;
    int64_t batch = 0;     // sequences
    int64_t capacity = 0;  // positions of each
    int64_t heads = 0;
    int64_t head_size = 0;
  };

  KvCache(const Shape& shape, torch::Device device);

  int64_t length() const { return length_; }

  // Writes [batch, rows, heads, head_size] after what is there and returns all keys and values,
  // with `rows` more positions than length(); Advance() makes them part of it.
  std::pair<torch::Tensor, torch::Tensor> Append(int64_t layer, const torch::Tensor& key,
                                                 const torch::Tensor& value);
  void Advance(int64_t rows) { length_ += rows; }

 private:
  std::vector<torch::Tensor> keys_;  // [batch, capacity, heads, head_size]
  std::vector<torch::Tensor> values_;
  int64_t length_ = 0;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KV_CACHE_H_
