#include "text/bpe_trainer.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kBatchBytes = size_t{32} << 20;

struct StringHash {
  using is_transparent = void;  // look-ups by string_view
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using WordCounts = std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>>;

void CountWords(std::string_view document, WordCounts* counts) {
  std::string storage;
  std::string_view text = NormalizeNfc(document, &storage);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, Gpt2PieceLength(text));
    text.remove_prefix(word.size());
    const auto found = counts->find(word);
    if (found != counts->end()) {
      ++found->second;
    } else {
      counts->emplace(word, 1);
    }
  }
}

// Takes documents until they fill a batch; `*at_end` says that there are no more.
std::vector<std::string> ReadBatch(const std::function<bool(std::string*)>& next_document,
                                   int64_t* num_documents, bool* at_end) {
  std::vector<std::string> batch;
  size_t bytes = 0;
  while (bytes < kBatchBytes) {
    std::string document;
    *at_end = !next_document(&document);
    if (*at_end) break;
    ++*num_documents;
    const size_t valid = FindInvalidUtf8(document);
    Require(valid == document.size(), ErrorCode::kInvalidArgument,
            "document {} of the training text: byte {} is not valid UTF-8", *num_documents, valid);
    bytes += document.size();
    batch.push_back(std::move(document));
  }
  return batch;
}

WordCounts CountAllWords(const std::function<bool(std::string*)>& next_document) {
  std::vector<WordCounts> counts_of_thread(NumThreads());
  int64_t num_documents = 0;
  for (bool at_end = false; !at_end;) {
    const std::vector<std::string> batch = ReadBatch(next_document, &num_documents, &at_end);
    ParallelFor(static_cast<int64_t>(batch.size()), 1, [&](int64_t begin, int64_t end) {
      WordCounts* counts = &counts_of_thread[ThreadIndex()];
      for (int64_t i = begin; i < end; ++i) CountWords(batch[i], counts);
    });
  }
  WordCounts total = std::move(counts_of_thread[0]);
  for (size_t i = 1; i < counts_of_thread.size(); ++i) {
    for (const auto& [word, count] : counts_of_thread[i]) total[word] += count;
    counts_of_thread[i].clear();
  }
  return total;
}

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const auto left = static_cast<uint64_t>(pair.first);
    return (left << 32 | static_cast<uint32_t>(pair.second)) * 0x9E3779B97F4A7C15u >> 16;
  }
};

// A pair that may be merged next, with words that hold it. A pair is queued again when it appears
// in more words.
struct Candidate {
  Pair pair;
  int64_t count = 0;
  std::vector<uint32_t> words;

  // For std::push_heap: the most frequent pair comes out first, then the one of the smallest ids.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Trainer {
 public:
  explicit Trainer(const WordCounts& counts);

  // Makes merges until the vocabulary has options.vocab_size entries or no pair is frequent enough.
  void Run(const BpeTrainerOptions& options);

  TokenizerDescription Describe() const;

 private:
  struct Word {
    std::vector<int32_t> tokens;
    int64_t count = 0;
  };
  using WordsOfPair = std::unordered_map<Pair, std::vector<uint32_t>, PairHash>;

  int32_t AddToken(std::string bytes);
  void AddPair(Pair pair, int64_t count, uint32_t word, WordsOfPair* words_of_pair);
  void Enqueue(WordsOfPair* words_of_pair);  // takes the words out
  Candidate PopCandidate();
  void Merge(const Candidate& candidate);
  void MergeInWord(uint32_t word, Pair pair, int32_t result, WordsOfPair* words_of_pair);

  std::vector<std::string> tokens_;  // in the byte alphabet, by id
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> pair_counts_;
  std::vector<Candidate> queue_;  // a heap
  std::vector<blockformer::Merge> merges_;
};

Trainer::Trainer(const WordCounts& counts) {
  for (const std::string_view token : kTrainedSpecialTokens) AddToken(std::string(token));
  // In the order of the alphabet's characters, as the Pythia models' vocabulary has them.
  std::vector<uint8_t> bytes(256);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  std::sort(bytes.begin(), bytes.end(),
            [](uint8_t a, uint8_t b) { return ByteToAlphabet(a) < ByteToAlphabet(b); });
  int32_t id_of_byte[256];
  for (const uint8_t byte : bytes) {
    id_of_byte[byte] = AddToken(ToByteAlphabet(std::string(1, static_cast<char>(byte))));
  }
  WordsOfPair words_of_pair;
  words_.reserve(counts.size());
  for (const auto& [text, count] : counts) {
    const auto index = static_cast<uint32_t>(words_.size());
    Word& word = words_.emplace_back();
    word.count = count;
    for (const char byte : text) word.tokens.push_back(id_of_byte[static_cast<uint8_t>(byte)]);
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      AddPair({word.tokens[i], word.tokens[i + 1]}, count, index, &words_of_pair);
    }
  }
  Enqueue(&words_of_pair);
}

