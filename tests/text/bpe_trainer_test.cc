#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;

TokenizerDescription Train(const std::vector<std::string>& documents, BpeTrainerOptions options) {
  size_t next = 0;
  return TrainBpe(
      [&](std::string* document) {
        if (next == documents.size()) return false;
        *document = documents[next++];
        return true;
      },
      options);
}

// The merges as "left+right", in order.
std::vector<std::string> Merges(const TokenizerDescription& description) {
  std::vector<std::string> token_of_id(description.vocabulary.size());
  for (const auto& [token, id] : description.vocabulary) token_of_id[id] = token;
  std::vector<std::string> merges;
  for (const Merge& merge : description.merges) {
    merges.push_back(token_of_id[merge.left] + "+" + token_of_id[merge.right]);
  }
  return merges;
}

TEST(TrainBpe, MergesTheMostFrequentPairs) {
  const auto description = Train({"low low low lower", "newest newest", "widest"},
                                 {.vocab_size = 263, .min_frequency = 2});
  // Among equally frequent pairs, the one with the smaller ids is merged first: l+o and o+w occur 4
  // times each.
  EXPECT_THAT(Merges(description), ElementsAre("l+o", "lo+w", "e+s", "Ġ+low", "es+t"));
  EXPECT_EQ(description.vocabulary.at("<|endoftext|>"), 0);
  EXPECT_EQ(description.vocabulary.at("<|padding|>"), 1);
  EXPECT_EQ(description.vocabulary.at("!"), 2);
  EXPECT_EQ(description.vocabulary.at("lo"), 258);
}

TEST(TrainBpe, StopsAtTheMinimumFrequency) {
  const BpeTrainerOptions options = {.vocab_size = 1000, .min_frequency = 3};
  EXPECT_THAT(Merges(Train({"ab ab ab cd cd"}, options)), ElementsAre("a+b"));
}

TEST(TrainBpe, GivesTheSameForAnyNumberOfThreads) {
  Random random(6);
  std::vector<std::string> documents(40);
  for (std::string& document : documents) {
    for (int i = 0; i < 3000; ++i) document.push_back("abcde  \n"[random.Below(8)]);
  }
  const BpeTrainerOptions options = {.vocab_size = 600, .min_frequency = 2};
  const int threads = NumThreads();
  SetNumThreads(1);
  const auto one = Train(documents, options);
  SetNumThreads(4);
  const auto four = Train(documents, options);
  SetNumThreads(threads);
  EXPECT_EQ(one.vocabulary.size(), 600u);
  EXPECT_EQ(WriteTokenizerJson(one), WriteTokenizerJson(four));
}

TEST(TrainBpe, WritesWhatTheTokenizerReads) {
  const TokenizerDescription description = TrainTiny();
  const std::string json = WriteTokenizerJson(description);
  const TokenizerDescription read = ParseTokenizerJson(json, "trained");
  EXPECT_EQ(read.vocabulary, description.vocabulary);
  EXPECT_EQ(Merges(read), Merges(description));
  EXPECT_TRUE(read.nfc);
  EXPECT_FALSE(read.add_prefix_space);
  EXPECT_TRUE(read.gpt2_pattern);
  // Training text is tokenised into the entries that it gave rise to.
  EXPECT_EQ(Tokenizer::Parse(json, "trained").Encode(" the the").size(), 2u);
}

TEST(TrainBpe, RefusesWhatCannotBe) {
  EXPECT_THROW(Train({"text"}, {.vocab_size = 257}), Error);
  EXPECT_THROW(Train({}, {.vocab_size = 300}), Error);
  EXPECT_THROW(Train({"", ""}, {.vocab_size = 300}), Error);
  EXPECT_THROW(Train({"good",
                      "b\xFF"
                      "ad"},
                     {.vocab_size = 300}),
               Error);
}

}  // namespace
}  // namespace blockformer
