#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rotary_angle.h"
#include "config/model_config.h"
#include "config/stack_json.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxTokenIdKey = int64_t{1} << 31;
constexpr double kMaxRotaryBase = 1e12;
constexpr double kMaxRotaryFactor = 1e6;

// What llama.cpp takes a key to be that is not there.
constexpr double kDefaultRotaryBase = 10000;

// Turns the keys of one file into the configuration of Hugging Face's class.
class GgufConfigReader {
 public:
  explicit GgufConfigReader(const GgufFile& file)
      : file_(file),
        keys_(file.metadata(), file.path()),
        architecture_(keys_.String("general.architecture")),
        own_keys_(KeysOf(file.metadata(), architecture_ + ".")),
        own_(own_keys_, file.path(), architecture_) {}

  ModelConfig Read() {
    const StackFamily family = Family();
    RefuseOtherLayouts();
    json_["model_type"] = NamesOf(family).model_type;
    ReadSizes();
    if (family == StackFamily::kGptNeox) {
      ReadNeox();
    } else {
      ReadLlama(family);
    }
    ReadTokenIds();
    const bool may_tie = family != StackFamily::kGptNeox;
    json_["tie_word_embeddings"] = may_tie && !HasTensor("output.weight");
    RefuseUnknownKeys();
    return ModelConfigFromJson(json_, file_.path());
  }

 private:
  StackFamily Family() const {
    constexpr std::pair<const char*, StackFamily> kArchitectures[] = {
        {"llama", StackFamily::kLlama},
        {"qwen2", StackFamily::kQwen2},
        {"qwen3", StackFamily::kQwen3},
        {"gptneox", StackFamily::kGptNeox}};
    std::vector<std::string> known;
    for (const auto& [name, family] : kArchitectures) {
      if (architecture_ == name) return family;
      known.emplace_back(name);
    }
    keys_.FailField("general.architecture",
                    fmt::format("\"{}\" is not supported; one of {} is wanted", architecture_,
                                fmt::join(known, ", ")),
                    ErrorCode::kUnsupported);
  }

  // The keys that begin so, without it.
  static Json KeysOf(const Json& metadata, const std::string& prefix) {
    Json keys = Json::object();
    for (const auto& [key, value] : metadata.items()) {
      if (key.starts_with(prefix)) keys[key.substr(prefix.size())] = value;
    }
    return keys;
  }

  bool HasTensor(const std::string& name) const { return file_.tensors().contains(name); }

  // Refuses a value other than that by which nothing changes.
  void RequireNumber(const std::string& name, double wanted) const {
    if (const double value = own_.Number(name, -1e30, 1e30, wanted); value != wanted) {
      own_.FailField(name, fmt::format("{} is not supported; {} is", value, wanted),
                     ErrorCode::kUnsupported);
    }
  }

  void RefuseOtherLayouts() const {
    if (keys_.Int("split.count", 0, 1 << 16, 1) > 1) {
      keys_.FailField("split.count",
                      "the model is divided into several files; join them first with "
                      "llama-gguf-split --merge",
                      ErrorCode::kUnsupported);
    }
    if (const std::string type = keys_.String("general.type", "model"); type != "model") {
      keys_.FailField("general.type", fmt::format("\"{}\" is not supported; model is", type),
                      ErrorCode::kUnsupported);
    }
  }

  // One number, or a list with one for each layer that is everywhere the same.
  int64_t SameInAllLayers(const std::string& name, int64_t min, int64_t max) const {
    const std::vector<int64_t> values = own_.Ints(name, min, max);
    if (std::ranges::any_of(values, [&](int64_t value) { return value != values.front(); })) {
      own_.FailField(name, "layers of different sizes are not supported", ErrorCode::kUnsupported);
    }
    return values.front();
  }

