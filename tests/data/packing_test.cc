#include "data/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

namespace blockformer {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

using Documents = std::vector<std::vector<int32_t>>;

constexpr int32_t kEos = 100;
constexpr int32_t kPad = 101;
constexpr int32_t kNone = kIgnoredLabel;

struct Sample {
  std::vector<int32_t> ids, mask, labels;
};

class PackingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "packing_" + test->name();
    MakeDirectories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  const TokenFile& Write(const Documents& documents) {
    TokenFileWriter writer(directory_ + "/tokens", 1000);
    for (const auto& document : documents) writer.Add(document);
    writer.Commit();
    tokens_ = std::make_unique<TokenFile>(directory_ + "/tokens");
    return *tokens_;
  }

  // Documents of 0 to `longest` tokens, each token different from its neighbours.
  const TokenFile& WriteMany(int64_t count, uint64_t longest) {
    Random random(7);
    Documents documents(static_cast<size_t>(count));
    int32_t id = 0;
    for (auto& document : documents) {
      document.resize(random.Below(longest + 1));
      for (int32_t& token : document) token = id = (id + 1) % kEos;
    }
    return Write(documents);
  }

  static Sample Read(const PackedSamples& samples, int64_t index) {
    const auto length = static_cast<size_t>(samples.options().sample_length);
    Sample sample = {std::vector<int32_t>(length), std::vector<int32_t>(length),
                     std::vector<int32_t>(length)};
    samples.Read(index, sample.ids, sample.mask, sample.labels);
    return sample;
  }

  std::string directory_;
  std::unique_ptr<TokenFile> tokens_;
};

TEST_F(PackingTest, VanillaLaysDocumentsEndToEnd) {
  const PackedSamples samples(Write({{1, 2, 3}, {}, {4, 5}}),
                              {.sample_length = 3, .eos_id = kEos, .pad_id = kPad});
  EXPECT_EQ(samples.TotalLength(), 8);
  ASSERT_EQ(samples.NumSamples(), 2);
  EXPECT_THAT(Read(samples, 0).ids, ElementsAre(1, 2, 3));
  const Sample second = Read(samples, 1);
  EXPECT_THAT(second.ids, ElementsAre(kEos, kEos, 4));
  EXPECT_THAT(second.mask, Each(1));
  EXPECT_EQ(second.labels, second.ids);
}

TEST_F(PackingTest, PadsToBlockBoundary) {
  const PackedSamples samples(Write({{1, 2}, {3, 4, 5}, {6}}), {.sample_length = 8,
                                                                .block_length = 4,
                                                                .pad_to_block_boundary = true,
                                                                .eos_id = kEos,
                                                                .pad_id = kPad});
  EXPECT_EQ(samples.TotalLength(), 12);
  ASSERT_EQ(samples.NumSamples(), 1);
  const Sample sample = Read(samples, 0);
  EXPECT_THAT(sample.ids, ElementsAre(1, 2, kEos, kPad, 3, 4, 5, kEos));
  EXPECT_THAT(sample.mask, ElementsAre(1, 1, 1, 0, 1, 1, 1, 1));
  EXPECT_THAT(sample.labels, ElementsAre(1, 2, kEos, kNone, 3, 4, 5, kEos));
}

TEST_F(PackingTest, FollowsTheModel) {
  ModelConfig model;
  model.vocab_size = 300;
  model.max_length = 64;
  model.block_length = 4;
  model.eos_token_id = 7;
  model.pad_token_id = 9;
  model.padding.to_block_boundary = false;
  const PackingOptions block = ModelPacking(model, /*published=*/true);
  EXPECT_EQ(block.sample_length, 64);
  EXPECT_EQ(block.block_length, 4);
  EXPECT_TRUE(block.random_pad_first_block);
  EXPECT_FALSE(block.pad_to_block_boundary);
  EXPECT_TRUE(block.published);
  EXPECT_EQ(block.eos_id, 7);
  EXPECT_EQ(block.pad_id, 9);
  EXPECT_EQ(block.vocab_size, 300);
  model.kind = ModelKind::kVanilla;
  const PackingOptions vanilla = ModelPacking(model, /*published=*/false);
  EXPECT_EQ(vanilla.block_length, 1);
  EXPECT_FALSE(vanilla.random_pad_first_block);
}