int32_t Trainer::AddToken(std::string bytes) {
  const auto [found, is_new] = ids_.emplace(std::move(bytes), static_cast<int32_t>(tokens_.size()));
  if (is_new) tokens_.push_back(found->first);
  return found->second;
}

void Trainer::AddPair(Pair pair, int64_t count, uint32_t word, WordsOfPair* words_of_pair) {
  pair_counts_[pair] += count;
  std::vector<uint32_t>& words = (*words_of_pair)[pair];
  if (words.empty() || words.back() != word) words.push_back(word);
}

void Trainer::Enqueue(WordsOfPair* words_of_pair) {
  for (auto& [pair, words] : *words_of_pair) {
    const int64_t count = pair_counts_[pair];
    if (count <= 0) continue;
    queue_.push_back({pair, count, std::move(words)});
    std::push_heap(queue_.begin(), queue_.end());
  }
}

Candidate Trainer::PopCandidate() {
  std::pop_heap(queue_.begin(), queue_.end());
  Candidate candidate = std::move(queue_.back());
  queue_.pop_back();
  return candidate;
}

void Trainer::Run(const BpeTrainerOptions& options) {
  while (static_cast<int32_t>(tokens_.size()) < options.vocab_size && !queue_.empty()) {
    Candidate candidate = PopCandidate();
    const int64_t count = pair_counts_[candidate.pair];
    if (candidate.count != count) {  // other merges have taken some of its places
      candidate.count = count;
      queue_.push_back(std::move(candidate));
      std::push_heap(queue_.begin(), queue_.end());
      continue;
    }
    if (count < std::max<int64_t>(options.min_frequency, 1)) break;
    Merge(candidate);
    if (options.progress) options.progress(static_cast<int32_t>(tokens_.size()));
  }
}

void Trainer::Merge(const Candidate& candidate) {
  const auto [left, right] = candidate.pair;
  const int32_t result = AddToken(tokens_[left] + tokens_[right]);
  merges_.push_back({left, right, result});
  WordsOfPair words_of_pair;
  for (const uint32_t word : candidate.words) {
    MergeInWord(word, candidate.pair, result, &words_of_pair);
  }
  Enqueue(&words_of_pair);
}

void Trainer::MergeInWord(uint32_t word, Pair pair, int32_t result, WordsOfPair* words_of_pair) {
  std::vector<int32_t>& tokens = words_[word].tokens;
  const int64_t count = words_[word].count;
  size_t written = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool found =
        tokens[i] == pair.first && i + 1 < tokens.size() && tokens[i + 1] == pair.second;
    if (!found) {
      tokens[written++] = tokens[i];
      continue;
    }
    if (written > 0) {
      pair_counts_[{tokens[written - 1], pair.first}] -= count;
      AddPair({tokens[written - 1], result}, count, word, words_of_pair);
    }
    if (i + 2 < tokens.size()) {
      pair_counts_[{pair.second, tokens[i + 2]}] -= count;
      AddPair({result, tokens[i + 2]}, count, word, words_of_pair);
    }
    tokens[written++] = result;
    ++i;
  }
  tokens.resize(written);
}

TokenizerDescription Trainer::Describe() const {
  TokenizerDescription description;
  description.nfc = true;
  description.vocabulary = ids_;
  for (const int32_t id : {0, 1}) {
    description.added_tokens.push_back({.id = id, .content = tokens_[id], .special = true});
  }
  // A pair can be merged in several steps, in further words each time; the last gives its rank.
  std::unordered_map<Pair, size_t, PairHash> last;
  for (size_t i = 0; i < merges_.size(); ++i) last[{merges_[i].left, merges_[i].right}] = i;
  for (size_t i = 0; i < merges_.size(); ++i) {
    if (last[{merges_[i].left, merges_[i].right}] == i) description.merges.push_back(merges_[i]);
  }
  return description;
}

}  // namespace

TokenizerDescription TrainBpe(const std::function<bool(std::string*)>& next_document,
                              const BpeTrainerOptions& options) {
  Require(
      options.vocab_size >= kMinTrainedVocabulary && options.vocab_size <= kMaxTokenId + 1,
      ErrorCode::kInvalidArgument,
      "a vocabulary of {} entries is not possible; {} (256 bytes and 2 special tokens) to {} are",
      options.vocab_size, kMinTrainedVocabulary, kMaxTokenId + 1);
  const WordCounts counts = CountAllWords(next_document);
  Require(!counts.empty(), ErrorCode::kInvalidArgument, "the training text is empty");
  Trainer trainer(counts);
  trainer.Run(options);
  return trainer.Describe();
}

}  // namespace blockformer
