// The T5 decoder against plain loops that follow its definition.
#include "cpu/t5_stack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/random.h"
#include "config/parameters.h"
#include "kernels/reference.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

// Outputs are normalised, so of size 1, and pass through sums of at most 30 products.
constexpr float kT5Tolerance = 5e-5f;

using Values = std::vector<float>;

class PlainT5 {
 public:
  PlainT5(const T5Config& config, const ReadWeights& read) : config_(config), read_(read) {}

  // x [length, width] attends to itself, causally, and to vectors [length, width].
  Values Run(Values x, const Values& vectors) const {
    for (int64_t i = 0; i < config_.num_layers; ++i) {
      const std::string name = std::string(kT5Prefix) + ".block." + std::to_string(i) + ".layer.";
      const Values normed = Norm(name + "0.layer_norm", x);
      AddAttention(name + "0.SelfAttention.", normed, normed, /*causal=*/true, &x);
      AddAttention(name + "1.EncDecAttention.", Norm(name + "1.layer_norm", x), vectors,
                   /*causal=*/false, &x);
      const Values inner =
          Linear(name + "2.DenseReluDense.wi", Norm(name + "2.layer_norm", x), Epilogue::kRelu);
      Add(Linear(name + "2.DenseReluDense.wo", inner, Epilogue::kStore), &x);
    }
    return Norm(std::string(kT5Prefix) + ".final_layer_norm", x);
  }

 private:
  Values Norm(const std::string& name, const Values& x) const {
    Values y(x.size());
    reference::RmsNorm(x.data(), static_cast<int64_t>(x.size()) / config_.hidden_size,
                       config_.hidden_size, read_(name + ".weight").data(), 1e-6f, y.data());
    return y;
  }

  Values Linear(const std::string& name, const Values& x, Epilogue epilogue) const {
    const Values weights = read_(name + ".weight");
    const bool contracts = name.ends_with("wo") || name.ends_with("o");
    const int64_t in = !contracts             ? config_.hidden_size
                       : name.ends_with("wo") ? config_.intermediate_size
                                              : config_.AttentionWidth();
    const int64_t out = static_cast<int64_t>(weights.size()) / in;
    const int64_t rows = static_cast<int64_t>(x.size()) / in;
    Values y(static_cast<size_t>(rows * out));
    reference::Linear(x.data(), weights.data(), nullptr, rows, out, in, epilogue, y.data());
    return y;
  }

  static void Add(const Values& y, Values* x) {
    for (size_t i = 0; i < x->size(); ++i) (*x)[i] += y[i];
  }

  void AddAttention(const std::string& name, const Values& x, const Values& source, bool causal,
                    Values* sum) const {
    const Values queries = Linear(name + "q", x, Epilogue::kStore);
    const Values keys = Linear(name + "k", source, Epilogue::kStore);
    const Values values = Linear(name + "v", source, Epilogue::kStore);
    const Values bias = read_(std::string(kT5Prefix) +
                              ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    const int64_t heads = config_.num_heads;
    const int64_t size = config_.head_size;
    const int64_t rows = static_cast<int64_t>(queries.size()) / (heads * size);
    Values out(queries.size());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t head = 0; head < heads; ++head) {
        std::vector<double> sums(size);
        double total = 0;
        for (int64_t j = 0; j < (causal ? i + 1 : rows); ++j) {
          double score = 0;
          for (int64_t d = 0; d < size; ++d) {
            score += static_cast<double>(queries[Index(i, head, d)]) * keys[Index(j, head, d)];
          }
          // Buckets of TinyT5Config: 0, 1, then 2 for distances below sqrt(2 * 16), then 3.
          const int64_t bucket = i - j < 2 ? i - j : i - j < 6 ? 2 : 3;
          if (causal) score += bias[bucket * heads + head];
          total += std::exp(score);
          for (int64_t d = 0; d < size; ++d) {
            sums[d] += std::exp(score) * values[Index(j, head, d)];
          }
        }
        for (int64_t d = 0; d < size; ++d) {
          out[Index(i, head, d)] = static_cast<float>(sums[d] / total);
        }
      }
    }
    Add(Linear(name + "o", out, Epilogue::kStore), sum);
  }

  size_t Index(int64_t row, int64_t head, int64_t d) const {
    return static_cast<size_t>((row * config_.num_heads + head) * config_.head_size + d);
  }

  T5Config config_;
  ReadWeights read_;
};

Values RandomMatrix(int64_t size, uint64_t seed) {
  Random random(seed);
  Values values(static_cast<size_t>(size));
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

TEST(T5StackTest, MatchesItsDefinition) {
  constexpr int64_t kBlocks = 3;
  constexpr int64_t kBlockLength = 11;
  const ModelConfig model = TinyT5Config();
  const ReadWeights read = RandomWeights(model, 11);
  const T5Stack stack(model.t5, kBlockLength, read);
  const int64_t block_size = kBlockLength * model.t5.hidden_size;
  const Values vectors = RandomMatrix(kBlocks * block_size, 1);
  const Values inputs = RandomMatrix(kBlocks * block_size, 2);

  T5State state(model.t5, kBlocks, PageSizeFor(kBlockLength));
  const std::vector<int32_t> pages = {0, 1, 2};
  stack.StoreVectors({vectors, model.t5.hidden_size}, pages, &state);
  Values actual = inputs;
  std::vector<AttentionRow> rows;
  for (int64_t i = 0; i < kBlocks * kBlockLength; ++i) {
    rows.push_back({&pages[i / kBlockLength], i % kBlockLength, 0, nullptr, false});
  }
  stack.Forward(rows, {actual, model.t5.hidden_size}, &state);
  stack.FinalNorm({actual, model.t5.hidden_size});

  const PlainT5 plain(model.t5, read);
  for (int64_t block = 0; block < kBlocks; ++block) {
    const auto part = [&](const Values& matrix) {
      return Values(matrix.begin() + block * block_size, matrix.begin() + (block + 1) * block_size);
    };
    const Values expected = plain.Run(part(inputs), part(vectors));
    const Values computed = part(actual);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(computed[i], expected[i], kT5Tolerance) << "block " << block << ", value " << i;
    }
  }
}

TEST(T5StackTest, BucketsGrowLogarithmically) {
  // With T5's own 32 buckets up to a distance of 128 the bucket rises at these distances.
  const std::vector<int64_t> rises = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                      12, 13, 14, 15, 16, 19, 21, 24, 27, 31, 35,
                                      40, 46, 52, 59, 67, 77, 87, 99, 113};
  int64_t bucket = 0;
  for (int64_t distance = 0; distance < 300; ++distance) {
    if (std::find(rises.begin(), rises.end(), distance) != rises.end()) ++bucket;
    EXPECT_EQ(RelativePositionBucket(distance, 32, 128), bucket) << "distance " << distance;
  }
  EXPECT_EQ(bucket, 31);
}

}  // namespace
}  // namespace blockformer
