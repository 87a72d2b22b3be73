#include "checkpoint/gguf_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <numbers>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/read_weights.h"
#include "tests/checkpoint/gguf_writer.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using GgufFloats = std::map<std::string, std::vector<float>>;

// Two layers of width 32 with 4 heads of 8, or 6 where the family may; what the file's keys say.
struct GgufArchitecture {
  const char* name;
  StackFamily family;
  int64_t kv_heads;
  int64_t head_dim;
  bool tied_head;
  bool biases;
};

constexpr int64_t kGgufWidth = 32;
constexpr int64_t kGgufHeads = 4;
constexpr int64_t kGgufInner = 64;
constexpr int64_t kGgufVocabulary = 40;
constexpr int64_t kGgufLayers = 2;

ModelConfig GgufConfigOf(const GgufArchitecture& architecture) {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = kGgufVocabulary;
  config.max_length = 64;
  config.eos_token_id = 2;
  config.other_eos_token_ids = {3};
  config.pad_token_id = 4;
  StackConfig& stack = config.decoder;
  stack = {kGgufWidth, kGgufLayers, kGgufHeads, kGgufInner, 0.5};
  stack.family = architecture.family;
  if (architecture.family == StackFamily::kGptNeox) return config;
  config.bos_token_id = 1;
  stack.rotary_pct = 1;
  stack.rotary_base = 50000;
  stack.parallel_residual = false;
  stack.norm_eps = 1e-5;
  stack.norm = Norm::kRmsNorm;
  stack.mlp = Mlp::kSwiGlu;
  stack.num_kv_heads = architecture.kv_heads;
  stack.head_dim = architecture.head_dim;
  stack.qkv_bias = architecture.biases;
  stack.attention_out_bias = architecture.biases && architecture.family != StackFamily::kQwen2;
  stack.mlp_bias = architecture.biases && architecture.family == StackFamily::kLlama;
  stack.qk_norm = architecture.family == StackFamily::kQwen3;
  stack.tied_head = architecture.tied_head;
  return config;
}

void AddGgufKeys(const GgufArchitecture& architecture, GgufWriter* writer) {
  const std::string prefix = std::string(architecture.name) + ".";
  const bool neox = architecture.family == StackFamily::kGptNeox;
  writer->AddText("general.architecture", architecture.name);
  writer->AddText("general.type", "model");
  writer->AddUint(prefix + "block_count", kGgufLayers);
  writer->AddUint(prefix + "context_length", 64);
  writer->AddUint(prefix + "embedding_length", kGgufWidth);
  writer->AddUint(prefix + "feed_forward_length", kGgufInner);
  writer->AddUint(prefix + "attention.head_count", kGgufHeads);
  if (neox) {
    writer->AddUint(prefix + "rope.dimension_count", 4);
    writer->AddBool(prefix + "use_parallel_residual", true);
    writer->AddFloat(prefix + "attention.layer_norm_epsilon", 1e-5F);
  } else {
    const auto head_dim = static_cast<uint32_t>(architecture.head_dim);
    writer->AddUint(prefix + "attention.head_count_kv",
                    static_cast<uint32_t>(architecture.kv_heads));
    writer->AddUint(prefix + "attention.key_length", head_dim);
    writer->AddUint(prefix + "attention.value_length", head_dim);
    writer->AddFloat(prefix + "attention.layer_norm_rms_epsilon", 1e-5F);
    writer->AddFloat(prefix + "rope.freq_base", 50000);
    writer->AddUint("tokenizer.ggml.bos_token_id", 1);
  }
  writer->AddUint("tokenizer.ggml.eos_token_id", 2);
  writer->AddUint("tokenizer.ggml.eot_token_id", 3);
  writer->AddUint("tokenizer.ggml.padding_token_id", 4);
}

