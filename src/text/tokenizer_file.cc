#include "text/tokenizer_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "config/json.h"
#include "text/pre_tokenizer_rules.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_paths.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr char kEndOfTextContent[] = "<|endoftext|>";
// Each step of a pre-tokenizer runs inside the one before it; known tokenizers have at most 4.
constexpr size_t kMaxSteps = 16;

[[noreturn]] void FailUnsupported(const ObjectReader& reader, const std::string& field,
                                  const std::string& found, const std::string& wanted) {
  reader.FailField(field, fmt::format("{} is not supported; {}", found, wanted),
                   ErrorCode::kUnsupported);
}

TokenVocabulary ReadVocabulary(const Json& object, const std::string& source,
                               const std::string& field) {
  Require(object.is_object(), ErrorCode::kInvalidArgument,
          "{}: {}: an object from tokens to ids is wanted", source, field);
  TokenVocabulary vocabulary;
  std::unordered_map<int32_t, const std::string*> tokens;
  for (const auto& [token, value] : object.get_ref<const Json::object_t&>()) {
    const bool fits = value.is_number_unsigned() && value.get<uint64_t>() <= kMaxTokenId;
    Require(fits, ErrorCode::kInvalidArgument,
            "{}: {}: the id {} of \"{}\" is not possible; an integer from 0 to {} is wanted",
            source, field, value.dump(), token, kMaxTokenId);
    const auto id = value.get<int32_t>();
    const auto [found, is_new] = tokens.emplace(id, &token);
    Require(is_new, ErrorCode::kCorrupt, "{}: {}: \"{}\" and \"{}\" have the same id {}", source,
            field, *found->second, token, id);
    vocabulary.emplace(token, id);
  }
  return vocabulary;
}

// Turns the strings of a merge into ids. `where` names the file and the merge.
Merge MakeMerge(const TokenVocabulary& vocabulary, const std::string& left,
                const std::string& right, const std::string& where) {
  const auto find = [&](const std::string& token) {
    const auto found = vocabulary.find(token);
    Require(found != vocabulary.end(), ErrorCode::kCorrupt,
            "{}: the merge of \"{}\" and \"{}\" needs the token \"{}\", which the vocabulary lacks",
            where, left, right, token);
    return found->second;
  };
  return {find(left), find(right), find(left + right)};
}

std::vector<Merge> ReadMerges(const ObjectReader& model, const TokenVocabulary& vocabulary) {
  const Json& list = model.Raw("merges");
  if (!list.is_array()) model.FailField("merges", "a list of merges is wanted");
  std::vector<Merge> merges;
  for (const Json& merge : list) {
    const std::string where = fmt::format("{}: model.merges[{}]", model.source(), merges.size());
    if (merge.is_string()) {
      merges.push_back(ParseMerge(vocabulary, merge.get_ref<const std::string&>(), where));
      continue;
    }
    Require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
            ErrorCode::kCorrupt, "{}: \"a b\" or [\"a\", \"b\"] is wanted", where);
    merges.push_back(MakeMerge(vocabulary, merge[0].get_ref<const std::string&>(),
                               merge[1].get_ref<const std::string&>(), where));
  }
  return merges;
}

void ReadModel(const ObjectReader& model, TokenizerDescription* description) {
  const std::string type = model.String("type", "BPE");
  if (type != "BPE") FailUnsupported(model, "type", type, "byte-level BPE is");
  if (model.Has("dropout") && model.Number("dropout", 0, 1) > 0) {
    FailUnsupported(model, "dropout", model.Raw("dropout").dump(), "null or 0 is");
  }
  const bool characters = model.Bool("byte_fallback", false);
  if (characters) description->characters.emplace();
  for (const char* field : {"unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
    // With tokens for all bytes nothing is unknown.
    if (characters && field == std::string_view("unk_token")) continue;
    if (!model.String(field, "").empty()) {
      FailUnsupported(model, field, model.Raw(field).dump(), "null is, as byte-level BPE has it");
    }
  }
  description->ignore_merges = model.Bool("ignore_merges", false);
  description->vocabulary = ReadVocabulary(model.Raw("vocab"), model.source(), "model.vocab");
  description->merges = ReadMerges(model, description->vocabulary);
  if (!characters) return;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = ByteToken(static_cast<unsigned char>(byte));
    if (!description->vocabulary.contains(token)) {
      FailUnsupported(model, "byte_fallback", fmt::format("true without a token {}", token),
                      "a token for each byte is wanted");
    }
  }
}

