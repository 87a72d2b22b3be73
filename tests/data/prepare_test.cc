#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "config/json.h"
#include "tests/data/byte_tokenizer.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "prepare_" + test->name() + "/";
    std::filesystem::remove_all(directory_);
    MakeDirectories(directory_ + "out");
    options_.tokenizer_path = directory_ + "tokenizer.json";
    options_.output_prefix = directory_ + "out/tokens";
    WriteByteTokenizer(options_.tokenizer_path);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void AddInput(const std::string& name, const std::string& contents) {
    WriteFileAtomically(directory_ + name, contents);
    options_.inputs.push_back(directory_ + name);
  }

  // JSON lines whose texts name their number, of very different lengths.
  void AddNumberedInput(int count) {
    Random random(3);
    std::string lines;
    for (int i = 0; i < count; ++i) {
      const std::string tail(random.Below(8) == 0 ? random.Below(200000) : random.Below(50), 'x');
      lines += Json({{"text", std::to_string(i) + " the " + tail}}).dump() + "\n";
    }
    AddInput("numbered.jsonl", lines);
  }

  PrepareSummary Prepare() const {
    const Tokenizer tokenizer = Tokenizer::Load(options_.tokenizer_path);
    return PrepareTokenFiles(tokenizer, options_, [](const PrepareProgress&) {});
  }

  std::string FailureOfPrepare() const {
    try {
      Prepare();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::vector<std::string> Texts(const std::string& prefix) const {
    const Tokenizer tokenizer = Tokenizer::Load(options_.tokenizer_path);
    const TokenFile tokens(prefix);
    std::vector<std::string> texts;
    for (int64_t i = 0; i < tokens.NumDocuments(); ++i) {
      std::vector<int32_t> ids(tokens.DocumentLength(i));
      tokens.ReadTokens(i, 0, ids);
      texts.push_back(tokenizer.Decode(ids));
    }
    return texts;
  }

  std::vector<std::string> OutputFiles() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "out")) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }

  std::string directory_;
  PrepareOptions options_;
};

TEST_F(PrepareTest, TextSurvives) {
  AddInput("a.txt", "one\r\n\xC3\xA9 the\n");
  AddInput("b.jsonl", "{\"text\": \"two\"}\n{\"text\": \"\"}\n{\"text\": \" three \"}\n");
  const PrepareSummary summary = Prepare();
  EXPECT_THAT(Texts(options_.output_prefix),
              ElementsAre("one\r\n\xC3\xA9 the\n", "two", " three "));
  EXPECT_EQ(summary.train.documents, 3);
  EXPECT_EQ(summary.train.tokens, 8 + 3 + 7);  // " the" is one token
  EXPECT_EQ(summary.train.text_bytes, 12 + 3 + 7);
  EXPECT_EQ(summary.empty_documents, 1);
  EXPECT_FALSE(summary.validation);
  EXPECT_THAT(OutputFiles(), ElementsAre("tokens.bin", "tokens.idx", "tokens.json"));
}

TEST_F(PrepareTest, InfoStandsBesideTheTokens) {
  AddInput("a.txt", "the text");
  Prepare();
  const auto info = ReadTokenFileInfo(TokenFile(options_.output_prefix));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->documents, 1);
  EXPECT_EQ(info->tokens, 6);
  EXPECT_EQ(info->text_bytes, 8);
  EXPECT_EQ(info->vocab_size, kByteTokenizerVocabSize);
  EXPECT_EQ(info->tokenizer, std::filesystem::absolute(options_.tokenizer_path).string());
  EXPECT_EQ(info->tokenizer_fingerprint,
            TokenizerFingerprint(Tokenizer::Load(options_.tokenizer_path)));
}

TEST_F(PrepareTest, InfoOfOtherTokensIsRefused) {
  AddInput("a.txt", "the text");
  Prepare();
  TokenFileWriter writer(options_.output_prefix, 10);
  writer.Add(std::vector<int32_t>{1, 2, 3});
  writer.Commit();
  EXPECT_THROW(ReadTokenFileInfo(TokenFile(options_.output_prefix)), Error);
  std::filesystem::remove(TokenFileInfoPath(options_.output_prefix));
  EXPECT_FALSE(ReadTokenFileInfo(TokenFile(options_.output_prefix)));
}