// Hugging Face's names to llama.cpp's, written out once more.
std::string NameInGguf(const std::string& name) {
  static const std::pair<const char*, const char*> kOuter[] = {
      {"model.embed_tokens.", "token_embd."},
      {"model.norm.", "output_norm."},
      {"lm_head.", "output."},
      {"gpt_neox.embed_in.", "token_embd."},
      {"gpt_neox.final_layer_norm.", "output_norm."},
      {"embed_out.", "output."}};
  static const std::pair<const char*, const char*> kInLayer[] = {
      {"self_attn.q_proj.", "attn_q."},
      {"self_attn.k_proj.", "attn_k."},
      {"self_attn.v_proj.", "attn_v."},
      {"self_attn.q_norm.", "attn_q_norm."},
      {"self_attn.k_norm.", "attn_k_norm."},
      {"self_attn.o_proj.", "attn_output."},
      {"mlp.gate_proj.", "ffn_gate."},
      {"mlp.up_proj.", "ffn_up."},
      {"mlp.down_proj.", "ffn_down."},
      {"input_layernorm.", "attn_norm."},
      {"post_attention_layernorm.", "ffn_norm."},
      {"attention.query_key_value.", "attn_qkv."},
      {"attention.dense.", "attn_output."},
      {"mlp.dense_h_to_4h.", "ffn_up."},
      {"mlp.dense_4h_to_h.", "ffn_down."}};
  const std::string suffix = name.substr(name.rfind('.') + 1);
  for (const auto& [ours, theirs] : kOuter) {
    if (name == ours + suffix) return theirs + suffix;
  }
  for (int64_t layer = 0; layer < kGgufLayers; ++layer) {
    for (const char* body : {"model", "gpt_neox"}) {
      for (const auto& [ours, theirs] : kInLayer) {
        if (name == fmt::format("{}.layers.{}.{}{}", body, layer, ours, suffix)) {
          return fmt::format("blk.{}.{}{}", layer, theirs, suffix);
        }
      }
    }
  }
  ADD_FAILURE() << name;
  return name;
}

// What llama.cpp's converter does to rows: reshape(heads, 2, size / 2, columns) with the middle
// dimensions swapped for Llama's queries and keys; (heads, 3, size, columns) with the first ones
// swapped for GPT-NeoX.
std::vector<float> InGguf(const GgufArchitecture& architecture, const std::string& name,
                          const std::vector<float>& values, int64_t rows) {
  const bool turned =
      architecture.family == StackFamily::kLlama &&
      (name.find("attn_q.") != std::string::npos || name.find("attn_k.") != std::string::npos);
  const bool fused = name.find("attn_qkv.") != std::string::npos;
  if (!turned && !fused) return values;
  const int64_t size = fused ? kGgufWidth / kGgufHeads : architecture.head_dim;
  const int64_t columns = static_cast<int64_t>(values.size()) / rows;
  std::vector<float> result;
  const auto add_row = [&](int64_t row) {
    result.insert(result.end(), values.begin() + row * columns,
                  values.begin() + (row + 1) * columns);
  };
  if (fused) {
    for (int64_t kind = 0; kind < 3; ++kind) {
      for (int64_t head = 0; head < kGgufHeads; ++head) {
        for (int64_t i = 0; i < size; ++i) add_row((head * 3 + kind) * size + i);
      }
    }
    return result;
  }
  for (int64_t head = 0; head < rows / size; ++head) {
    for (int64_t pair = 0; pair < size / 2; ++pair) {
      for (int64_t half = 0; half < 2; ++half) add_row(head * size + half * (size / 2) + pair);
    }
  }
  return result;
}

std::string FloatBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

