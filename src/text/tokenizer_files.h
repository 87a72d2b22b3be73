#ifndef BLOCKFORMER_TEXT_TOKENIZER_FILES_H_
#define BLOCKFORMER_TEXT_TOKENIZER_FILES_H_

namespace blockformer {

inline constexpr char kTokenizerFile[] = "tokenizer.json";
inline constexpr char kTokenizerConfigFile[] = "tokenizer_config.json";
inline constexpr char kChatTemplateFile[] = "chat_template.jinja";

// GPT-2's pairs of files: the vocabulary, then the merges.
struct Gpt2FileNames {
  const char* vocabulary;
  const char* merges;
};
inline constexpr Gpt2FileNames kGpt2FileNames[] = {{"vocab.json", "merges.txt"},
                                                   {"encoder.json", "vocab.bpe"}};

// Files of tokenizers that are not read.
struct UnreadTokenizerFile {
  const char* name;
  const char* what;
};
inline constexpr UnreadTokenizerFile kUnreadTokenizerFiles[] = {
    {"tokenizer.model", "SentencePiece's or tiktoken's form"},
    {"spiece.model", "SentencePiece's form"},
    {"sentencepiece.bpe.model", "SentencePiece's form"},
    {"qwen.tiktoken", "tiktoken's form"},
    {"tekken.json", "Mistral's form"},
    {"vocab.txt", "WordPiece's form"}};

// How such a tokenizer, and others, become one that is read.
inline constexpr char kTokenizerJsonRemedy[] =
    "which AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) of transformers writes";

// What a file tells of a tokenizer.
enum class TokenizerFileRole {
  kVocabulary,  // its tokens; where there is one, there is a tokenizer
  kMerges,      // the merges of the vocabulary beside it
  kUse,         // how it is used: names of special tokens, the chat template
};

// The files of a model directory that belong to its tokenizer: what copies a tokenizer copies those
// of them that are there. A vocabulary before another is read rather than it.
struct TokenizerFileEntry {
  const char* name;
  TokenizerFileRole role;
};
inline constexpr TokenizerFileEntry kTokenizerFiles[] = {
    {kTokenizerFile, TokenizerFileRole::kVocabulary},
    {kGpt2FileNames[0].vocabulary, TokenizerFileRole::kVocabulary},
    {kGpt2FileNames[0].merges, TokenizerFileRole::kMerges},
    {kGpt2FileNames[1].vocabulary, TokenizerFileRole::kVocabulary},
    {kGpt2FileNames[1].merges, TokenizerFileRole::kMerges},
    {kTokenizerConfigFile, TokenizerFileRole::kUse},
    {kChatTemplateFile, TokenizerFileRole::kUse},
    {"special_tokens_map.json", TokenizerFileRole::kUse},
    {"added_tokens.json", TokenizerFileRole::kUse}};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_FILES_H_