  void ReadSizes() {
    json_["num_hidden_layers"] = own_.Int("block_count", 1, kMaxLayers);
    json_["max_position_embeddings"] = own_.Int("context_length", 1, kMaxLength);
    width_ = own_.Int("embedding_length", 1, kMaxWidth);
    json_["hidden_size"] = width_;
    json_["intermediate_size"] = SameInAllLayers("feed_forward_length", 1, 4 * kMaxWidth);
    heads_ = SameInAllLayers("attention.head_count", 1, kMaxWidth);
    json_["num_attention_heads"] = heads_;
    json_["vocab_size"] = VocabularySize();
  }

  // Rows of the table; the key is often not there.
  int64_t VocabularySize() const {
    const auto table = file_.tensors().find("token_embd.weight");
    Require(table != file_.tensors().end(), ErrorCode::kCorrupt,
            "{}: there is no tensor token_embd.weight (a file of a tokenizer alone?)",
            file_.path());
    const int64_t rows = table->second.shape.front();
    constexpr char kKey[] = "vocab_size";
    if (const int64_t size = own_.Int(kKey, 1, kMaxTokenIdKey, rows); size != rows) {
      own_.FailField(kKey,
                     fmt::format("{} contradicts token_embd.weight, which has {} rows", size, rows),
                     ErrorCode::kCorrupt);
    }
    return rows;
  }

  void ReadNeox() {
    const int64_t rotated = own_.Int("rope.dimension_count", 0, kMaxWidth);
    const int64_t head_dim = std::max<int64_t>(1, width_ / heads_);
    json_["rotary_pct"] = static_cast<double>(rotated) / static_cast<double>(head_dim);
    json_["rotary_emb_base"] = RotaryBase();
    json_["use_parallel_residual"] = own_.Bool("use_parallel_residual", true);
    json_["layer_norm_eps"] = ReadEpsilon("attention.layer_norm_epsilon");
    RequireSameKvHeads();
    if (Scaling() != "none") RefuseScaling();
  }

  void RequireSameKvHeads() const {
    constexpr char kKey[] = "attention.head_count_kv";
    if (own_.Has(kKey) && SameInAllLayers("attention.head_count_kv", 1, kMaxWidth) != heads_) {
      own_.FailField(kKey, "other numbers than attention.head_count are not supported",
                     ErrorCode::kUnsupported);
    }
  }

  // Files hold it as f32, and what f32 made of 1e-5 is 1e-5.
  double ReadEpsilon(const std::string& name) const {
    return Shortest(own_.Number(name, 1e-12, 1));
  }

  // The number of fewest digits that is the same in f32.
  static double Shortest(double value) {
    return std::stod(fmt::format("{}", static_cast<float>(value)));
  }

  double RotaryBase() const {
    return Shortest(own_.Number("rope.freq_base", 1, kMaxRotaryBase, kDefaultRotaryBase));
  }

  void ReadLlama(StackFamily family) {
    const std::string kv = "attention.head_count_kv";
    json_["num_key_value_heads"] = own_.Has(kv) ? SameInAllLayers(kv, 1, kMaxWidth) : heads_;
    const int64_t head_dim = HeadSize();
    json_["head_dim"] = head_dim;
    json_["rms_norm_eps"] = ReadEpsilon("attention.layer_norm_rms_epsilon");
    json_["rope_theta"] = RotaryBase();
    if (family != StackFamily::kQwen2) json_["attention_bias"] = HasTensor("blk.0.attn_q.bias");
    if (family == StackFamily::kLlama) json_["mlp_bias"] = HasTensor("blk.0.ffn_up.bias");
    ReadScaling(family, head_dim);
    RefuseWindow();
    RequireNumber("expert_count", 0);
    RequireNumber("expert_used_count", 0);
  }

  int64_t HeadSize() const {
    const int64_t usual = std::max<int64_t>(1, width_ / heads_);
    const int64_t head_dim = own_.Int("attention.key_length", 1, kMaxWidth, usual);
    for (const char* name : {"attention.value_length", "rope.dimension_count"}) {
      RequireNumber(name, static_cast<double>(head_dim));
    }
    return head_dim;
  }