class GgufModelTest : public testing::TestWithParam<GgufArchitecture> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/gguf-model-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // Adds a model's tensors in F32 under llama.cpp's names; returns them as Hugging Face has them.
  static GgufFloats AddTensors(const GgufArchitecture& architecture, GgufWriter* writer) {
    const ModelConfig config = GgufConfigOf(architecture);
    const ReadWeights read = RandomWeights(config, 7);
    GgufFloats tensors;
    for (const ParameterSpec& spec : ListParameters(config)) {
      if (!spec.is_used) continue;
      tensors[spec.name] = read(spec.name);
      for (float& value : tensors[spec.name]) value += 0.001F;  // biases are drawn as zeros
      float next = 0;
      if (spec.shape.size() == 1) {
        for (float& value : tensors[spec.name]) value += 0.01F * next++;  // rows differ
      }
      const std::string name = NameInGguf(spec.name);
      const std::vector<float> values =
          InGguf(architecture, name, tensors[spec.name], spec.shape.front());
      writer->AddTensor(name, 0, spec.shape, FloatBytes(values));
    }
    return tensors;
  }

  static ConvertReport Convert(const std::string& source, const std::string& destination,
                               std::optional<DataType> type = std::nullopt) {
    ConvertOptions options;
    options.source = source;
    options.destination = destination;
    options.type = type;
    return ConvertCheckpoint(options, {});
  }
  static std::string ErrorOf(const std::string& path) {
    try {
      const GgufModel model(path);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path));
      return error.what();
    }
    return "no error";
  }

  std::string directory_;
};

constexpr GgufArchitecture kGgufLlama = {"llama", StackFamily::kLlama, 2, 8, true, false};

INSTANTIATE_TEST_SUITE_P(
    All, GgufModelTest,
    testing::Values(kGgufLlama, GgufArchitecture{"llama", StackFamily::kLlama, 4, 6, false, true},
                    GgufArchitecture{"qwen2", StackFamily::kQwen2, 2, 8, true, true},
                    GgufArchitecture{"qwen3", StackFamily::kQwen3, 1, 6, false, false},
                    GgufArchitecture{"gptneox", StackFamily::kGptNeox, 4, 8, false, true}),
    [](const auto& one) {
      return fmt::format("{}_{}kv{}", one.param.name, one.param.kv_heads,
                         one.param.tied_head ? "_tied" : "");
    });

TEST_P(GgufModelTest, HasHuggingFacesConfigurationNamesAndRows) {
  GgufWriter writer;
  AddGgufKeys(GetParam(), &writer);
  const GgufFloats expected = AddTensors(GetParam(), &writer);
  writer.Write(Path("model.gguf"));
  const ConvertReport report = Convert(Path("model.gguf"), Path("model"));
  EXPECT_EQ(report.from, CheckpointFormat::kGguf);
  EXPECT_EQ(report.tensors_read, expected.size());
  EXPECT_FALSE(report.has_tokenizer);
  ModelConfig config = ReadModelConfig(Path("model"));
  config.padding = GgufConfigOf(GetParam()).padding;
  EXPECT_EQ(config, GgufConfigOf(GetParam()));
  const SafetensorsWeights weights(Path("model"), config);
  for (const auto& [name, values] : expected) EXPECT_EQ(weights.Floats(name), values) << name;
}

TEST_P(GgufModelTest, BecomesInt8AndABlockModel) {
  GgufWriter writer;
  AddGgufKeys(GetParam(), &writer);
  AddTensors(GetParam(), &writer);
  writer.Write(Path("model.gguf"));
  Convert(Path("model.gguf"), Path("model"));
  ConvertOptions options;
  options.uptrain = UptrainOptions{UptrainMethod::kDuplicate, 4};
  for (const bool int8 : {false, true}) {
    if (int8) {
      options.uptrain.reset();
      options.type = DataType::kI8;
    }
    options.source = Path("model.gguf");
    options.destination = Path(fmt::format("from-gguf-{}", int8));
    const ConvertReport from_gguf = ConvertCheckpoint(options, {});
    options.source = Path("model");
    options.destination = Path(fmt::format("from-directory-{}", int8));
    EXPECT_EQ(from_gguf.checksum, ConvertCheckpoint(options, {}).checksum) << int8;
  }
}

