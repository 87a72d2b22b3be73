#ifndef BLOCKFORMER_DATA_PACKING_H_
#define BLOCKFORMER_DATA_PACKING_H_

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "data/token_file.h"

namespace blockformer {

// How documents are laid end to end and cut into samples.
struct PackingOptions {
  int64_t sample_length = 2048;         // tokens a sample; a multiple of block_length
  int64_t block_length = 1;             // 1 with both paddings off is the vanilla layout
  bool random_pad_first_block = false;  // 0 to L-1 pads before each document, drawn once a run
  bool pad_to_block_boundary = false;   // pads after each document up to a whole block
  // Reproduces the published implementation, which loses the end-of-text target of a document that
  // fills its last block; otherwise every document keeps it.
  bool published = false;
  int32_t eos_id = 0;
  int32_t pad_id = 0;
  // The size of the model's vocabulary: a token file that holds an id that is not in it is refused
  // when that token is read.
  int32_t vocab_size = std::numeric_limits<int32_t>::max();
};

// Samples of a model's context, with its ids and padding; `published` as above.
PackingOptions ModelPacking(const ModelConfig& model, bool published);

constexpr int32_t kIgnoredLabel = -100;

// numpy.random.RandomState(seed).randint(bound, size=count, dtype=int16), which draws the left pads
// of the published implementation: each 32-bit output of MT19937 gives two values, the low half
// first, masked to the bits of bound - 1 and drawn again while above it. 1 <= bound <= 2^15.
std::vector<int16_t> LegacyNumpyRandint(uint32_t seed, int64_t bound, int64_t count);

// The samples of a token file. Documents are packed back to back as [left pads][tokens][EOS][right
// pads]; sample i is positions [i * sample_length, (i + 1) * sample_length) of that; a shorter rest
// is left out. Immutable; safe to use from several threads; keeps a reference to the token file.
class PackedSamples {
 public:
  // Throws Error(kInvalidArgument) for lengths that do not fit each other.
  PackedSamples(const TokenFile& tokens, const PackingOptions& options);

  int64_t NumSamples() const;

  // Writes one sample; every span holds sample_length entries. mask is 1 on tokens and EOS, 0 on
  // pads; labels are the ids, and kIgnoredLabel on pads. Throws Error(kCorrupt) for an id that is
  // not in the vocabulary.
  void Read(int64_t sample, std::span<int32_t> ids, std::span<int32_t> mask,
            std::span<int32_t> labels) const;

  int64_t TotalLength() const;  // padded length of all documents
  const PackingOptions& options() const { return options_; }

 private:
  int64_t LeftPad(int64_t document) const;
  void ReadText(int64_t document, int64_t begin, std::span<int32_t> ids) const;
  bool KeepsEndOfText(int64_t position, int64_t sample_end) const;

  const TokenFile& tokens_;
  PackingOptions options_;
  std::vector<int16_t> left_pads_;  // of each document; empty without random_pad_first_block
  std::vector<int64_t> starts_;  // where each document's left pads begin; one more entry at the end
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_PACKING_H_
