#include "checkpoint/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/metaspace.h"
#include "text/pre_tokenizer_rules.h"
#include "text/tokenizer_file.h"

namespace blockformer {
namespace {

constexpr char kModelKey[] = "tokenizer.ggml.model";
constexpr char kPreKey[] = "tokenizer.ggml.pre";
constexpr char kTokensKey[] = "tokenizer.ggml.tokens";
constexpr char kTypesKey[] = "tokenizer.ggml.token_type";
constexpr char kScoresKey[] = "tokenizer.ggml.scores";
constexpr char kMergesKey[] = "tokenizer.ggml.merges";
constexpr char kTemplateKey[] = "tokenizer.chat_template";

// The ways to cut a piece in two take time in the square of its length. SentencePiece's trainer
// makes pieces of at most 16 characters unless told otherwise.
constexpr size_t kMaxPieceBytes = 1024;

// What a token is, as the format numbers it.
enum GgufTokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

class GgufTokenizerReader {
 public:
  explicit GgufTokenizerReader(const GgufFile& file) : keys_(file.metadata(), file.path()) {}

  std::optional<GgufTokenizer> Read() {
    const std::string model = keys_.String(kModelKey, "none");
    if (model == "none" || model == "no_vocab") return std::nullopt;
    if (model != "gpt2" && model != "llama") {
      keys_.FailField(kModelKey, fmt::format("\"{}\" is not supported; gpt2 and llama are", model),
                      ErrorCode::kUnsupported);
    }
    ReadTokens();
    if (model == "gpt2") {
      ReadByteLevel();
    } else {
      ReadSentencePiece();
    }
    if (adds_bos_) {
      const std::optional<int64_t> bos = TokenId("bos");
      if (bos) description_.text_prefix = {static_cast<int32_t>(*bos)};
    }
    return GgufTokenizer{WriteTokenizerJson(description_), ToText(ConfigJson(), 2) + "\n"};
  }

 private:
  void ReadTokens() {
    tokens_ = keys_.Strings(kTokensKey);
    if (tokens_.empty() || tokens_.size() > kMaxTokenId) {
      keys_.FailField(
          kTokensKey,
          fmt::format("{} tokens are not possible; 1 to {} are", tokens_.size(), kMaxTokenId),
          ErrorCode::kCorrupt);
    }
    types_ = keys_.Has(kTypesKey) ? keys_.Ints(kTypesKey, 0, kByte)
                                  : std::vector<int64_t>(tokens_.size(), kNormal);
    RequireOneEach(kTypesKey, types_.size());
  }

  void RequireOneEach(const char* key, size_t count) const {
    if (count == tokens_.size()) return;
    keys_.FailField(key, fmt::format("has {} elements for {} tokens", count, tokens_.size()),
                    ErrorCode::kCorrupt);
  }

  void ReadByteLevel() {
    const std::string name = keys_.String(kPreKey, "default");
    const std::span<const PreTokenizerRule> rules = PreTokenizerRules();
    const auto rule = std::ranges::find_if(rules, [&](const PreTokenizerRule& one) {
      return std::ranges::find(one.gguf_names, name) != one.gguf_names.end();
    });
    if (rule == rules.end()) {
      std::vector<const char*> known;
      for (const PreTokenizerRule& one : rules)
        std::ranges::copy(one.gguf_names, std::back_inserter(known));
      keys_.FailField(
          kPreKey,
          fmt::format("\"{}\" is not supported; one of {} is wanted", name, fmt::join(known, ", ")),
          ErrorCode::kUnsupported);
    }
    ApplyPreTokenizerRule(*rule, &description_);
    description_.add_prefix_space = keys_.Bool("tokenizer.ggml.add_space_prefix", false);
    adds_bos_ = keys_.Bool("tokenizer.ggml.add_bos_token", rule->adds_bos);
    for (size_t id = 0; id < tokens_.size(); ++id) AddToken(id, tokens_[id]);
    ReadMerges();
  }

