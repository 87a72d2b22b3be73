#ifndef BLOCKFORMER_CUDA_WEIGHTS_H_
#define BLOCKFORMER_CUDA_WEIGHTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/head_layout.h"
#include "base/rotary_angle.h"
#include "checkpoint/read_weights.h"
#include "cuda/device.h"
#include "cuda/gemm.h"

// A model's weights on the device. This is the only place of the folder that knows what parameters
// are called and what of the configuration they follow; everything else goes by the structures
// below.
namespace blockformer::cuda {

// A linear layer.
struct Linear {
  Gemm gemm;
  Buffer weight;  // [out, in]
  Buffer bias;    // [out], of the type of the result; empty without one

  void Run(Stream* stream, const void* x, int64_t rows, void* y) const {
    gemm.Run(stream, x, rows, weight.data(), bias.data(), y);
  }
};

// A stack of decoder layers. The gains and biases of the norms before a layer's products are folded
// into these, so that with a parallel residual both norms give the same row: a layer reads it once.
// Rows of `joint` [rows, attention + inner] hold what attention writes, and behind it what the last
// products read.
struct StackWeights {
  struct Layer {
    Linear qkv;
    Linear up;                    // into `joint`; with gates, both side by side
    std::optional<Linear> tail;   // parallel: the sum of both branches, from `joint`
    std::optional<Linear> dense;  // or else one after the other
    std::optional<Linear> down;
    Array<float> query_gain;  // of QK norms, if there are any
    Array<float> key_gain;
  };

  int64_t width = 0;
  int64_t inner = 0;  // width of the feed-forward layer
  HeadLayout layout;
  NormRule norm;
  RotaryRule rotary;
  bool is_gated = false;  // SwiGLU
  std::vector<Layer> layers;
  Array<float> final_gain;
  Array<float> final_bias;  // empty without one

  int64_t attention() const { return layout.OutputWidth(); }
  int64_t joint() const { return attention() + inner; }
  int64_t num_layers() const { return std::ssize(layers); }
};

struct EmbedderWeights {
  Pool pool = Pool::kConcat;
  int64_t width = 0;
  Buffer table;                       // [vocab, width]
  std::optional<Linear> convolution;  // of the concatenated vectors
};

struct TokenDecoderWeights {
  StackWeights stack;
  Buffer table;                     // [vocab, width]
  std::optional<Linear> expansion;  // or else each context is repeated
  TokenInputs inputs;               // but for the positions
};

struct ModelWeights {
  Element type = Element::kF32;  // of weights and activations
  EmbedderWeights embedder;
  StackWeights decoder;
  std::optional<TokenDecoderWeights> token_decoder;  // of a block model
  Linear head;                                       // its results are f32
};

// Throws Error(kUnsupported) that names what of the model, or of its weights, a GPU cannot run.
void RequireSupported(const ModelConfig& config, NumberType type);

// Copies all weights to the device, one parameter after the other. Throws as RequireSupported().
ModelWeights LoadWeights(const ModelConfig& config, const ReadWeights& read,
                         const GemmLibrary* library);

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_WEIGHTS_H_