TEST_F(PrepareTest, FilesDoNotDependOnThreads) {
  AddNumberedInput(500);
  options_.validation_fraction = 0.1;
  options_.force = true;
  std::vector<std::vector<std::string>> contents;
  for (const int threads : {1, 2, 7}) {
    options_.threads = threads;
    Prepare();
    contents.emplace_back();
    for (const std::string& file : OutputFiles()) {
      contents.back().push_back(ReadFile(directory_ + "out/" + file));
    }
  }
  EXPECT_EQ(contents[0].size(), 6u);
  EXPECT_EQ(contents[1], contents[0]);
  EXPECT_EQ(contents[2], contents[0]);
}

TEST_F(PrepareTest, ValidationTakesOneDocumentOfEveryStride) {
  AddNumberedInput(203);
  options_.validation_fraction = 0.1;
  const PrepareSummary summary = Prepare();
  const auto held_out = Texts(ValidationPrefix(options_.output_prefix));
  const auto kept = Texts(options_.output_prefix);
  EXPECT_EQ(held_out.size() + kept.size(), 203u);
  EXPECT_EQ(summary.train.documents, static_cast<int64_t>(kept.size()));
  ASSERT_TRUE(summary.validation);
  EXPECT_EQ(summary.validation->documents, static_cast<int64_t>(held_out.size()));
  ASSERT_GE(held_out.size(), 20u);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(std::stoul(held_out[i]) / 10, i);
  for (size_t i = 1; i < kept.size(); ++i) {
    EXPECT_LT(std::stoul(kept[i - 1]), std::stoul(kept[i]));
  }
}

TEST_F(PrepareTest, TheShareIsExactWhateverItIs) {
  AddNumberedInput(1000);
  options_.force = true;
  for (const double fraction : {0.3, 0.4, 0.45, 0.03, 1.0 / 3}) {
    options_.validation_fraction = fraction;
    EXPECT_NEAR(static_cast<double>(Prepare().validation->documents), 1000 * fraction, 1)
        << fraction;
  }
}

TEST_F(PrepareTest, SeedChoosesTheValidationDocuments) {
  AddNumberedInput(200);
  options_.validation_fraction = 0.05;
  const std::string prefix = ValidationPrefix(options_.output_prefix);
  Prepare();
  const auto first = Texts(prefix);
  options_.force = true;
  Prepare();
  EXPECT_EQ(Texts(prefix), first);
  options_.seed = 1;
  Prepare();
  EXPECT_NE(Texts(prefix), first);
}

TEST_F(PrepareTest, SplitThatLeavesAFileEmptyIsAnError) {
  AddInput("a.txt", "only one");
  options_.validation_fraction = 0.5;
  EXPECT_THAT(FailureOfPrepare(),
              HasSubstr("holds out one document in 2, and with 1 in all one of"));
  EXPECT_THAT(OutputFiles(), IsEmpty());
}

TEST_F(PrepareTest, ImpossibleFraction) {
  AddInput("a.txt", "text");
  for (const double fraction : {-0.1, 0.6, std::numeric_limits<double>::quiet_NaN()}) {
    options_.validation_fraction = fraction;
    EXPECT_THAT(FailureOfPrepare(), HasSubstr("`validation_fraction`"));
  }
}

TEST_F(PrepareTest, InputsAndTheTokenizerAreNotOverwritten) {
  AddInput("out/a.json", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  const std::string tokenizer = ReadFile(options_.tokenizer_path);
  options_.output_prefix = directory_ + "out/../out/a";
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("a.json: is also an input"));
  options_.output_prefix = directory_ + "tokenizer";
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("tokenizer.json: is also an input"));
  options_.tokenizer_path = directory_;  // holds tokenizer.json
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("tokenizer.json: is also an input"));
  EXPECT_EQ(ReadFile(directory_ + "tokenizer.json"), tokenizer);
  EXPECT_THAT(OutputFiles(), ElementsAre("a.json"));

  std::filesystem::rename(directory_ + "out/a.json", directory_ + "out/b-valid.json");
  options_.inputs = {directory_ + "out/b-valid.json"};
  options_.output_prefix = directory_ + "out/b";
  options_.validation_fraction = 0.5;
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("b-valid.json: is also an input"));
  options_.validation_fraction = 0;  // then it is not written
  Prepare();
  EXPECT_THAT(Texts(options_.output_prefix), ElementsAre("one", "two"));
}

TEST_F(PrepareTest, NoDocuments) {
  AddInput("a.txt", "");
  AddInput("b.jsonl", "\n\n");
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("no document with text in the 2 files"));
  EXPECT_THAT(OutputFiles(), IsEmpty());
}

