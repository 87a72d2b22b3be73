#include "cpu/weights.h"

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/int8_gemm.h"

namespace blockformer {

namespace {

std::vector<float> ReadBias(const ReadWeights& read, const std::string& name, Bias bias) {
  return bias == Bias::kPresent ? read(name + ".bias") : std::vector<float>();
}

PackedLinear PackFloats(const std::vector<float>& weights, const std::vector<float>& bias,
                        int64_t out, int64_t in, NumberType type) {
  return PackedLinear(weights.data(), bias.empty() ? nullptr : bias.data(), out, in, type);
}

// Puts the layers' rows of `size` values a head head by head: for each head those of the first
// layer, then of the second, and so on.
template <typename T>
std::vector<T> InterleaveHeads(const std::vector<std::vector<T>>& layers, int64_t num_heads,
                               int64_t size) {
  std::vector<T> result;
  for (int64_t head = 0; head < num_heads; ++head) {
    for (const std::vector<T>& layer : layers) {
      const auto begin = layer.begin() + head * size;
      result.insert(result.end(), begin, begin + size);
    }
  }
  return result;
}

}  // namespace

PackedLinear PackInt8(const Int8Linear& linear, const std::vector<float>& bias) {
  return PackedLinear(linear.values.data(), linear.scales.data(), linear.input_scales.data(),
                      bias.empty() ? nullptr : bias.data(), linear.out, linear.in);
}

PackedLinear PackLinear(const ReadWeights& read, const std::string& name, int64_t out, int64_t in,
                        Bias bias) {
  const std::vector<float> biases = ReadBias(read, name, bias);
  if (read.type == NumberType::kInt8) return PackInt8(read.int8(name), biases);
  return PackFloats(read(name + ".weight"), biases, out, in, read.type);
}

PackedLinear PackHeads(const ReadWeights& read, const std::vector<std::string>& names,
                       int64_t num_heads, int64_t head_size, int64_t in, Bias bias) {
  std::vector<std::vector<float>> biases;
  for (const std::string& name : names) {
    if (bias == Bias::kPresent) biases.push_back(read(name + ".bias"));
  }
  const std::vector<float> packed_bias = InterleaveHeads(biases, num_heads, head_size);
  const int64_t out = static_cast<int64_t>(names.size()) * num_heads * head_size;
  if (read.type == NumberType::kInt8) {
    std::vector<std::vector<int8_t>> values;
    std::vector<std::vector<float>> scales;
    Int8Linear packed = {out, in, {}, {}, {}};
    for (const std::string& name : names) {
      Int8Linear linear = read.int8(name);
      values.push_back(std::move(linear.values));
      scales.push_back(std::move(linear.scales));
      packed.input_scales = std::move(linear.input_scales);  // 1, the same for all
    }
    packed.values = InterleaveHeads(values, num_heads, head_size * in);
    packed.scales = InterleaveHeads(scales, num_heads, head_size);
    return PackInt8(packed, packed_bias);
  }
  std::vector<std::vector<float>> weights;
  for (const std::string& name : names) weights.push_back(read(name + ".weight"));
  return PackFloats(InterleaveHeads(weights, num_heads, head_size * in), packed_bias, out, in,
                    read.type);
}

void CheckHeadSize(const std::string& part, int64_t head_size) {
  Require(head_size <= kMaxHeadSize, ErrorCode::kUnsupported,
          "{}: heads of {} dimensions are not supported; at most {} are", part, head_size,
          kMaxHeadSize);
}

namespace {

void Append(const std::vector<float>& values, std::vector<float>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

PackedLinear PackInt8Parts(const ReadWeights& read, const std::vector<NamedPart>& parts,
                           int64_t out, int64_t in, const std::vector<float>& bias) {
  Int8Linear packed = {out, in, {}, {}, {}};
  for (const auto& [name, part] : parts) {
    Int8Linear linear = read.int8(name);
    packed.values.insert(packed.values.end(), linear.values.begin(), linear.values.end());
    Append(linear.scales, &packed.scales);
    if (packed.input_scales.empty()) packed.input_scales = std::move(linear.input_scales);
    Require(&name == &parts[0].name || packed.input_scales == linear.input_scales,
            ErrorCode::kUnsupported,
            "{} and {} read the same inputs and have different input scales, which is not "
            "supported; convert the f32 or bf16 model with `dtype` int8",
            parts[0].name, name);
  }
  return PackInt8(packed, bias);
}

}  // namespace

PackedLinear PackParts(const ReadWeights& read, const std::vector<NamedPart>& parts) {
  const int64_t in = parts[0].part.in;
  int64_t out = 0;
  std::vector<float> bias;
  bool has_bias = false;
  for (const auto& [name, part] : parts) {
    out += part.out;
    has_bias |= part.has_bias;
    Append(part.has_bias ? read(name + ".bias") : std::vector<float>(part.out, 0.0F), &bias);
  }
  if (!has_bias) bias.clear();
  if (read.type == NumberType::kInt8) return PackInt8Parts(read, parts, out, in, bias);
  std::vector<float> weights;
  for (const auto& [name, part] : parts) Append(read(name + ".weight"), &weights);
  return PackFloats(weights, bias, out, in, read.type);
}

NormWeights ReadNorm(const ReadWeights& read, const std::string& name, bool has_bias) {
  return {read(name + ".weight"), has_bias ? read(name + ".bias") : std::vector<float>()};
}

PackedLinear PackTiedHead(const ReadWeights& read, const std::string& name,
                          const std::vector<float>& table, int64_t width,
                          std::span<const double> input_rms) {
  const int64_t vocab = std::ssize(table) / width;
  if (read.type == NumberType::kInt8) {
    return PackInt8(Quantize(name, table, vocab, width, input_rms), {});
  }
  return PackFloats(table, {}, vocab, width, read.type);
}

}  // namespace blockformer