TEST_P(GgufModelTest, MissingAndUnknownTensorsAreNamed) {
  GgufWriter unknown;
  AddGgufKeys(GetParam(), &unknown);
  AddTensors(GetParam(), &unknown);
  unknown.AddTensor("blk.0.ffn_gate_exps.weight", 0, {1}, "abcd");
  unknown.Write(Path("unknown.gguf"));
  EXPECT_THAT(ErrorOf(Path("unknown.gguf")), HasSubstr("blk.0.ffn_gate_exps.weight"));

  GgufWriter missing;
  AddGgufKeys(GetParam(), &missing);
  missing.AddTensor("token_embd.weight", 0, {40, 32}, std::string(40 * 32 * 4, '\0'));
  missing.Write(Path("missing.gguf"));
  EXPECT_THAT(ErrorOf(Path("missing.gguf")),
              AllOf(HasSubstr("tensors are missing: "), HasSubstr("blk.0.attn_norm.weight")));
}

// Types other than F32 of the weights; the norms stay F32.
class GgufTypesTest : public GgufModelTest {};

TEST_F(GgufTypesTest, QuantisedTensorsBecomeF32AndOthersKeepTheirType) {
  struct Case {
    uint32_t id;
    DataType type;
  };
  for (const Case& one : {Case{1, DataType::kF16}, Case{30, DataType::kBF16},
                          Case{8, DataType::kF32}, Case{3, DataType::kF32}}) {
    const GgmlType& type = GgmlTypeOf(one.id, "test");
    GgufWriter writer;
    AddGgufKeys(kGgufLlama, &writer);
    std::vector<float> table;
    for (const ParameterSpec& spec : ListParameters(GgufConfigOf(kGgufLlama))) {
      std::string bytes;
      uint32_t id = 0;
      if (spec.shape.size() == 1) {
        bytes = FloatBytes(std::vector<float>(spec.shape[0], 1));
      } else {
        id = one.id;
        const int64_t blocks = spec.NumElements() / type.block_elements;
        for (int64_t i = 0; i < blocks * type.block_bytes; ++i) {
          bytes += static_cast<char>(i % 2 == 1 ? 0x34 : i % 251);  // halves of about 0.25
        }
      }
      writer.AddTensor(NameInGguf(spec.name), id, spec.shape, bytes);
      if (spec.role == Role::kTable && !type.plain) {
        table.resize(spec.NumElements());
        Dequantize(type, std::as_bytes(std::span(bytes)), table);
      }
    }
    writer.Write(Path("model.gguf"));
    const std::string destination = Path(std::string("as-") + type.name);
    Convert(Path("model.gguf"), destination);
    const ModelConfig config = ReadModelConfig(destination);
    const SafetensorsWeights weights(destination, config);
    EXPECT_EQ(weights.Get("model.embed_tokens.weight").type, one.type);
    EXPECT_EQ(weights.Get("model.layers.1.self_attn.q_proj.weight").type, one.type);
    EXPECT_EQ(weights.Get("model.norm.weight").type, DataType::kF32);
    if (!table.empty()) {
      EXPECT_EQ(weights.Floats("model.embed_tokens.weight"), table);
    }
    Convert(Path("model.gguf"), destination + "-bf16", DataType::kBF16);
    const SafetensorsWeights narrow(destination + "-bf16", config);
    EXPECT_EQ(narrow.Get("model.norm.weight").type, DataType::kBF16);
  }
}

using GgufChange = std::function<void(GgufWriter*)>;

class GgufKeysTest : public GgufModelTest {
 protected:
  // Writes the file of a Llama model with these keys besides.
  void Write(const GgufChange& change) const {
    GgufWriter writer;
    AddGgufKeys(kGgufLlama, &writer);
    change(&writer);
    AddTensors(kGgufLlama, &writer);
    writer.Write(Path("model.gguf"));
  }
  RotaryScaling ScalingOf(const GgufChange& change) const {
    Write(change);
    return GgufModel(Path("model.gguf")).config().decoder.rotary_scaling;
  }
};

