#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/metaspace.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/split_pattern.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"
#include "text/word_cache.h"

namespace blockformer {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";
constexpr size_t kMaxTextBytes = size_t{1} << 31;

struct TokenEntry {
  std::string bytes;
  bool exists = false;
  bool special = false;
  bool in_vocabulary = false;  // of BPE, beside the added tokens
};

// What an added token stands for in the text.
std::string Content(const AddedToken& token, const TokenizerDescription& description) {
  std::string storage;
  const bool normalize = token.normalized && description.nfc;
  return std::string(normalize ? NormalizeNfc(token.content, &storage) : token.content);
}

std::vector<TokenEntry> MakeEntries(const TokenizerDescription& description) {
  int32_t largest = -1;
  for (const auto& [token, id] : description.vocabulary) largest = std::max(largest, id);
  for (const AddedToken& token : description.added_tokens) largest = std::max(largest, token.id);
  std::vector<TokenEntry> entries(largest + 1);
  for (const auto& [token, id] : description.vocabulary) {
    const std::string bytes =
        description.characters ? FromMetaspace(token) : FromByteAlphabet(token).value_or(token);
    entries[id] = {bytes, /*exists=*/true, /*special=*/false, /*in_vocabulary=*/true};
  }
  for (const AddedToken& token : description.added_tokens) {
    TokenEntry& entry = entries[token.id];
    if (!entry.exists) entry.bytes = Content(token, description);  // else BPE can make it too
    entry.exists = true;
    entry.special = token.special;
  }
  return entries;
}

std::array<int32_t, 256> ByteIds(const TokenizerDescription& description) {
  std::array<int32_t, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = description.characters
                                  ? ByteToken(static_cast<unsigned char>(byte))
                                  : ToByteAlphabet(std::string(1, static_cast<char>(byte)));
    const auto found = description.vocabulary.find(token);
    ids[byte] = found == description.vocabulary.end() ? kNoTokenId : found->second;
  }
  return ids;
}

// Special tokens win over others of the same normalised content, as in Hugging Face's library.
AddedTokenMatcher MakeMatcher(const TokenizerDescription& description, bool normalized,
                              SpecialTokens special) {
  std::vector<AddedToken> tokens;
  for (AddedToken token : description.added_tokens) {
    if (token.normalized != normalized) continue;
    if (token.special && special == SpecialTokens::kPlainText) continue;
    token.content = Content(token, description);
    tokens.push_back(std::move(token));
  }
  std::stable_partition(tokens.begin(), tokens.end(),
                        [](const AddedToken& t) { return t.special; });
  return AddedTokenMatcher(std::move(tokens));
}

AddedTokenMatcher MakeSpecialMatcher(const TokenizerDescription& description) {
  std::vector<AddedToken> tokens = description.added_tokens;
  std::erase_if(tokens, [](const AddedToken& token) { return !token.special; });
  return AddedTokenMatcher(std::move(tokens));
}

std::vector<SplitPattern> MakeSplits(const TokenizerDescription& description,
                                     const std::string& source) {
  std::vector<SplitPattern> splits;
  for (const std::string& pattern : description.split_patterns)
    splits.emplace_back(pattern, source);
  return splits;
}

// Tokens of one character each.
std::unordered_map<std::string, int32_t> CharacterIds(const TokenizerDescription& description) {
  std::unordered_map<std::string, int32_t> ids;
  if (!description.characters) return ids;
  for (const auto& [token, id] : description.vocabulary) {
    size_t end = 0;
    if (!token.empty()) NextCodePoint(token, &end);
    if (end == token.size() && end > 0) ids.emplace(token, id);
  }
  return ids;
}

uint32_t NextCacheKey() {
  static std::atomic<uint32_t> last{0};
  return ++last;
}

}  // namespace