  // Special tokens stand in the vocabulary too, so that Hugging Face's library gives them their
  // ids.
  void AddToken(size_t id, const std::string& text) {
    if (types_[id] == kUnused) return;
    const bool special = types_[id] == kControl || types_[id] == kUnknown;
    if (text.empty()) FailToken(id, "is empty");
    if (!description_.vocabulary.emplace(text, static_cast<int32_t>(id)).second) {
      FailToken(id, fmt::format("\"{}\" stands twice", text));
    }
    if (!special && types_[id] != kUserDefined) return;
    AddedToken token;
    token.id = static_cast<int32_t>(id);
    token.content = text;
    token.special = special;
    description_.added_tokens.push_back(std::move(token));
  }

  [[noreturn]] void FailToken(size_t id, const std::string& problem) const {
    keys_.FailField(fmt::format("{}[{}]", kTokensKey, id), problem, ErrorCode::kCorrupt);
  }

  void ReadMerges() {
    const std::vector<std::string> merges = keys_.Strings(kMergesKey);
    for (size_t i = 0; i < merges.size(); ++i) {
      const std::string where = fmt::format("{}: {}[{}]", keys_.source(), kMergesKey, i);
      description_.merges.push_back(ParseMerge(description_.vocabulary, merges[i], where));
    }
  }

  void ReadSentencePiece() {
    constexpr char kRemoves[] = "tokenizer.ggml.remove_extra_whitespaces";
    if (keys_.Bool(kRemoves, false)) {
      keys_.FailField(kRemoves, "true is not supported", ErrorCode::kUnsupported);
    }
    if (const Json& map = keys_.Raw("tokenizer.ggml.precompiled_charsmap"); !map.empty()) {
      keys_.FailField("tokenizer.ggml.precompiled_charsmap", "is not supported",
                      ErrorCode::kUnsupported);
    }
    Metaspace rule;
    if (keys_.Bool("tokenizer.ggml.add_space_prefix", true)) {
      rule.prepend = PrependSpace::kAlways;
      rule.prepends_twice = true;
      description_.strip_first_space = true;
    }
    description_.characters = rule;
    description_.gpt2_pattern = false;
    adds_bos_ = keys_.Bool("tokenizer.ggml.add_bos_token", true);
    for (size_t id = 0; id < tokens_.size(); ++id) {
      AddToken(id, types_[id] == kUserDefined ? WithSpaces(tokens_[id]) : tokens_[id]);
    }
    RequireAllBytes();
    description_.merges = MergesOfScores(ReadScores());
  }

  // What text such a token is looked for in.
  static std::string WithSpaces(std::string_view token) {
    std::string text;
    while (!token.empty()) {
      const bool is_space = token.starts_with(kMetaspace);
      text += is_space ? ' ' : token.front();
      token.remove_prefix(is_space ? kMetaspace.size() : 1);
    }
    return text;
  }

  void RequireAllBytes() const {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string token = ByteToken(static_cast<unsigned char>(byte));
      if (!description_.vocabulary.contains(token)) {
        keys_.FailField(kTokensKey, fmt::format("there is no token {}", token),
                        ErrorCode::kUnsupported);
      }
    }
  }

  std::vector<double> ReadScores() const {
    const Json& list = keys_.Raw(kScoresKey);
    if (!list.is_array()) keys_.FailField(kScoresKey, "a list of numbers is wanted");
    RequireOneEach(kScoresKey, list.size());
    std::vector<double> scores;
    for (const Json& score : list) {
      const bool fits = score.is_number() && score.get<double>() == score.get<double>();
      if (!fits) keys_.FailField(kScoresKey, "holds something that is no number");
      scores.push_back(score.get<double>());
    }
    return scores;
  }

