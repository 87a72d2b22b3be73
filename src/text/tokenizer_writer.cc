#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "config/json.h"
#include "text/tokenizer_file.h"

namespace blockformer {
namespace {

using TokensById = std::unordered_map<int32_t, std::string_view>;

TokensById AllTokensById(const TokenizerDescription& description) {
  TokensById tokens;
  for (const auto& [token, id] : description.vocabulary) tokens.emplace(id, token);
  for (const AddedToken& token : description.added_tokens) tokens.emplace(token.id, token.content);
  return tokens;
}

OrderedJson VocabularyJson(const TokenizerDescription& description) {
  std::vector<std::pair<int32_t, std::string_view>> tokens;
  for (const auto& [token, id] : description.vocabulary) tokens.emplace_back(id, token);
  std::ranges::sort(tokens);
  OrderedJson::object_t vocabulary;
  for (const auto& [id, token] : tokens) vocabulary.emplace_back(std::string(token), id);
  return vocabulary;
}

OrderedJson MergesJson(const TokenizerDescription& description, const TokensById& tokens) {
  OrderedJson merges = OrderedJson::array();
  for (const Merge& merge : description.merges) {
    merges.push_back(fmt::format("{} {}", tokens.at(merge.left), tokens.at(merge.right)));
  }
  return merges;
}

OrderedJson AddedTokensJson(const TokenizerDescription& description) {
  OrderedJson added_tokens = OrderedJson::array();
  for (const AddedToken& token : description.added_tokens) {
    added_tokens.push_back({{"id", token.id},
                            {"content", token.content},
                            {"single_word", token.single_word},
                            {"lstrip", token.lstrip},
                            {"rstrip", token.rstrip},
                            {"normalized", token.normalized},
                            {"special", token.special}});
  }
  return added_tokens;
}

// No step, one, or several in a Sequence.
OrderedJson StepsJson(const char* list, const OrderedJson::array_t& steps) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return steps.front();
  return {{"type", "Sequence"}, {list, steps}};
}

OrderedJson SpaceReplacement(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

OrderedJson NormalizerJson(const TokenizerDescription& description) {
  OrderedJson::array_t steps;
  if (description.nfc) steps.push_back({{"type", "NFC"}});
  if (!description.characters) return StepsJson("normalizers", steps);
  const Metaspace& rule = *description.characters;
  if (rule.prepends_twice) steps.push_back({{"type", "Prepend"}, {"prepend", kMetaspace}});
  steps.push_back(SpaceReplacement(" ", kMetaspace));
  return StepsJson("normalizers", steps);
}

OrderedJson ByteLevelJson(const TokenizerDescription& description) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", description.add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", description.gpt2_pattern}};
}

OrderedJson MetaspaceJson(const Metaspace& rule) {
  const char* scheme = rule.prepend == PrependSpace::kAlways  ? "always"
                       : rule.prepend == PrependSpace::kFirst ? "first"
                                                              : "never";
  return {{"type", "Metaspace"},
          {"replacement", kMetaspace},
          {"prepend_scheme", scheme},
          {"split", rule.splits}};
}

OrderedJson PreTokenizerJson(const TokenizerDescription& description) {
  OrderedJson::array_t steps;
  if (description.characters) {
    // The normalizer has put all spaces there already.
    if (!description.characters->prepends_twice) {
      steps.push_back(MetaspaceJson(*description.characters));
    }
    return StepsJson("pretokenizers", steps);
  }
  for (const std::string& pattern : description.split_patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(ByteLevelJson(description));
  return StepsJson("pretokenizers", steps);
}

// Puts the prefix before a text, and before the first of two.
OrderedJson TemplateJson(const TokenizerDescription& description, const TokensById& tokens) {
  OrderedJson single = OrderedJson::array();
  OrderedJson special_tokens = OrderedJson::object();
  for (const int32_t id : description.text_prefix) {
    const std::string token(tokens.at(id));
    single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
    special_tokens[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
  }
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  OrderedJson pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 0}}}});
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special_tokens}};
}

OrderedJson PostProcessorJson(const TokenizerDescription& description, const TokensById& tokens) {
  OrderedJson::array_t steps;
  if (!description.characters) steps.push_back(ByteLevelJson(description));
  if (!description.text_prefix.empty()) steps.push_back(TemplateJson(description, tokens));
  return StepsJson("processors", steps);
}

OrderedJson DecoderJson(const TokenizerDescription& description) {
  if (!description.characters) return ByteLevelJson(description);
  OrderedJson::array_t steps = {SpaceReplacement(kMetaspace, " "),
                                OrderedJson{{"type", "ByteFallback"}},
                                OrderedJson{{"type", "Fuse"}}};
  if (description.strip_first_space) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return StepsJson("decoders", steps);
}

}  // namespace

std::string WriteTokenizerJson(const TokenizerDescription& description) {
  const TokensById tokens = AllTokensById(description);
  const bool characters = description.characters.has_value();
  const OrderedJson json = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", AddedTokensJson(description)},
                            {"normalizer", NormalizerJson(description)},
                            {"pre_tokenizer", PreTokenizerJson(description)},
                            {"post_processor", PostProcessorJson(description, tokens)},
                            {"decoder", DecoderJson(description)},
                            {"model",
                             {{"type", "BPE"},
                              {"dropout", nullptr},
                              {"unk_token", nullptr},
                              {"continuing_subword_prefix", nullptr},
                              {"end_of_word_suffix", nullptr},
                              {"fuse_unk", false},
                              {"byte_fallback", characters},
                              {"ignore_merges", description.ignore_merges},
                              {"vocab", VocabularyJson(description)},
                              {"merges", MergesJson(description, tokens)}}}};
  return json.dump(2) + "\n";
}

}  // namespace blockformer