// The steps of an optional "normalizer" or "pre_tokenizer": one object, or several in a Sequence.
std::vector<ObjectReader> ReadSteps(const ObjectReader& top, const std::string& field,
                                    const std::string& list) {
  std::vector<ObjectReader> steps;
  if (!top.Has(field)) return steps;
  const ObjectReader step = top.Object(field);
  if (step.String("type") != "Sequence") {
    steps.push_back(step);
    return steps;
  }
  const Json& elements = step.Raw(list);
  if (!elements.is_array()) step.FailField(list, "a list is wanted");
  if (elements.size() > kMaxSteps) {
    step.FailField(
        list, fmt::format("has {} steps; at most {} are supported", elements.size(), kMaxSteps),
        ErrorCode::kUnsupported);
  }
  for (size_t i = 0; i < elements.size(); ++i) {
    steps.emplace_back(elements[i], top.source(), fmt::format("{}.{}[{}]", field, list, i));
  }
  return steps;
}

// A step that makes U+2581 of spaces.
void ReadCharacterNormalizer(const ObjectReader& step, Metaspace* rule) {
  const std::string type = step.String("type");
  if (type == "Prepend" && step.String("prepend") == kMetaspace) {
    rule->prepend = PrependSpace::kAlways;
    rule->prepends_twice = true;
  } else if (type != "Replace" || step.Object("pattern").String("String", "") != " " ||
             step.String("content") != kMetaspace) {
    FailUnsupported(step, "type", type, "Prepend and Replace with U+2581 for spaces are");
  }
}

void ReadNormalizer(const ObjectReader& top, TokenizerDescription* description) {
  for (const ObjectReader& step : ReadSteps(top, "normalizer", "normalizers")) {
    if (description->characters) {
      ReadCharacterNormalizer(step, &*description->characters);
      continue;
    }
    const std::string type = step.String("type");
    if (type != "NFC") FailUnsupported(step, "type", type, "NFC or none is");
    description->nfc = true;
  }
}

void ReadSplit(const ObjectReader& split, TokenizerDescription* description) {
  const std::string behavior = split.String("behavior");
  if (behavior != "Isolated") FailUnsupported(split, "behavior", behavior, "Isolated is");
  const ObjectReader pattern = split.Object("pattern");
  if (!pattern.Has("Regex")) FailUnsupported(split, "pattern", "a fixed string", "Regex is");
  description->split_patterns.push_back(pattern.String("Regex"));
}

// Digits are cut out one by one, or run by run.
void ReadDigits(const ObjectReader& digits, TokenizerDescription* description) {
  const bool single = digits.Bool("individual_digits", false);
  description->split_patterns.emplace_back(single ? "\\p{N}" : "\\p{N}+");
}

void ReadMetaspace(const ObjectReader& step, Metaspace* rule) {
  if (const std::string type = step.String("type"); type != "Metaspace") {
    FailUnsupported(step, "type", type, "Metaspace or none is, in a tokenizer with byte_fallback");
  }
  if (step.String("replacement", std::string(kMetaspace)) != kMetaspace) {
    FailUnsupported(step, "replacement", step.Raw("replacement").dump(), "U+2581 is");
  }
  const bool older = step.Bool("add_prefix_space", true);  // before there were schemes
  rule->prepend =
      step.Has("prepend_scheme")
          ? step.Choice<PrependSpace>("prepend_scheme", {{"first", PrependSpace::kFirst},
                                                         {"always", PrependSpace::kAlways},
                                                         {"never", PrependSpace::kNever}})
      : older ? PrependSpace::kAlways
              : PrependSpace::kNever;
  rule->splits = step.Bool("split", true);
}