TEST_F(GgufKeysTest, ObeysScalingOfRotaryPositions) {
  EXPECT_EQ(ScalingOf([](GgufWriter* w) { w->AddText("llama.rope.scaling.type", "none"); }),
            RotaryScaling());
  for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    const RotaryScaling linear = ScalingOf([&](GgufWriter* w) { w->AddFloat(key, 2.5F); });
    EXPECT_EQ(linear.type, RotaryScalingType::kLinear);
    EXPECT_EQ(linear.factor, 2.5);
  }
  const RotaryScaling yarn = ScalingOf([](GgufWriter* w) {
    w->AddText("llama.rope.scaling.type", "yarn");
    w->AddFloat("llama.rope.scaling.factor", 4);
    w->AddUint("llama.rope.scaling.original_context_length", 16);
    w->AddFloat("llama.rope.scaling.yarn_beta_fast", 24);
  });
  EXPECT_EQ(yarn.type, RotaryScalingType::kYarn);
  EXPECT_EQ(yarn.original_positions, 16);
  EXPECT_EQ(yarn.beta_fast, 24);
  EXPECT_EQ(yarn.beta_slow, 1);
  EXPECT_DOUBLE_EQ(yarn.attention_factor, 0.1 * std::log(4.0) + 1);
}

// What llama.cpp's converter makes of Llama 3's rule.
std::vector<float> Llama3Factors(double factor, double original) {
  std::vector<float> factors;
  for (int pair = 0; pair < 4; ++pair) {
    const double wavelength = 2 * std::numbers::pi * std::pow(50000, 2.0 * pair / 8);
    if (wavelength < original / 4) {
      factors.push_back(1);
    } else if (wavelength > original) {
      factors.push_back(static_cast<float>(factor));
    } else {
      const double smooth = (original / wavelength - 1) / 3;
      factors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
    }
  }
  return factors;
}

TEST_F(GgufKeysTest, FindsTheRuleOfLlama3BehindItsFactors) {
  for (const int64_t original : {1024, 8192}) {
    const RotaryScaling found = ScalingOf([&](GgufWriter* w) {
      w->AddTensor("rope_freqs.weight", 0, {4},
                   FloatBytes(Llama3Factors(32, static_cast<double>(original))));
    });
    EXPECT_EQ(found.type, RotaryScalingType::kLlama3);
    EXPECT_EQ(found.factor, 32);
    EXPECT_EQ(found.original_positions, original);
  }
  EXPECT_EQ(ScalingOf([](GgufWriter* w) {
              w->AddTensor("rope_freqs.weight", 0, {4}, FloatBytes({1, 1, 1, 1}));
            }),
            RotaryScaling());
}