TEST_F(PackingTest, PublishedLosesEndOfTextThatFillsItsBlock) {
  PackingOptions options = {.sample_length = 8,
                            .block_length = 4,
                            .pad_to_block_boundary = true,
                            .published = true,
                            .eos_id = kEos,
                            .pad_id = kPad};
  const TokenFile& tokens = Write({{1, 2, 3}, {4, 5, 6}, {7}, {8}});
  const PackedSamples samples(tokens, options);
  ASSERT_EQ(samples.NumSamples(), 2);
  // The first is lost; the second is the last token of its sample; the third does not fill its
  // block.
  const Sample sample = Read(samples, 0);
  EXPECT_THAT(sample.ids, ElementsAre(1, 2, 3, kPad, 4, 5, 6, kEos));
  EXPECT_THAT(sample.mask, ElementsAre(1, 1, 1, 0, 1, 1, 1, 1));
  EXPECT_THAT(sample.labels, ElementsAre(1, 2, 3, kNone, 4, 5, 6, kEos));
  EXPECT_THAT(Read(samples, 1).ids, ElementsAre(7, kEos, kPad, kPad, 8, kEos, kPad, kPad));

  options.pad_to_block_boundary = false;
  EXPECT_THAT(Read(PackedSamples(tokens, options), 0).ids,
              ElementsAre(1, 2, 3, kEos, 4, 5, 6, kEos));
}

TEST_F(PackingTest, RandomLeftPads) {
  const TokenFile& tokens = Write({{1}, {2}, {3}, {4}, {5}});
  const auto pads = LegacyNumpyRandint(42, 4, 5);
  const PackedSamples samples(tokens, {.sample_length = 4,
                                       .block_length = 4,
                                       .random_pad_first_block = true,
                                       .eos_id = kEos,
                                       .pad_id = kPad});
  EXPECT_EQ(samples.TotalLength(), 10 + std::accumulate(pads.begin(), pads.end(), 0));
  std::vector<int32_t> expected;
  for (int32_t document = 0; document < 5; ++document) {
    expected.insert(expected.end(), static_cast<size_t>(pads[document]), kPad);
    expected.insert(expected.end(), {document + 1, kEos});
  }
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < samples.NumSamples(); ++i) {
    const Sample sample = Read(samples, i);
    ids.insert(ids.end(), sample.ids.begin(), sample.ids.end());
  }
  expected.resize(ids.size());
  EXPECT_EQ(ids, expected);
}