  // SentencePiece merges the two neighbours whose piece has the best score. As merges of pairs:
  // each way to make a piece of two others, the best pieces first, of equal ones that with the
  // longer left part, then the longer right part.
  std::vector<Merge> MergesOfScores(const std::vector<double>& scores) const {
    struct Candidate {
      Merge merge;
      double score;
      size_t left_length;
      size_t right_length;
    };
    std::vector<Candidate> candidates;
    const std::unordered_map<std::string_view, int32_t> ids = NormalPieces();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] != kNormal) continue;
      const std::string_view piece = tokens_[id];
      const size_t begin = candidates.size();
      const std::vector<size_t> starts = CharacterStarts(piece);
      for (size_t i = 1; i < starts.size(); ++i) {
        const auto left = ids.find(piece.substr(0, starts[i]));
        const auto right = ids.find(piece.substr(starts[i]));
        if (left == ids.end() || right == ids.end()) continue;
        candidates.push_back({{left->second, right->second, static_cast<int32_t>(id)},
                              scores[id],
                              i,
                              starts.size() - i});
      }
      std::ranges::sort(
          candidates.begin() + static_cast<ptrdiff_t>(begin), candidates.end(), {},
          [](const Candidate& one) { return std::pair(one.merge.left, one.merge.right); });
    }
    std::ranges::stable_sort(candidates, std::ranges::greater(), [](const Candidate& one) {
      return std::tuple(one.score, one.left_length, one.right_length);
    });
    std::vector<Merge> merges;
    for (const Candidate& one : candidates) merges.push_back(one.merge);
    return merges;
  }

  static std::vector<size_t> CharacterStarts(std::string_view text) {
    std::vector<size_t> starts;
    for (size_t i = 0; i < text.size(); ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
    }
    return starts;
  }

  std::unordered_map<std::string_view, int32_t> NormalPieces() const {
    std::unordered_map<std::string_view, int32_t> pieces;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] != kNormal) continue;
      if (const size_t size = tokens_[id].size(); size > kMaxPieceBytes) {
        keys_.FailField(fmt::format("{}[{}]", kTokensKey, id),
                        fmt::format("a piece of {} bytes is not supported; at most {} are", size,
                                    kMaxPieceBytes),
                        ErrorCode::kUnsupported);
      }
      pieces.emplace(tokens_[id], static_cast<int32_t>(id));
    }
    return pieces;
  }

  std::optional<int64_t> TokenId(const std::string& name) const {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (!keys_.Has(key)) return std::nullopt;
    const int64_t id = keys_.Int(key, 0, static_cast<int64_t>(tokens_.size()) - 1);
    if (types_[id] == kUnused) {
      keys_.FailField(key, fmt::format("{} is the id of an unused token", id), ErrorCode::kCorrupt);
    }
    return id;
  }

  OrderedJson ConfigJson() const {
    OrderedJson json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                        {"add_bos_token", adds_bos_},
                        {"add_eos_token", keys_.Bool("tokenizer.ggml.add_eos_token", false)},
                        {"padding_side", "left"},
                        {"clean_up_tokenization_spaces", false}};
    constexpr std::pair<const char*, const char*> kNames[] = {{"bos", "bos_token"},
                                                              {"eos", "eos_token"},
                                                              {"unknown", "unk_token"},
                                                              {"padding", "pad_token"}};
    for (const auto& [name, field] : kNames) {
      if (const auto id = TokenId(name)) json[field] = tokens_[*id];
    }
    if (const OrderedJson chat = ChatTemplates(); !chat.is_null()) json["chat_template"] = chat;
    return json;
  }

  // A text, or, where there are several, a list of those that have names.
  OrderedJson ChatTemplates() const {
    OrderedJson list = OrderedJson::array();
    const auto add = [&](const std::string& name, const std::string& key) {
      list.push_back({{"name", name}, {"template", keys_.String(key)}});
    };
    if (keys_.Has(kTemplateKey)) add("default", kTemplateKey);
    if (keys_.Has("tokenizer.chat_templates")) {
      for (const std::string& name : keys_.Strings("tokenizer.chat_templates")) {
        add(name, fmt::format("{}.{}", kTemplateKey, name));
      }
    }
    if (list.empty()) return nullptr;
    const bool only_default = list.size() == 1 && keys_.Has(kTemplateKey);
    return only_default ? list[0]["template"] : list;
  }

  ObjectReader keys_;
  std::vector<std::string> tokens_;
  std::vector<int64_t> types_;
  TokenizerDescription description_;
  bool adds_bos_ = false;
};

}  // namespace

std::optional<GgufTokenizer> ReadGgufTokenizer(const GgufFile& file) {
  return GgufTokenizerReader(file).Read();
}

}  // namespace blockformer