  // A window that is as long as the context hides nothing.
  void RefuseWindow() const {
    constexpr char kKey[] = "attention.sliding_window";
    const auto context = json_["max_position_embeddings"].get<int64_t>();
    if (const int64_t window = own_.Int(kKey, 0, kMaxLength, 0); window > 0 && window < context) {
      own_.FailField(kKey,
                     fmt::format("{} is not supported, for it is shorter than the context of {}",
                                 window, context),
                     ErrorCode::kUnsupported);
    }
  }

  std::string Scaling() const {
    constexpr char kKey[] = "rope.scaling.type";
    if (own_.Has(kKey)) return own_.String(kKey);
    return own_.Has("rope.scale_linear") || own_.Has("rope.scaling.factor") ? "linear" : "none";
  }

  [[noreturn]] void RefuseScaling() const {
    own_.FailField("rope.scaling.type",
                   fmt::format("\"{}\" is not supported in this architecture", Scaling()),
                   ErrorCode::kUnsupported);
  }

  double ScalingFactor() const {
    constexpr char kKey[] = "rope.scaling.factor";
    const std::string older = "rope.scale_linear";
    return Shortest(own_.Has(kKey) || !own_.Has(older) ? own_.Number(kKey, 1, kMaxRotaryFactor)
                                                       : own_.Number(older, 1, kMaxRotaryFactor));
  }

  void ReadScaling(StackFamily family, int64_t head_dim) {
    const std::string type = Scaling();
    RequireNumber("rope.scaling.attn_factor", 1);
    const bool has_factors = HasTensor(kGgufRotaryFactors);
    if (type == "none") {
      if (has_factors) ReadRotaryFactors(family, head_dim);
      return;
    }
    if (type != "linear" && type != "yarn") RefuseScaling();
    Require(!has_factors, ErrorCode::kUnsupported,
            "{}: {} and {} together are not supported; one of them is", file_.path(),
            kGgufRotaryFactors, "rope.scaling.type");
    json_["rope_scaling"] = {{"rope_type", type}, {"factor", ScalingFactor()}};
    if (type == "yarn") ReadYarn();
  }

  void ReadYarn() {
    RequireNumber("rope.scaling.yarn_log_multiplier", 0);
    RequireNumber("rope.scaling.yarn_ext_factor", 1);
    RequireNumber("rope.scaling.yarn_attn_factor", 1);
    Json& scaling = json_["rope_scaling"];
    scaling["original_max_position_embeddings"] =
        own_.Int("rope.scaling.original_context_length", 1, kMaxLength,
                 json_["max_position_embeddings"].get<int64_t>());
    for (const char* name : {"beta_fast", "beta_slow"}) {
      const std::string key = std::string("rope.scaling.yarn_") + name;
      if (own_.Has(key)) scaling[name] = Shortest(own_.Number(key, 1e-6, 1e6));
    }
  }

  // llama.cpp keeps of Llama 3's rule only what it makes of the frequencies. Its models' bounds are
  // 1 and 4; the factor is the largest, and the original context is found by trying.
  void ReadRotaryFactors(StackFamily family, int64_t head_dim) {
    const std::vector<float> factors = RotaryFactors(head_dim);
    RotaryScaling scaling;
    scaling.factor = Shortest(*std::ranges::max_element(factors));
    if (scaling.factor == 1 && *std::ranges::min_element(factors) == 1) return;
    scaling.type = RotaryScalingType::kLlama3;
    for (scaling.original_positions = 1024; scaling.original_positions <= 1 << 20;
         scaling.original_positions *= 2) {
      if (!GivesFactors(scaling, head_dim, factors)) continue;
      json_["rope_scaling"] = {{"rope_type", "llama3"},
                               {"factor", scaling.factor},
                               {"low_freq_factor", scaling.low_freq_factor},
                               {"high_freq_factor", scaling.high_freq_factor},
                               {"original_max_position_embeddings", scaling.original_positions}};
      return;
    }
    Fail(ErrorCode::kUnsupported,
         "{}: tensor {}: these factors are not supported in {}; those of Llama 3.1 and 3.2 are",
         file_.path(), kGgufRotaryFactors, NamesOf(family).title);
  }