void ReadPreTokenizer(const ObjectReader& top, TokenizerDescription* description) {
  const std::vector<ObjectReader> steps = ReadSteps(top, "pre_tokenizer", "pretokenizers");
  if (description->characters) {
    for (const ObjectReader& step : steps) ReadMetaspace(step, &*description->characters);
    return;
  }
  if (steps.empty()) {
    FailUnsupported(top, "pre_tokenizer", "none", "ByteLevel, or a Sequence that ends in it, is");
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string type = steps[i].String("type");
    const bool is_last = i + 1 == steps.size();
    if (type == "Split" && !is_last) {
      ReadSplit(steps[i], description);
    } else if (type == "Digits" && !is_last) {
      ReadDigits(steps[i], description);
    } else if (type != "ByteLevel" || !is_last) {
      FailUnsupported(steps[i], "type", type,
                      "ByteLevel, or Splits and Digits and then ByteLevel, is");
    }
  }
  description->add_prefix_space = steps.back().Bool("add_prefix_space", true);
  description->gpt2_pattern = steps.back().Bool("use_regex", true);
}

// The ids of a piece of a template that is no text.
std::vector<int32_t> ReadTemplateToken(const ObjectReader& step, const Json& piece) {
  const Json::json_pointer name("/SpecialToken/id");
  if (!piece.contains(name) || !piece.at(name).is_string()) {
    FailUnsupported(step, "single", piece.dump(), "Sequence and SpecialToken are");
  }
  const auto token = piece.at(name).get<std::string>();
  const ObjectReader entry = step.Object("special_tokens").Object(token);
  std::vector<int32_t> ids;
  for (const int64_t id : entry.Ints("ids", 0, kMaxTokenId)) {
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::optional<int32_t> FindId(const TokenizerDescription& description, const std::string& token) {
  const auto added = std::ranges::find(description.added_tokens, token, &AddedToken::content);
  if (added != description.added_tokens.end()) return added->id;
  const auto found = description.vocabulary.find(token);
  if (found == description.vocabulary.end()) return std::nullopt;
  return found->second;
}

std::optional<int32_t> ParseId(const std::string& text) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool is_id = error == std::errc() && end == text.data() + text.size() && id >= 0;
  return is_id && id <= kMaxTokenId ? std::optional(id) : std::nullopt;
}

bool HasId(const TokenizerDescription& description, int32_t id) {
  const auto is_id = [id](const auto& entry) { return entry.second == id; };
  return std::ranges::any_of(description.vocabulary, is_id) ||
         std::ranges::find(description.added_tokens, id, &AddedToken::id) !=
             description.added_tokens.end();
}

void ReadTemplate(const ObjectReader& step, TokenizerDescription* description) {
  const Json& pieces = step.Raw("single");
  if (!pieces.is_array()) step.FailField("single", "a list is wanted");
  int texts = 0;
  for (const Json& piece : pieces) {
    if (piece.is_object() && piece.contains("Sequence")) {
      ++texts;
      continue;
    }
    for (const int32_t id : ReadTemplateToken(step, piece)) {
      if (!HasId(*description, id))
        step.FailField("special_tokens", fmt::format("{} is no id", id));
      if (texts == 0) description->text_prefix.push_back(id);
    }
  }
  if (texts != 1) step.FailField("single", "one Sequence is wanted");
}

void ReadPostProcessor(const ObjectReader& top, TokenizerDescription* description) {
  for (const ObjectReader& step : ReadSteps(top, "post_processor", "processors")) {
    const std::string type = step.String("type");
    if (type == "ByteLevel") continue;
    if (type != "TemplateProcessing") {
      FailUnsupported(step, "type", type, "ByteLevel, TemplateProcessing or none is");
    }
    ReadTemplate(step, description);
  }
}

// Decoders of characters, of which only stripping the first space changes what tokens stand for.
void ReadCharacterDecoder(const ObjectReader& top, TokenizerDescription* description) {
  for (const ObjectReader& step : ReadSteps(top, "decoder", "decoders")) {
    const std::string type = step.String("type");
    if (type == "Strip") {
      description->strip_first_space |= step.Int("start", 0, 1, 0) == 1;
    } else if (type == "Metaspace") {
      description->strip_first_space |= step.String("prepend_scheme", "always") != "never";
    } else if (type != "Replace" && type != "ByteFallback" && type != "Fuse") {
      FailUnsupported(step, "type", type, "Replace, ByteFallback, Fuse, Strip and Metaspace are");
    }
  }
}

void ReadDecoder(const ObjectReader& top, TokenizerDescription* description) {
  if (description->characters) return ReadCharacterDecoder(top, description);
  const std::string type = top.Has("decoder") ? top.Object("decoder").String("type") : "none";
  if (type != "ByteLevel") FailUnsupported(top, "decoder", type, "ByteLevel is");
}

AddedToken ReadAddedToken(const ObjectReader& reader, int64_t id) {
  AddedToken token;
  token.id = static_cast<int32_t>(id);
  token.content = reader.String("content");
  token.special = reader.Bool("special", false);
  token.normalized = reader.Bool("normalized", !token.special);
  token.single_word = reader.Bool("single_word", false);
  token.lstrip = reader.Bool("lstrip", false);
  token.rstrip = reader.Bool("rstrip", false);
  if (token.content.empty()) reader.FailField("content", "is empty");
  return token;
}

// A token and where it stands in its file.
using PlacedToken = std::pair<ObjectReader, AddedToken>;

void AddTokens(const std::vector<PlacedToken>& tokens, TokenizerDescription* description) {
  std::unordered_map<int32_t, std::string> token_of_id;
  for (const auto& [token, id] : description->vocabulary) token_of_id.emplace(id, token);
  std::unordered_set<std::string> contents;
  for (const auto& [reader, token] : tokens) {
    if (!contents.insert(token.content).second) reader.FailField("content", "stands twice");
    const auto in_vocabulary = description->vocabulary.find(token.content);
    if (in_vocabulary != description->vocabulary.end() && in_vocabulary->second != token.id) {
      reader.FailField("id", fmt::format("{} contradicts model.vocab, where \"{}\" is {}", token.id,
                                         token.content, in_vocabulary->second));
    }
    const auto [found, is_new] = token_of_id.emplace(token.id, token.content);
    if (!is_new && found->second != token.content) {
      reader.FailField("id", fmt::format("{} is that of \"{}\" already", token.id, found->second));
    }
    // Its content would have to be normalised like the text, with a space before it.
    if (description->characters && token.normalized) {
      FailUnsupported(reader, "normalized", "true", "false is, in a tokenizer with byte_fallback");
    }
    description->added_tokens.push_back(token);
  }
}

void ReadAddedTokens(const ObjectReader& top, TokenizerDescription* description) {
  const Json& list = top.Raw("added_tokens");
  if (list.is_null()) return;
  if (!list.is_array()) top.FailField("added_tokens", "a list is wanted");
  std::vector<PlacedToken> tokens;
  for (size_t i = 0; i < list.size(); ++i) {
    const ObjectReader reader(list[i], top.source(), fmt::format("added_tokens[{}]", i));
    tokens.emplace_back(reader, ReadAddedToken(reader, reader.Int("id", 0, kMaxTokenId)));
  }
  AddTokens(tokens, description);
}

// A tokenizer_config.json has added tokens by their ids.
void ReadAddedTokensDecoder(const ObjectReader& config, TokenizerDescription* description) {
  constexpr char kField[] = "added_tokens_decoder";
  if (!config.Has(kField)) return;
  const ObjectReader decoder = config.Object(kField);
  std::vector<PlacedToken> tokens;
  for (const auto& [key, value] : config.Raw(kField).items()) {
    const std::optional<int32_t> id = ParseId(key);
    if (!id) {
      decoder.FailField(key, fmt::format("is no id; one from 0 to {} is wanted", kMaxTokenId));
    }
    const ObjectReader reader = decoder.Object(key);
    tokens.emplace_back(reader, ReadAddedToken(reader, *id));
    std::erase_if(description->added_tokens,
                  [&](const AddedToken& token) { return token.id == *id; });
  }
  AddTokens(tokens, description);
}

// The rule of a class, whose name may end in "Fast".
void ApplyClass(const ObjectReader& config, TokenizerDescription* description) {
  constexpr char kField[] = "tokenizer_class";
  constexpr std::string_view kFast = "Fast";
  const std::string given = config.String(kField, "GPT2Tokenizer");
  std::string name = given;
  if (name.ends_with(kFast)) name.resize(name.size() - kFast.size());
  std::vector<std::string> known;
  for (const PreTokenizerRule& rule : PreTokenizerRules()) {
    if (rule.class_name == nullptr) continue;
    if (name == rule.class_name) return ApplyPreTokenizerRule(rule, description);
    known.emplace_back(rule.class_name);
  }
  config.FailField(
      kField,
      fmt::format("\"{}\" without a tokenizer.json is not supported; one of {} is, or a "
                  "tokenizer.json, {}",
                  given, fmt::join(known, ", "), kTokenizerJsonRemedy),
      ErrorCode::kUnsupported);
}

// What the tokenizer_config.json beside GPT-2's pair of files, if there is one, says of how they
// are used.
void ApplyTokenizerConfig(const std::string& directory, TokenizerDescription* description) {
  const Json json = ReadTokenizerConfig(directory);
  const ObjectReader config(json, directory + "/" + kTokenizerConfigFile);
  ApplyClass(config, description);
  ReadAddedTokensDecoder(config, description);
  description->add_prefix_space = config.Bool("add_prefix_space", false);
  if (!config.Bool("add_bos_token", false)) return;
  const std::optional<int32_t> bos =
      FindId(*description, NamedToken(json, "bos_token").value_or(""));
  if (!bos) config.FailField("add_bos_token", "is true, and bos_token names no token");
  description->text_prefix = {*bos};
}

// A GGUF file may be larger than what is read at once.
void RequireNoGguf(const std::string& path) {
  Require(
      !FileBeginsWith(path, "GGUF"), ErrorCode::kUnsupported,
      "{0}: is a GGUF file, of which tokenizers are not read; `blockformer convert {0} DIR` makes "
      "a directory with its tokenizer",
      path);
}

}  // namespace