TEST_F(PrepareTest, InvalidUtf8NamesTheDocument) {
  AddInput("good.txt", "good");
  AddInput("bad.txt", "bad \xFF!");
  EXPECT_THAT(FailureOfPrepare(), HasSubstr(directory_ + "bad.txt: "));
  EXPECT_THAT(OutputFiles(), IsEmpty());
  options_.corpus.invalid_utf8 = InvalidUtf8::kReplace;
  Prepare();
  EXPECT_THAT(Texts(options_.output_prefix), ElementsAre("good", "bad \xEF\xBF\xBD!"));
}

TEST_F(PrepareTest, BadLineLeavesAnOlderPairAlone) {
  AddInput("a.jsonl", "{\"text\": \"old\"}\n");
  Prepare();
  AddInput("b.jsonl", "{\"text\": \"new\"}\n{\"text\": }\n");
  EXPECT_THAT(FailureOfPrepare(), HasSubstr("tokens.bin: is there already; `force` replaces it"));
  options_.force = true;
  EXPECT_THAT(FailureOfPrepare(), HasSubstr(directory_ + "b.jsonl:2: "));
  EXPECT_THAT(Texts(options_.output_prefix), ElementsAre("old"));
  EXPECT_THAT(OutputFiles(), ElementsAre("tokens.bin", "tokens.idx", "tokens.json"));
}

// While it lives, no file may grow beyond so many bytes, as if the disk were full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &old_); }

 private:
  rlimit old_;
};

TEST_F(PrepareTest, AFullDiskLeavesOlderFilesAsTheyWere) {
  AddInput("old.jsonl", "{\"text\": \"old\"}\n{\"text\": \"held out\"}\n");
  options_.validation_fraction = 0.5;
  Prepare();
  const std::vector<std::string> names = OutputFiles();
  ASSERT_EQ(names.size(), 6U);
  std::vector<std::string> contents;
  for (const std::string& name : names) contents.push_back(ReadFile(directory_ + "out/" + name));
  std::string lines;
  for (int i = 0; i < 300; ++i) lines += fmt::format("{{\"text\": \"{} the\"}}\n", i);
  AddInput("new.jsonl", lines);
  options_.force = true;
  // The files are of several sizes, so that now this one does not fit and now that.
  rlim_t bytes = 1;
  for (; bytes < rlim_t{1} << 30; bytes = 3 * bytes + 1) {
    std::string failure;
    {
      const FileSizeLimit limit(bytes);
      failure = FailureOfPrepare();
    }
    if (failure.empty()) break;
    EXPECT_THAT(failure, HasSubstr("cannot write")) << bytes;
    ASSERT_EQ(OutputFiles(), names) << bytes;
    for (size_t i = 0; i < names.size(); ++i) {
      ASSERT_EQ(ReadFile(directory_ + "out/" + names[i]), contents[i]) << names[i] << " " << bytes;
    }
  }
  EXPECT_GT(bytes, std::filesystem::file_size(options_.output_prefix + ".idx"));
  EXPECT_EQ(Texts(options_.output_prefix).size(), 151U);
}

TEST_F(PrepareTest, ProgressReachesTheTotalAndMayStopTheWork) {
  AddNumberedInput(300);
  const Tokenizer tokenizer = Tokenizer::Load(options_.tokenizer_path);
  PrepareProgress last;
  const auto remember = [&](const PrepareProgress& progress) {
    EXPECT_GE(progress.bytes_read, last.bytes_read);
    EXPECT_GE(progress.tokens, last.tokens);
    last = progress;
  };
  PrepareTokenFiles(tokenizer, options_, remember);
  EXPECT_EQ(last.bytes_read, std::filesystem::file_size(options_.inputs[0]));
  EXPECT_EQ(last.total_bytes, last.bytes_read);
  EXPECT_EQ(last.documents, 300);

  options_.output_prefix = directory_ + "out/stopped";
  const auto stop = [](const PrepareProgress& progress) {
    if (progress.documents > 0) Fail(ErrorCode::kInterrupted, "stopped");
  };
  EXPECT_THROW(PrepareTokenFiles(tokenizer, options_, stop), Error);
  EXPECT_THAT(OutputFiles(), ElementsAre("tokens.bin", "tokens.idx", "tokens.json"));
}

}  // namespace
}  // namespace blockformer