  std::vector<float> RotaryFactors(int64_t head_dim) const {
    const GgufTensor& tensor = file_.tensors().at(kGgufRotaryFactors);
    const std::string where = fmt::format("{}: tensor {}", file_.path(), kGgufRotaryFactors);
    const bool fits = tensor.type->plain == DataType::kF32 &&
                      tensor.shape == std::vector<int64_t>{head_dim / 2} && head_dim >= 2;
    Require(fits, ErrorCode::kCorrupt, "{}: is {} [{}]; F32 [{}] is wanted", where,
            tensor.type->name, fmt::join(tensor.shape, ", "), head_dim / 2);
    std::vector<float> factors = ToFloats({DataType::kF32, tensor.shape, tensor.bytes}, where);
    for (const float factor : factors) {
      Require(factor > 0 && factor <= kMaxRotaryFactor, ErrorCode::kCorrupt,
              "{}: holds {}; factors are above 0 and finite", where, factor);
    }
    return factors;
  }

  bool GivesFactors(const RotaryScaling& scaling, int64_t head_dim,
                    const std::vector<float>& factors) const {
    const double base = json_["rope_theta"].get<double>();
    const std::vector<float> plain = RotaryFrequencies({head_dim, base});
    const std::vector<float> scaled = RotaryFrequencies({head_dim, base, scaling});
    for (size_t i = 0; i < factors.size(); ++i) {
      if (std::abs(plain[i] / scaled[i] / factors[i] - 1) > 1e-4F) return false;
    }
    return true;
  }

  // More than one token may end a text: that of a document, and that of a turn.
  void ReadTokenIds() {
    Json ends = Json::array();
    for (const char* name : {"eos", "eot", "eom"}) {
      const std::optional<int64_t> id = TokenId(name);
      if (id && std::ranges::find(ends, Json(*id)) == ends.end()) ends.push_back(*id);
    }
    if (!ends.empty()) json_["eos_token_id"] = ends;
    if (const auto id = TokenId("bos")) json_["bos_token_id"] = *id;
    if (const auto id = TokenId("padding")) json_["pad_token_id"] = *id;
  }

  std::optional<int64_t> TokenId(const std::string& name) const {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (!keys_.Has(key)) return std::nullopt;
    return keys_.Int(key, 0, json_["vocab_size"].get<int64_t>() - 1);
  }

  // Another key of the architecture could change the arithmetic.
  void RefuseUnknownKeys() const {
    constexpr char kLayout[] = "tensor_data_layout";
    constexpr char kUsualLayout[] = "Meta AI original pth";
    if (const std::string layout = own_.String(kLayout, kUsualLayout); layout != kUsualLayout) {
      own_.FailField(kLayout, fmt::format("\"{}\" is not supported", layout),
                     ErrorCode::kUnsupported);
    }
    for (const char* name : {"rope.scaling.finetuned", "rope.scaling.original_context_length",
                             "rope.scaling.factor"}) {
      own_.Ignore(name);
    }
    own_.RejectUnknown();
  }

  const GgufFile& file_;
  ObjectReader keys_;
  std::string architecture_;
  Json own_keys_;     // the architecture's keys: "block_count", not "llama.block_count"
  ObjectReader own_;  // reads own_keys_
  int64_t width_ = 0;
  int64_t heads_ = 0;
  Json json_ = Json::object();
};

}  // namespace

ModelConfig GgufModelConfig(const GgufFile& file) { return GgufConfigReader(file).Read(); }

}  // namespace blockformer
