// `blockformer bench precision` as a user runs it, on tiny models.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "config/json.h"
#include "data/packing.h"
#include "data/token_file.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class BenchPrecisionTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    WriteTokens("tokens", TinyTextConfig().vocab_size);
  }

  // Documents of random ids below `bound`.
  void WriteTokens(const std::string& name, int64_t bound) const {
    constexpr int kDocuments = 6;
    TokenFileWriter writer(Path(name), static_cast<int32_t>(bound));
    Random random(5);
    std::vector<int32_t> document(50);
    for (int i = 0; i < kDocuments; ++i) {
      for (int32_t& id : document) {
        id = static_cast<int32_t>(random.Below(static_cast<uint64_t>(bound)));
      }
      document.back() = static_cast<int32_t>(bound - 1);
      writer.Add(document);
    }
    writer.Commit();
  }

  // On one thread, since tests run beside each other.
  Outcome Precision(const std::string& model, const std::string& flags,
                    const std::string& tokens = "tokens") const {
    return Run("bench precision --threads 1 " + Path(model) + " --data " + Path(tokens) + " " +
               flags);
  }

  Json Measure(const std::string& model, const std::string& flags) const {
    const Outcome outcome = Precision(model, flags + " --force --json " + Path("out.json"));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("perplexity"));
    return ReadJsonFile(Path("out.json"));
  }

  void ExpectError(const Outcome& outcome, int code, const std::string& part) const {
    EXPECT_EQ(outcome.exit_code, code) << part;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
  }
};

TEST_F(BenchPrecisionTest, MeasuresEachTypeOfEitherKind) {
  WriteTinyModel(Path("vanilla"), TinyVanillaTextConfig());
  for (const std::string model : {"block", "vanilla"}) {
    const Json json = Measure(model, "--samples 3");
    EXPECT_EQ(json["samples"], 3);
    ASSERT_EQ(json["results"].size(), 3U);
    const double first = json["results"][0]["perplexity"].get<double>();
    // What was drawn at random predicts nothing.
    EXPECT_NEAR(first, static_cast<double>(TinyTextConfig().vocab_size), 20);
    for (const Json& result : json["results"]) {
      const double perplexity = result["perplexity"].get<double>();
      EXPECT_NEAR(std::log(perplexity), result["loss"].get<double>(), 1e-9);
      EXPECT_NEAR(perplexity / first, 1, 0.03) << result;
      EXPECT_DOUBLE_EQ(result["perplexity_change"].get<double>(), perplexity / first - 1);
    }
    EXPECT_NE(json["results"][2]["perplexity"], first);
    EXPECT_LT(json["results"][2]["weight_bytes"], json["results"][1]["weight_bytes"]);
  }
}

// The tokens and ends of text of all samples, but for each sample's first block.
TEST_F(BenchPrecisionTest, CountsWhatTheTrainerCounts) {
  const ModelConfig config = TinyTextConfig();
  const TokenFile tokens(Path("tokens"));
  const PackedSamples samples(tokens, ModelPacking(config, /*published=*/false));
  const auto length = static_cast<size_t>(config.max_length);
  std::vector<int32_t> ids(length);
  std::vector<int32_t> mask(length);
  std::vector<int32_t> labels(length);
  int64_t predicted = 0;
  for (int64_t i = 0; i < samples.NumSamples(); ++i) {
    samples.Read(i, ids, mask, labels);
    predicted += std::count_if(labels.begin() + config.block_length, labels.end(),
                               [](int32_t label) { return label != kIgnoredLabel; });
  }
  const Json json = Measure("block", "--dtype f32 --samples 100");
  EXPECT_EQ(json["samples"], samples.NumSamples());
  EXPECT_EQ(json["sample_length"], config.max_length);
  EXPECT_EQ(json["predicted_tokens"], predicted);
}

TEST_F(BenchPrecisionTest, OutliersLeaveTheLossOfF32) {
  const Json plain = Measure("block", "--dtype f32,int8");
  const Json outliers = Measure("block", "--dtype f32,int8 --outliers 4");
  EXPECT_EQ(outliers["outliers"], 4);
  for (const size_t i : {0, 1}) {
    const double loss = plain["results"][i]["loss"].get<double>();
    EXPECT_NEAR(outliers["results"][i]["loss"].get<double>(), loss, 1e-4 * loss);
    EXPECT_NE(outliers["results"][i]["loss"], loss);
  }
}

TEST_F(BenchPrecisionTest, MeasuresInt8DirectoriesAsTheyAre) {
  ASSERT_EQ(Run("convert --dtype int8 " + Path("block") + " " + Path("int8")).exit_code, 0);
  const Json stored = Measure("int8", "--dtype int8");
  const Json at_load = Measure("block", "--dtype int8");
  // The files hold tables in f16.
  EXPECT_NEAR(stored["results"][0]["loss"].get<double>(),
              at_load["results"][0]["loss"].get<double>(), 1e-3);
  ExpectError(Precision("int8", ""), 2, "--dtype: f32 is not possible");
  ExpectError(Precision("int8", "--dtype int8,bf16"), 2, "--dtype: bf16 is not possible");
  ExpectError(Precision("int8", "--dtype int8 --outliers 1"), 2, "--outliers: 1 is not possible");
}

TEST_F(BenchPrecisionTest, ClearErrorsForWhatCannotBe) {
  ExpectError(Precision("block", "--samples 0"), 2, "--samples: 0 is out of range");
  ExpectError(Precision("block", "--outliers -1"), 2, "--outliers: -1 is out of range");
  ExpectError(Precision("block", "--outliers 33"), 2, "--outliers: 33 is more than the 32");
  ExpectError(Precision("block", "--dtype f16"), 2, "--dtype: \"f16\"");
  ExpectError(Precision("block", "--json no/such/x"), 2,
              "--json: no/such/x: the folder no/such cannot be entered");
  ExpectError(Precision("absent", ""), 1, "absent: is not a model directory");
  ExpectError(Precision("block", "", "absent"), 1, "absent.idx");
  EXPECT_THAT(Run("bench precision " + Path("block")).output, HasSubstr("--data is required"));

  WriteTokens("wide", TinyTextConfig().vocab_size + 1);
  EXPECT_THAT(Precision("block", "--samples 1", "wide").output,
              HasSubstr("wide.bin: document 0 holds token 264"));
  TokenFileWriter writer(Path("short"), 10);
  writer.Add(std::vector<int32_t>(9, 1));
  writer.Commit();
  ExpectError(Precision("block", "", "short"), 2, "--data: the 9 tokens of");

  PrepareWithAnotherTokenizer("others", std::string(200, 'a'));
  ExpectError(Precision("block", "", "others"), 2, "its tokenizer is not the tokenizer that made");

  ModelConfig one_block = TinyTextConfig();
  one_block.max_length = one_block.block_length;
  WriteTinyModel(Path("one"), one_block);
  ExpectError(Precision("one", ""), 2, "max_length 4 holds nothing to predict");
}

}  // namespace
}  // namespace blockformer