struct Tokenizer::Impl {
  Impl(const TokenizerDescription& description, const std::string& source, SpecialTokens special)
      : nfc(description.nfc),
        add_prefix_space(description.add_prefix_space),
        gpt2_pattern(description.gpt2_pattern),
        ignore_merges(description.ignore_merges),
        characters(description.characters),
        strip_first_space(description.strip_first_space),
        text_prefix(description.text_prefix),
        raw_added_tokens(MakeMatcher(description, false, special)),
        normalized_added_tokens(MakeMatcher(description, true, special)),
        special_tokens(MakeSpecialMatcher(description)),
        splits(MakeSplits(description, source)),
        byte_ids(ByteIds(description)),
        character_ids(CharacterIds(description)),
        bpe(byte_ids, description.merges),
        entries(MakeEntries(description)) {
    // Of tokens with the same bytes BPE's own counts.
    for (const bool in_vocabulary : {true, false}) {
      for (size_t id = 0; id < entries.size(); ++id) {
        const TokenEntry& entry = entries[id];
        if (!entry.exists || entry.in_vocabulary != in_vocabulary) continue;
        ids.emplace(entry.bytes, static_cast<int32_t>(id));
      }
    }
  }

  std::vector<int32_t> Encode(std::string_view text, InvalidUtf8 policy, bool shielded) const;
  // The stages of Encode, each handing its pieces to the next.
  void EncodeText(std::string_view text, bool shielded, std::vector<int32_t>* out) const;
  void EncodeNormalized(std::string_view text, bool shielded, std::vector<int32_t>* out) const;
  void EncodeCharacters(std::string_view text, bool is_first, std::vector<int32_t>* out) const;
  void EncodeCharacterWord(std::string_view word, std::vector<int32_t>* out) const;
  void EncodeSplit(std::string_view text, size_t split, std::vector<int32_t>* out) const;
  void EncodeByteLevel(std::string_view text, std::vector<int32_t>* out) const;
  void EncodeWord(std::string_view word, std::vector<int32_t>* out) const;
  void EncodeUncached(std::string_view word, std::vector<int32_t>* out) const;

  bool nfc;
  bool add_prefix_space;
  bool gpt2_pattern;
  bool ignore_merges;
  std::optional<Metaspace> characters;
  bool strip_first_space;
  std::vector<int32_t> text_prefix;
  AddedTokenMatcher raw_added_tokens;
  AddedTokenMatcher normalized_added_tokens;
  AddedTokenMatcher special_tokens;  // to be counted and shielded
  std::vector<SplitPattern> splits;
  std::array<int32_t, 256> byte_ids;
  std::unordered_map<std::string, int32_t> character_ids;
  Bpe bpe;
  std::vector<TokenEntry> entries;                    // by id
  std::unordered_map<std::string_view, int32_t> ids;  // of entries' bytes
  uint32_t cache_key = NextCacheKey();
};

namespace {

// Appends the ids of the added tokens in `text` and calls encode(gap) for what lies between.
template <typename Encode>
void EncodeAround(const AddedTokenMatcher& matcher, std::string_view text, bool shielded,
                  std::vector<int32_t>* out, Encode&& encode) {
  size_t position = 0;
  for (const AddedTokenMatcher::Match& match : matcher.Find(text, shielded)) {
    if (match.begin > position) encode(text.substr(position, match.begin - position));
    out->push_back(match.id);
    position = match.end;
  }
  if (position < text.size()) encode(text.substr(position));
}

std::string WithoutShields(std::string_view text) {
  std::string bare;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(kShield, begin), text.size());
    bare += text.substr(begin, end - begin);
    begin = end + kShield.size();
  }
  return bare;
}

}  // namespace

void Tokenizer::Impl::EncodeText(std::string_view text, bool shielded,
                                 std::vector<int32_t>* out) const {
  std::string storage;
  EncodeAround(raw_added_tokens, text, shielded, out, [&](std::string_view gap) {
    if (!characters) {
      return EncodeNormalized(nfc ? NormalizeNfc(gap, &storage) : gap, shielded, out);
    }
    const bool is_first = gap.data() == text.data();
    if (shielded) return EncodeCharacters(WithoutShields(gap), is_first, out);
    EncodeCharacters(gap, is_first, out);
  });
}