// As numpy.random.RandomState(42).randint(bound, size=16, dtype=numpy.int16) gives them.
TEST_F(PackingTest, RandintIsThatOfNumpy) {
  EXPECT_THAT(LegacyNumpyRandint(42, 1, 4), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(LegacyNumpyRandint(42, 4, 16),
              ElementsAre(2, 1, 3, 2, 0, 2, 2, 1, 2, 3, 3, 1, 0, 1, 0, 3));
  EXPECT_THAT(LegacyNumpyRandint(42, 5, 16),
              ElementsAre(1, 3, 2, 4, 2, 2, 3, 1, 4, 1, 4, 3, 0, 1, 2, 2));
}

TEST_F(PackingTest, RandintStaysBelowItsBound) {
  for (const int64_t bound : {2, 3, 5, 16, 1000, 1 << 15}) {
    const auto values = LegacyNumpyRandint(42, bound, 20000);
    EXPECT_GE(std::ranges::min(values), 0) << bound;
    EXPECT_LT(std::ranges::max(values), bound);
  }
}

// Slow and plain: one position after the other, as the layout is described.
TEST_F(PackingTest, EqualsALayoutByPosition) {
  const TokenFile& tokens = WriteMany(300, 40);
  for (const int64_t block_length : {1, 2, 4, 5}) {
    for (int flags = 0; flags < 4; ++flags) {
      const PackingOptions options = {.sample_length = block_length * 7,
                                      .block_length = block_length,
                                      .random_pad_first_block = (flags & 1) != 0,
                                      .pad_to_block_boundary = (flags & 2) != 0,
                                      .eos_id = kEos,
                                      .pad_id = kPad};
      std::vector<int32_t> ids;
      const auto pads = LegacyNumpyRandint(42, block_length, tokens.NumDocuments());
      for (int64_t document = 0; document < tokens.NumDocuments(); ++document) {
        if (options.random_pad_first_block) {
          ids.insert(ids.end(), static_cast<size_t>(pads[document]), kPad);
        }
        std::vector<int32_t> text(tokens.DocumentLength(document));
        tokens.ReadTokens(document, 0, text);
        ids.insert(ids.end(), text.begin(), text.end());
        ids.push_back(kEos);
        while (options.pad_to_block_boundary && ids.size() % static_cast<size_t>(block_length)) {
          ids.push_back(kPad);
        }
      }
      const PackedSamples samples(tokens, options);
      ASSERT_EQ(samples.TotalLength(), static_cast<int64_t>(ids.size()));
      ASSERT_EQ(samples.NumSamples(), samples.TotalLength() / options.sample_length);
      for (int64_t i = 0; i < samples.NumSamples(); ++i) {
        const Sample sample = Read(samples, i);
        for (size_t j = 0; j < sample.ids.size(); ++j) {
          const int32_t id = ids[static_cast<size_t>(i * options.sample_length) + j];
          ASSERT_EQ(sample.ids[j], id);
          ASSERT_EQ(sample.mask[j], id == kPad ? 0 : 1);
          ASSERT_EQ(sample.labels[j], id == kPad ? kNone : id);
        }
      }
    }
  }
}

TEST_F(PackingTest, ADocumentLongerThanASample) {
  std::vector<int32_t> book(1000);
  std::iota(book.begin(), book.end(), 0);
  const PackedSamples samples(Write({{1}, book}), {.sample_length = 100});
  ASSERT_EQ(samples.NumSamples(), 10);
  EXPECT_EQ(Read(samples, 5).ids.front(), 498);
  EXPECT_EQ(Read(samples, 5).ids.back(), 597);
}

TEST_F(PackingTest, NoDocuments) { EXPECT_EQ(PackedSamples(Write({}), {}).NumSamples(), 0); }

TEST_F(PackingTest, WrongArguments) {
  const TokenFile& tokens = Write({{1, 2, 3, 4}});
  EXPECT_THROW(PackedSamples(tokens, {.sample_length = 10, .block_length = 4}), Error);
  EXPECT_THROW(PackedSamples(tokens, {.sample_length = 0}), Error);
  EXPECT_THROW(PackedSamples(tokens, {.sample_length = 4, .block_length = 0}), Error);
  EXPECT_THROW(PackedSamples(tokens, {.sample_length = 1 << 16, .block_length = 1 << 16}), Error);
  const PackedSamples samples(tokens, {.sample_length = 2});
  EXPECT_THROW(Read(samples, 2), Error);
  EXPECT_THROW(Read(samples, -1), Error);
}

TEST_F(PackingTest, IdsOutsideTheVocabularyAreRefused) {
  const TokenFile& tokens = Write({{1, 2, 3}, {4, 9, 5}});
  const PackedSamples samples(tokens, {.sample_length = 4, .vocab_size = 9});
  Read(samples, 0);
  try {
    Read(samples, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("document 1 holds token 9; ids from 0 to 8"));
  }
}

}  // namespace
}  // namespace blockformer
