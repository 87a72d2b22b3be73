#ifndef BLOCKFORMER_CUDA_STACK_H_
#define BLOCKFORMER_CUDA_STACK_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/weights.h"

namespace blockformer::cuda {

// Cosines and sines on the device, by the rule of base/rotary_angle.h.
class RotaryAngles {
 public:
  RotaryAngles() = default;
  RotaryAngles(const StackWeights& stack, int64_t positions);

  RotaryTable table() const { return {cosines_.data(), sines_.data(), size_}; }

 private:
  int64_t size_ = 0;
  Array<float> cosines_;
  Array<float> sines_;
};

// The keys and values of all layers of a stack, in pages.
class KvCache {
 public:
  KvCache() = default;
  KvCache(const StackWeights& stack, Element type, int64_t num_pages, int64_t page_size);

  const KvPages& Layer(int64_t layer) const { return layers_[layer]; }
  void FillForBenchmark(Stream* stream);

  static int64_t BytesPerPage(const StackWeights& stack, Element type, int64_t page_size);

 private:
  Buffer memory_;
  std::vector<KvPages> layers_;
};

// Memory for what passes through a stack.
struct Activations {
  Activations() = default;
  // For up to `rows` rows of a stack.
  Activations(const StackWeights& stack, Element type, int64_t rows);

  static int64_t BytesPerRow(const StackWeights& stack, Element type);

  int64_t rows = 0;
  Buffer normed;      // [rows, width]
  Buffer qkv;         // [rows, layout.width]
  Buffer joint;       // [rows, attention + inner]
  Buffer gated;       // [rows, 2 inner], if there are gates
  Array<float> kept;  // [rows, width]: the wanted rows, from the last layer's attention on
};

// Which rows are wanted of the last layer: those of a list, or of every `count` the last
// `per_block`.
struct WantedRows {
  int64_t rows = 0;  // in all
  const int32_t* list = nullptr;
  int64_t count = 1;
  int64_t per_block = 1;
};

// Attention of a layer: qkv [rows, layout.width] -> out, whose rows lie out_stride apart, of all
// rows, or in the last layer of the wanted ones.
using AttendLayer =
    std::function<void(int64_t layer, bool last, void* qkv, void* out, int64_t out_stride)>;

// Queues the layers for x [rows, width], which is changed. Returns where the wanted rows' results
// lie, before the final norm; the other rows stop once the last layer has their keys and values.
const float* RunLayers(Stream* stream, const StackWeights& stack, Element type, int64_t rows,
                       const WantedRows& wanted, const AttendLayer& attend, float* x,
                       Activations* activations);

// The final normalisation of x [rows, width].
void FinalNorm(Stream* stream, const StackWeights& stack, const float* x, int64_t rows,
               Element y_type, void* y);

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_STACK_H_