void Tokenizer::Impl::EncodeNormalized(std::string_view text, bool shielded,
                                       std::vector<int32_t>* out) const {
  EncodeAround(normalized_added_tokens, text, shielded, out, [&](std::string_view gap) {
    if (shielded) return EncodeSplit(WithoutShields(gap), 0, out);
    EncodeSplit(gap, 0, out);
  });
}

void Tokenizer::Impl::EncodeCharacters(std::string_view text, bool is_first,
                                       std::vector<int32_t>* out) const {
  const std::string marked = ToMetaspace(text, *characters, is_first);
  std::string_view rest = marked;
  while (!rest.empty()) {
    const size_t next = characters->splits ? rest.find(kMetaspace, 1) : std::string_view::npos;
    const size_t length = std::min(next, rest.size());
    EncodeWord(rest.substr(0, length), out);
    rest.remove_prefix(length);
  }
}

void Tokenizer::Impl::EncodeCharacterWord(std::string_view word, std::vector<int32_t>* out) const {
  std::vector<int32_t> tokens;
  for (size_t begin = 0; begin < word.size();) {
    size_t end = begin;
    NextCodePoint(word, &end);
    const std::string character(word.substr(begin, end - begin));
    if (const auto found = character_ids.find(character); found != character_ids.end()) {
      tokens.push_back(found->second);
    } else {
      for (const char byte : character) tokens.push_back(byte_ids[static_cast<uint8_t>(byte)]);
    }
    begin = end;
  }
  bpe.MergeTokens(tokens, out);
}

void Tokenizer::Impl::EncodeSplit(std::string_view text, size_t split,
                                  std::vector<int32_t>* out) const {
  if (split == splits.size()) return EncodeByteLevel(text, out);
  SplitPattern::Cursor cursor(splits[split], text);
  for (auto piece = cursor.Next(); !piece.empty(); piece = cursor.Next()) {
    EncodeSplit(piece, split + 1, out);
  }
}

void Tokenizer::Impl::EncodeByteLevel(std::string_view text, std::vector<int32_t>* out) const {
  std::string prefixed;
  if (add_prefix_space && !text.starts_with(' ')) {
    prefixed.append(" ").append(text);
    text = prefixed;
  }
  if (!gpt2_pattern) return EncodeWord(text, out);
  while (!text.empty()) {
    const size_t length = Gpt2PieceLength(text);
    EncodeWord(text.substr(0, length), out);
    text.remove_prefix(length);
  }
}

void Tokenizer::Impl::EncodeWord(std::string_view word, std::vector<int32_t>* out) const {
  if (word.size() > WordCache::kMaxWordBytes) return EncodeUncached(word, out);
  thread_local WordCache cache;
  const WordCache::Key key = WordCache::MakeKey(word, cache_key);
  const std::span<const int32_t> known = cache.Find(key);
  if (!known.empty()) {
    out->insert(out->end(), known.begin(), known.end());
    return;
  }
  const size_t begin = out->size();
  EncodeUncached(word, out);
  cache.Insert(key, std::span<const int32_t>(*out).subspan(begin));
}

