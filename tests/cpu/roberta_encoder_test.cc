// The encoder against plain loops that follow its definition.
#include "cpu/roberta_encoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/reference.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

// Outputs are normalised, so of size 1, and pass through few layers: each of some 14 to 22 products
// a sum, whose errors the weights of about 0.24 do not enlarge.
constexpr float kTolerance = 2e-5f;

using Values = std::vector<float>;

class PlainEncoder {
 public:
  PlainEncoder(const ModelConfig& config, const ReadWeights& read)
      : config_(config), encoder_(config.embedder.encoder), read_(read) {}

  // One block: all positions' outputs, those of CLS tokens first.
  Values Encode(std::vector<int32_t> ids, std::vector<uint8_t> mask) const {
    const size_t cls = encoder_.num_cls_tokens;
    ids.insert(ids.begin(), cls, static_cast<int32_t>(encoder_.cls_token_id));
    mask.insert(mask.begin(), cls, 1);
    Values x = Embed(ids);
    Norm("embedder.embeddings.LayerNorm", &x);
    for (int64_t i = 0; i < encoder_.num_layers; ++i) {
      const std::string name = "embedder.encoder.layer." + std::to_string(i) + ".";
      const Values attended = Attend(name + "attention.self.", x, mask);
      Add(Linear(name + "attention.output.dense", attended, Epilogue::kStore), &x);
      Norm(name + "attention.output.LayerNorm", &x);
      const Values inner = Linear(name + "intermediate.dense", x, Epilogue::kGelu);
      Add(Linear(name + "output.dense", inner, Epilogue::kStore), &x);
      Norm(name + "output.LayerNorm", &x);
    }
    return x;
  }

 private:
  int64_t width() const { return config_.embedder.hidden_size; }

  Values Embed(const std::vector<int32_t>& ids) const {
    const std::string name = "embedder.embeddings.";
    const Values words = read_(name + "word_embeddings.weight");
    const Values positions = read_(name + "position_embeddings.weight");
    const Values type = read_(name + "token_type_embeddings.weight");
    Values x;
    int64_t next = encoder_.pad_token_id + 1;
    for (const int32_t id : ids) {
      const int64_t position = id == encoder_.pad_token_id ? encoder_.pad_token_id : next++;
      for (int64_t d = 0; d < width(); ++d) {
        x.push_back(words[id * width() + d] + positions[position * width() + d] + type[d]);
      }
    }
    return x;
  }

  Values Linear(const std::string& name, const Values& x, Epilogue epilogue) const {
    const Values weights = read_(name + ".weight");
    const Values bias = read_(name + ".bias");
    const int64_t out = static_cast<int64_t>(bias.size());
    const int64_t in = static_cast<int64_t>(weights.size()) / out;
    const int64_t rows = static_cast<int64_t>(x.size()) / in;
    Values y(static_cast<size_t>(rows * out));
    reference::Linear(x.data(), weights.data(), bias.data(), rows, out, in, epilogue, y.data());
    return y;
  }

  void Norm(const std::string& name, Values* x) const {
    const NormWeights weights = ReadNorm(read_, name);
    reference::LayerNorm(x->data(), static_cast<int64_t>(x->size()) / width(), width(),
                         weights.gain.data(), weights.bias.data(), 1e-5f, x->data());
  }

  static void Add(const Values& y, Values* x) {
    for (size_t i = 0; i < x->size(); ++i) (*x)[i] += y[i];
  }

  Values Attend(const std::string& name, const Values& x, const std::vector<uint8_t>& mask) const {
    const Values queries = Linear(name + "query", x, Epilogue::kStore);
    const Values keys = Linear(name + "key", x, Epilogue::kStore);
    const Values values = Linear(name + "value", x, Epilogue::kStore);
    const int64_t rows = static_cast<int64_t>(mask.size());
    const int64_t size = width() / encoder_.num_heads;
    Values out(x.size());
    for (int64_t item = 0; item < rows * encoder_.num_heads; ++item) {
      const int64_t begin = item / encoder_.num_heads * width() + item % encoder_.num_heads * size;
      std::vector<double> sums(size);
      double total = 0;
      for (int64_t j = 0; j < rows; ++j) {
        const int64_t key = j * width() + item % encoder_.num_heads * size;
        const double weight =
            Weight(queries.data() + begin, keys.data() + key, size, mask, static_cast<size_t>(j));
        total += weight;
        for (int64_t d = 0; d < size; ++d) {
          sums[d] += weight * values[key + d];
        }
      }
      for (int64_t d = 0; d < size; ++d) {
        out[begin + d] = static_cast<float>(sums[d] / total);
      }
    }
    return out;
  }

  // The weight of key j, not normalised; all are equal where no key is visible.
  static double Weight(const float* query, const float* key, int64_t size,
                       const std::vector<uint8_t>& mask, size_t j) {
    if (std::count(mask.begin(), mask.end(), 1) == 0) return 1;
    if (mask[j] == 0) return 0;
    double score = 0;
    for (int64_t d = 0; d < size; ++d) score += static_cast<double>(query[d]) * key[d];
    return std::exp(score / std::sqrt(static_cast<double>(size)));
  }

  ModelConfig config_;
  EncoderConfig encoder_;
  ReadWeights read_;
};

void ExpectMatches(const ModelConfig& config) {
  const ReadWeights read = TinyWeights(config);
  const RobertaEncoder encoder(config, read);
  const PlainEncoder plain(config, read);
  const std::vector<std::vector<int32_t>> blocks = {
      {5, 6, 7}, {1, 1, 9}, {8, 1, 8}, {1, 1, 1}, {3, 60, 0}};
  const std::vector<std::vector<uint8_t>> masks = {
      {1, 1, 1}, {0, 0, 1}, {1, 1, 0}, {0, 0, 0}, {1, 0, 1}};
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
  for (size_t i = 0; i < blocks.size(); ++i) {
    ids.insert(ids.end(), blocks[i].begin(), blocks[i].end());
    mask.insert(mask.end(), masks[i].begin(), masks[i].end());
  }
  RobertaState state;
  for (const bool masked : {true, false}) {
    const MatrixView<const float> actual = encoder.Encode(
        {ids, 3}, masked ? MatrixView<const uint8_t>(mask, 3) : MatrixView<const uint8_t>(),
        &state);
    ASSERT_EQ(actual.rows(), std::ssize(blocks));
    ASSERT_EQ(actual.columns(), config.NumPooled() * config.embedder.hidden_size);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::vector<float> expected =
          plain.Encode(blocks[i], masked ? masks[i] : std::vector<uint8_t>(3, 1));
      for (int64_t d = 0; d < actual.columns(); ++d) {
        ASSERT_NEAR(actual.Row(i)[d], expected[d], kTolerance)
            << "block " << i << (masked ? ", masked" : "");
      }
    }
  }
}

TEST(RobertaEncoderTest, EncodesTheTokensOfEachBlock) { ExpectMatches(TinyRobertaConfig()); }

TEST(RobertaEncoderTest, GivesTheClsTokensOutputs) { ExpectMatches(TinyRobertaClsConfig()); }

}  // namespace
}  // namespace blockformer