Merge ParseMerge(const TokenVocabulary& vocabulary, const std::string& text,
                 const std::string& where) {
  const size_t space = text.find(' ');
  Require(space != std::string::npos && space > 0 && space + 1 < text.size() &&
              text.find(' ', space + 1) == std::string::npos,
          ErrorCode::kCorrupt, "{}: \"{}\" is not a merge; two tokens with one space between are",
          where, text);
  return MakeMerge(vocabulary, text.substr(0, space), text.substr(space + 1), where);
}

TokenizerDescription ParseTokenizerJson(std::string_view json, const std::string& source) {
  const Json document = ParseJson(json, source);
  const ObjectReader top(document, source);
  TokenizerDescription description;
  ReadModel(top.Object("model"), &description);
  ReadAddedTokens(top, &description);
  ReadNormalizer(top, &description);
  ReadPreTokenizer(top, &description);
  ReadPostProcessor(top, &description);
  ReadDecoder(top, &description);
  return description;
}

TokenizerDescription ParseGpt2Files(std::string_view vocabulary,
                                    const std::string& vocabulary_source, std::string_view merges,
                                    const std::string& merges_source) {
  TokenizerDescription description;
  description.vocabulary =
      ReadVocabulary(ParseJson(vocabulary, vocabulary_source), vocabulary_source, "the vocabulary");
  const size_t valid = FindInvalidUtf8(merges);
  Require(valid == merges.size(), ErrorCode::kCorrupt,
          "{}: byte {} is not valid UTF-8; a list of merges is wanted", merges_source, valid);
  int64_t line_number = 0;
  while (!merges.empty()) {
    const size_t end = std::min(merges.find('\n'), merges.size());
    std::string line(merges.substr(0, end));
    merges.remove_prefix(std::min(end + 1, merges.size()));
    ++line_number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.starts_with("#version")) continue;
    const std::string where = fmt::format("{}: line {}", merges_source, line_number);
    description.merges.push_back(ParseMerge(description.vocabulary, line, where));
  }
  const auto end_of_text = description.vocabulary.find(kEndOfTextContent);
  if (end_of_text != description.vocabulary.end()) {
    description.added_tokens.push_back(
        {.id = end_of_text->second, .content = kEndOfTextContent, .special = true});
  }
  return description;
}

TokenizerDescription ReadTokenizer(const std::string& path) {
  const std::vector<std::string> files = TokenizerPaths(path);
  Require(!files.empty(), ErrorCode::kNotFound,
          "{}: holds no tokenizer.json, and neither vocab.json nor encoder.json{}", path,
          UnreadTokenizerNote(path));
  RequireNoGguf(files[0]);
  if (files.size() == 1) return ParseTokenizerJson(ReadFile(files[0]), files[0]);
  TokenizerDescription description =
      ParseGpt2Files(ReadFile(files[0]), files[0], ReadFile(files[1]), files[1]);
  const std::filesystem::path directory = std::filesystem::path(files[0]).parent_path();
  ApplyTokenizerConfig(directory.empty() ? "." : directory.string(), &description);
  return description;
}

}  // namespace blockformer
