// Token files and packing against the published implementation's own files and samples.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "data/packing.h"
#include "data/token_file.h"
#include "tests/golden/golden_file.h"

namespace blockformer {
namespace {

constexpr int32_t kEndOfText = 0;

std::vector<std::string> DatasetNames() { return GoldenNames({"io.idx_bytes"}); }

std::string Bytes(const GoldenFile& golden, const std::string& tensor) {
  const std::vector<int64_t> values = golden.Integers(tensor);
  return {values.begin(), values.end()};
}

class DatasetTest : public ::testing::TestWithParam<std::string> {
 protected:
  DatasetTest() : golden_(GetParam()) {
    // Cases run side by side in processes of their own.
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = test->name();
    std::ranges::replace(name, '/', '_');
    directory_ = ::testing::TempDir() + "data_golden_" + name;
    MakeDirectories(directory_);
    WriteFileAtomically(Prefix() + ".idx", Bytes(golden_, "io.idx_bytes"));
    WriteFileAtomically(Prefix() + ".bin", Bytes(golden_, "io.bin_bytes"));
  }
  ~DatasetTest() override { std::filesystem::remove_all(directory_); }

  std::string Prefix() const { return directory_ + "/published"; }

  // Compares every sample that the golden file holds under this name.
  void CheckSamples(const std::string& name, PackingOptions options) const {
    SCOPED_TRACE(name);
    const std::string prefix = "io." + name + ".";
    const std::vector<int64_t> shape = golden_.Shape(prefix + "input_ids");
    options.sample_length = shape[1] * (shape.size() == 3 ? shape[2] : 1);
    options.published = true;
    options.eos_id = options.pad_id = kEndOfText;
    const TokenFile tokens(Prefix());
    const PackedSamples samples(tokens, options);
    EXPECT_EQ(samples.NumSamples(), golden_.Integer(prefix + "len"));
    if (golden_.Has(prefix + "padded_total_length")) {
      EXPECT_EQ(samples.TotalLength(), golden_.Integer(prefix + "padded_total_length"));
    }
    ASSERT_LE(shape[0], samples.NumSamples());
    const auto length = static_cast<size_t>(options.sample_length);
    std::vector<int32_t> ids(length), mask(length), labels(length);
    std::vector<int64_t> all_ids, all_masks, all_labels;
    for (int64_t sample = 0; sample < shape[0]; ++sample) {
      samples.Read(sample, ids, mask, labels);
      all_ids.insert(all_ids.end(), ids.begin(), ids.end());
      all_masks.insert(all_masks.end(), mask.begin(), mask.end());
      all_labels.insert(all_labels.end(), labels.begin(), labels.end());
    }
    EXPECT_EQ(all_ids, golden_.Integers(prefix + "input_ids"));
    EXPECT_EQ(all_masks, golden_.Integers(prefix + "attention_mask"));
    EXPECT_EQ(all_labels, golden_.Integers(prefix + "labels"));
  }

  GoldenFile golden_;
  std::string directory_;
};

TEST_P(DatasetTest, TokenFileReads) {
  const TokenFile tokens(Prefix());
  const std::vector<int64_t> lengths = golden_.Integers("io.document_lengths");
  ASSERT_EQ(tokens.NumDocuments(), static_cast<int64_t>(lengths.size()));
  std::vector<int64_t> all;
  for (int64_t document = 0; document < tokens.NumDocuments(); ++document) {
    EXPECT_EQ(tokens.DocumentLength(document), lengths[document]);
    std::vector<int32_t> ids(tokens.DocumentLength(document));
    tokens.ReadTokens(document, 0, ids);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(all, golden_.Integers("io.tokens"));
}

TEST_P(DatasetTest, WriterMakesTheSameBytes) {
  const TokenFile tokens(Prefix());
  TokenFileWriter writer(directory_ + "/ours", 50277);
  for (int64_t document = 0; document < tokens.NumDocuments(); ++document) {
    std::vector<int32_t> ids(tokens.DocumentLength(document));
    tokens.ReadTokens(document, 0, ids);
    writer.Add(ids);
  }
  writer.Commit();
  EXPECT_EQ(ReadFile(directory_ + "/ours.bin"), Bytes(golden_, "io.bin_bytes"));
  EXPECT_EQ(ReadFile(directory_ + "/ours.idx"), Bytes(golden_, "io.idx_bytes"));
}

TEST_P(DatasetTest, SamplesOfBlockModels) {
  int combinations = 0;
  for (int block_length = 1; block_length <= 32; ++block_length) {
    for (const bool random_pad : {false, true}) {
      for (const bool to_boundary : {false, true}) {
        const std::string name =
            fmt::format("L{}_rp{:d}_bb{:d}", block_length, random_pad, to_boundary);
        if (!golden_.Has("io." + name + ".input_ids")) continue;
        ++combinations;
        CheckSamples(name, {.block_length = block_length,
                            .random_pad_first_block = random_pad,
                            .pad_to_block_boundary = to_boundary});
      }
    }
  }
  EXPECT_GT(combinations, 0);
}

TEST_P(DatasetTest, SamplesOfVanillaModels) { CheckSamples("vanilla", {}); }

TEST_P(DatasetTest, RandomLeftPads) {
  int vectors = 0;
  for (int bound = 1; bound <= 64; ++bound) {
    const std::string name = fmt::format("io.rng.seed42_int16_L{}", bound);
    if (!golden_.Has(name)) continue;
    ++vectors;
    const std::vector<int64_t> expected = golden_.Integers(name);
    const auto drawn = LegacyNumpyRandint(42, bound, static_cast<int64_t>(expected.size()));
    EXPECT_EQ(std::vector<int64_t>(drawn.begin(), drawn.end()), expected) << name;
  }
  EXPECT_GT(vectors, 0);
}

INSTANTIATE_TEST_SUITE_P(Files, DatasetTest, ::testing::ValuesIn(DatasetNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DatasetTest);

TEST(DatasetFilesTest, AreThere) {
  if (DatasetNames().empty()) {
    GTEST_SKIP() << GoldenDirectory() << ": no file with samples of the published dataset";
  }
}

}  // namespace
}  // namespace blockformer