void Tokenizer::Impl::EncodeUncached(std::string_view word, std::vector<int32_t>* out) const {
  if (ignore_merges) {
    const auto found = characters ? ids.find(FromMetaspace(word)) : ids.find(word);
    // What is left here of an added token's text is none, such as where it is no word of its own.
    const TokenEntry* entry = found == ids.end() ? nullptr : &entries[found->second];
    if (entry != nullptr && entry->in_vocabulary && !entry->special) {
      return out->push_back(found->second);
    }
  }
  if (characters) return EncodeCharacterWord(word, out);
  bpe.Encode(word, out);
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::Load(const std::string& path, SpecialTokens special) {
  return Tokenizer(std::make_unique<const Impl>(ReadTokenizer(path), path, special));
}

Tokenizer Tokenizer::Parse(std::string_view json, const std::string& source,
                           SpecialTokens special) {
  return Tokenizer(std::make_unique<const Impl>(ParseTokenizerJson(json, source), source, special));
}

std::vector<int32_t> Tokenizer::Impl::Encode(std::string_view text, InvalidUtf8 policy,
                                             bool shielded) const {
  Require(text.size() <= kMaxTextBytes, ErrorCode::kInvalidArgument,
          "a text of {} bytes is longer than the {} that are encoded at once", text.size(),
          kMaxTextBytes);
  std::vector<int32_t> encoded;
  const size_t valid = FindInvalidUtf8(text);
  if (valid == text.size()) {
    EncodeText(text, shielded, &encoded);
    return encoded;
  }
  Require(policy == InvalidUtf8::kReplace, ErrorCode::kInvalidArgument,
          "byte {} of the text, 0x{:02X}, is not valid UTF-8", valid,
          static_cast<uint8_t>(text[valid]));
  EncodeText(ReplaceInvalidUtf8(text), shielded, &encoded);
  return encoded;
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, InvalidUtf8 policy) const {
  return impl_->Encode(text, policy, /*shielded=*/false);
}

std::string Tokenizer::Shield(std::string_view part) const {
  // A mark of the part's own would make text of the token behind it.
  return impl_->special_tokens.Shield(WithoutShields(part));
}

std::vector<int32_t> Tokenizer::EncodeShielded(std::string_view text) const {
  return impl_->Encode(text, InvalidUtf8::kError, /*shielded=*/true);
}

std::vector<int32_t> Tokenizer::EncodeWithPrefix(std::string_view text) const {
  std::vector<int32_t> ids = impl_->text_prefix;
  const std::vector<int32_t> encoded = Encode(text);
  ids.insert(ids.end(), encoded.begin(), encoded.end());
  return ids;
}

std::span<const int32_t> Tokenizer::Prefix() const { return impl_->text_prefix; }

int64_t Tokenizer::CountSpecialTokens(std::string_view text) const {
  return static_cast<int64_t>(impl_->special_tokens.Find(text).size());
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text = DecodeContinuation(ids, skip_special);
  if (impl_->strip_first_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::string Tokenizer::DecodeContinuation(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids) {
    const bool exists = id >= 0 && id < VocabSize() && impl_->entries[id].exists;
    Require(exists, ErrorCode::kInvalidArgument,
            "the tokenizer has no token with the id {}; its ids are below {}", id, VocabSize());
    if (!skip_special || !IsSpecial(id)) text.append(TokenBytes(id));
  }
  return text;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  if (id < 0 || id >= VocabSize()) return {};
  return impl_->entries[id].bytes;
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < VocabSize() && impl_->entries[id].special;
}

int32_t Tokenizer::VocabSize() const { return static_cast<int32_t>(impl_->entries.size()); }

std::vector<int32_t> Tokenizer::MissingIds() const {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < VocabSize(); ++id) {
    if (TokenBytes(id).empty()) ids.push_back(id);
  }
  return ids;
}

std::optional<int32_t> Tokenizer::FindToken(std::string_view content) const {
  const auto found = impl_->ids.find(content);
  if (found == impl_->ids.end()) return std::nullopt;
  return found->second;
}

std::optional<int32_t> Tokenizer::EndOfText() const { return FindToken(kEndOfText); }

void RequireVocabularyFits(const Tokenizer& tokenizer, int64_t vocab_size,
                           const std::string& directory) {
  Require(tokenizer.VocabSize() <= vocab_size, ErrorCode::kCorrupt,
          "{}: the tokenizer has {} ids, more than the model's vocab_size {}", directory,
          tokenizer.VocabSize(), vocab_size);
}

}  // namespace blockformer