TEST_F(GgufKeysTest, RefusesWhatItCannotObeyByName) {
  struct Case {
    const char* message;
    GgufChange change;
  };
  const Case cases[] = {
      {"llama.attention.sliding_window: 32 is not supported",
       [](GgufWriter* w) { w->AddUint("llama.attention.sliding_window", 32); }},
      {"llama.rope.scaling.type: \"longrope\" is not supported",
       [](GgufWriter* w) { w->AddText("llama.rope.scaling.type", "longrope"); }},
      {"llama.rope.scaling.attn_factor: 1.5 is not supported; 1 is",
       [](GgufWriter* w) { w->AddFloat("llama.rope.scaling.attn_factor", 1.5F); }},
      {"llama.rope.scaling.factor: is missing",
       [](GgufWriter* w) { w->AddText("llama.rope.scaling.type", "linear"); }},
      {"llama.rope.dimension_count: 4 is not supported; 8 is",
       [](GgufWriter* w) { w->AddUint("llama.rope.dimension_count", 4); }},
      {"llama.expert_count: 8 is not supported; 0 is",
       [](GgufWriter* w) { w->AddUint("llama.expert_count", 8); }},
      {"llama.logit_scale: is not known here",
       [](GgufWriter* w) { w->AddFloat("llama.logit_scale", 2); }},
      {"llama.tensor_data_layout: \"other\" is not supported",
       [](GgufWriter* w) { w->AddText("llama.tensor_data_layout", "other"); }},
      {"llama.vocab_size: 41 contradicts token_embd.weight, which has 40 rows",
       [](GgufWriter* w) { w->AddUint("llama.vocab_size", 41); }},
      {"split.count: the model is divided", [](GgufWriter* w) { w->AddUint("split.count", 2); }},
      {"tokenizer.ggml.eom_token_id: 40 is not possible; an integer from 0 to 39",
       [](GgufWriter* w) { w->AddUint("tokenizer.ggml.eom_token_id", 40); }},
      {"rope_freqs.weight: these factors are not supported in Llama",
       [](GgufWriter* w) {
         w->AddTensor("rope_freqs.weight", 0, {4}, FloatBytes({1, 2, 3, 4}));
       }},
      {"rope_freqs.weight: is F32 [3]; F32 [4] is wanted",
       [](GgufWriter* w) {
         w->AddTensor("rope_freqs.weight", 0, {3}, FloatBytes({1, 2, 3}));
       }},
      {"rope_freqs.weight: holds nan",
       [](GgufWriter* w) {
         w->AddTensor("rope_freqs.weight", 0, {4}, FloatBytes({1, 2, 3, NAN}));
       }},
  };
  for (const Case& one : cases) {
    Write(one.change);
    EXPECT_THAT(ErrorOf(Path("model.gguf")), HasSubstr(one.message));
  }
}

TEST_F(GgufKeysTest, RefusesModelsThatAreNotWhole) {
  const auto error_of = [&](const GgufWriter& writer) {
    writer.Write(Path("model.gguf"));
    return ErrorOf(Path("model.gguf"));
  };
  GgufWriter writer;
  EXPECT_THAT(error_of(writer), HasSubstr("general.architecture: is missing"));
  writer.AddText("general.architecture", "mamba");
  EXPECT_THAT(error_of(writer), HasSubstr("\"mamba\" is not supported; one of llama, qwen2"));
  GgufWriter vocabulary;
  AddGgufKeys(kGgufLlama, &vocabulary);
  EXPECT_THAT(error_of(vocabulary), HasSubstr("no tensor token_embd.weight"));
  GgufWriter sizes;
  sizes.AddText("general.architecture", "llama");
  sizes.AddUint("llama.block_count", 100000);
  EXPECT_THAT(error_of(sizes), HasSubstr("llama.block_count: 100000 is not possible"));
  GgufWriter layers;
  layers.AddText("general.architecture", "llama");
  layers.AddUint("llama.block_count", 2);
  layers.AddUint("llama.context_length", 64);
  layers.AddUint("llama.embedding_length", 32);
  layers.AddNumbers<uint32_t>("llama.feed_forward_length", 4, {64, 32});
  EXPECT_THAT(error_of(layers), HasSubstr("layers of different sizes"));
}

TEST_F(GgufKeysTest, RefusesAWrongShape) {
  GgufWriter writer;
  AddGgufKeys(kGgufLlama, &writer);
  for (const ParameterSpec& spec : ListParameters(GgufConfigOf(kGgufLlama))) {
    std::vector<int64_t> shape = spec.shape;
    if (spec.role == Role::kKey) std::swap(shape[0], shape[1]);
    writer.AddTensor(NameInGguf(spec.name), 0, shape,
                     std::string(static_cast<size_t>(spec.NumElements()) * 4, '\0'));
  }
  writer.Write(Path("model.gguf"));
  EXPECT_THAT(
      ErrorOf(Path("model.gguf")),
      HasSubstr("tensor blk.0.attn_k.weight has shape [32, 16]; the keys ask for [16, 32]"));
}

}  // namespace
}  // namespace blockformer
