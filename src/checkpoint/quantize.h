#ifndef BLOCKFORMER_CHECKPOINT_QUANTIZE_H_
#define BLOCKFORMER_CHECKPOINT_QUANTIZE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "config/parameters.h"

namespace blockformer {

// A linear layer's weights in int8, symmetric, with a scale for each output and a divisor for each
// input: weight [o, i] = values [o, i] * scales [o] / input_scales [i]. Inputs are divided by
// theirs before they are quantised.
struct Int8Linear {
  int64_t out = 0;
  int64_t in = 0;
  std::vector<int8_t> values;       // [out, in], each in [-127, 127]
  std::vector<float> scales;        // [out], positive
  std::vector<float> input_scales;  // [in], positive
};

// Quantises weights [out, in], rounding to nearest even: with input scales s and w_j = |W [o, j]|
// s_j, scales [o] = max(max_j w_j / 127, max_j (w_2j + w_2j+1) / kMaxInt8PairSum), so that |W [o,
// j] - result| <= scales [o] / (2 s_j), and the absolute values of inputs 2 j and 2 j + 1 add up to
// kMaxInt8PairSum at most.
//
// With `input_rms`, the root mean square of each input, weights and inputs meet half way in the
// manner of SmoothQuant (Xiao et al., arXiv 2211.10438, equation 4 with alpha 1/2):
// s_j = sqrt(rms_j / max_o |W [o, j]|), divided by the median and at most 2^16 from 1; 1 where that
// is within a factor of 4 of 1, since root mean squares that are derived rather than measured do
// harm there. Beyond that, an input that is k times as large, with weights that are 1/k of what
// they were, leaves the values as they are. Without it all s_j are 1.
//
// The result is finite whatever `input_rms` holds. Throws Error(kInvalidArgument), opening with
// `name`, for a weight that is not finite or exceeds 1e25.
//
// `column_maxima` are max_o |W [o, j]|, over other layers with the same inputs as well, or empty.
Int8Linear Quantize(const std::string& name, std::span<const float> weights, int64_t out,
                    int64_t in, std::span<const double> input_rms = {},
                    std::vector<double> column_maxima = {});

// The weights [out, in] that the values stand for.
std::vector<float> Dequantize(const Int8Linear& linear);

// The linear layer that has this weight: the name without ".weight".
std::string LinearName(const std::string& weight);

// The root mean square of what a norm writes, of gain g and bias b (an RMS norm has none):
// sqrt(g^2 + b^2), since what it normalises has unit variance, or a mean square of 1.
std::vector<double> NormOutputRms(std::span<const float> gain, std::span<const float> bias);

// Quantises the linear layers of a model. No data are needed: the root mean square of a layer's
// inputs follows from the parameters before it. After a norm it is NormOutputRms; after a linear
// layer sqrt(sum_j (W [o, j] rms_j)^2 + b_o^2), as if its inputs were independent. Attention, GELU
// and ReLU are taken to keep it; behind SwiGLU it is the product of the gate's and up's, up to a
// factor, which changes nothing. Layers of a stack that read the same norm (query, key and value;
// gate and up) get the same input scales, by the largest weights of all of them, because the engine
// packs them into one. Layers of T5 and RoBERTa are quantised without scales for the same reason.
// Copies share nothing; safe to use from several threads if `read` is.
class ModelQuantizer {
 public:
  // The values of a parameter, by its name in ListParameters.
  using ReadFloats = std::function<std::vector<float>(const std::string& name)>;

  ModelQuantizer(const ModelConfig& config, ReadFloats read);

  // The linear layer whose weights are the parameter `name`.weight, which may be int8.
  Int8Linear operator()(const std::string& name) const;

  // Whether its inputs have scales; if not, all of them are 1.
  bool ScalesInputs(const std::string& name) const;

 private:
  // What a layer's inputs are.
  enum class Origin { kUnknown, kNorm, kLinear, kProduct, kValuesOfHeads };
  struct Layer {
    int64_t out = 0;
    int64_t in = 0;
    bool has_bias = false;
    Origin origin = Origin::kUnknown;
    std::string before;       // the norm or linear layer that they come from
    std::string gate;         // of kProduct: the other one
    HeadLayout heads;         // of kValuesOfHeads: where `before` writes values
    std::string scaled_with;  // layers with the same inputs and scales have the same; empty: alone
  };

  void AddStack(const StackConfig& config, const StackNames& names);
  void AddPart(const StackConfig& config, const StackNames& names, int64_t index,
               const StackPart& part);
  void SetNorm(const std::string& name, const std::string& norm);
  const Layer& Find(const std::string& name) const;
  std::vector<double> InputRms(const Layer& layer) const;
  std::vector<double> NormRms(const std::string& name) const;
  std::vector<double> OutputRms(const std::string& name) const;
  std::vector<double> ColumnMaxima(const std::string& name) const;

  ReadFloats read_;
  std::map<std::string, Layer> layers_;
  std::map<std::string, bool> norms_;  // whether each norm of a stack has a bias
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_QUANTIZE_H_
