#include "text/pre_tokenizer_rules.h"

namespace blockformer {
namespace {

// Those of Llama 3 and Qwen2 stand in their tokenizer.json, that of "default" in llama.cpp's
// documentation of its tokenizers.
constexpr char kLlama3Pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+"
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr char kQwen2Pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr char kGpt2Pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

}  // namespace

std::span<const PreTokenizerRule> PreTokenizerRules() {
  static const std::vector<PreTokenizerRule> rules = {
      {{"default"},
       nullptr,
       false,
       false,
       false,
       false,
       {"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2Pattern, "\\p{N}+", "[0-9][0-9][0-9]"}},
      {{"gpt-2"}, "GPT2Tokenizer", false, true, false, false, {}},
      {{"mpt", "olmo"}, "GPTNeoXTokenizer", true, true, false, false, {}},
      {{"llama-bpe", "llama3", "llama-v3"}, nullptr, false, false, true, true, {kLlama3Pattern}},
      {{"qwen2"}, "Qwen2Tokenizer", true, false, false, false, {kQwen2Pattern}},
      {{"deepseek-r1-qwen"}, nullptr, false, false, false, false, {kQwen2Pattern}},
      {{"smollm", "starcoder", "refact", "command-r"},
       nullptr,
       false,
       true,
       false,
       false,
       {"\\p{N}"}}};
  return rules;
}

void ApplyPreTokenizerRule(const PreTokenizerRule& rule, TokenizerDescription* description) {
  description->nfc = rule.nfc;
  description->gpt2_pattern = rule.gpt2_pattern;
  description->ignore_merges = rule.ignore_merges;
  description->split_patterns.assign(rule.patterns.begin(), rule.patterns.end());
}

}  // namespace blockformer
