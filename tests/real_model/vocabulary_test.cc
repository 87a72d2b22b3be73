// Tokenizers of GGUF files against the ids that lie beside them, which are Hugging Face's: files
// ggml-vocab-NAME.gguf, .gguf.inp and .gguf.out, as llama.cpp has them in models/ (also in the
// source of PyPI's llama-cpp-python), in the folder that BLOCKFORMER_GGUF_VOCABULARIES names.
// Without it, and for kinds that are not read, the tests are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

constexpr std::string_view kBetweenTexts = "\n__ggml_vocab_test__\n";

std::vector<std::string> VocabularyFiles() {
  std::vector<std::string> files;
  const char* folder = std::getenv("BLOCKFORMER_GGUF_VOCABULARIES");
  std::error_code ignored;
  if (folder == nullptr) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".gguf") && FileExists(path + ".out")) files.push_back(path);
  }
  std::ranges::sort(files);
  return files;
}

class GgufVocabularyFile : public testing::TestWithParam<std::string> {};

TEST_P(GgufVocabularyFile, GivesTheIdsBesideIt) {
  std::optional<GgufTokenizer> files;
  try {
    files = ReadGgufTokenizer(GgufFile(GetParam()));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    GTEST_SKIP() << error.what();
  }
  ASSERT_TRUE(files);
  const Tokenizer tokenizer = Tokenizer::Parse(files->tokenizer_json, GetParam());
  std::istringstream lines(ReadFile(GetParam() + ".out"));
  std::string rest = ReadFile(GetParam() + ".inp");
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const size_t end = rest.find(kBetweenTexts);
    const std::string text = rest.substr(0, end);
    rest.erase(0, end == std::string::npos ? end : end + kBetweenTexts.size());
    std::istringstream numbers(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(tokenizer.Encode(text), expected) << count << ": " << text;
  }
  EXPECT_GT(count, 0);
}

TEST(GgufVocabularyFolder, IsThere) {
  if (VocabularyFiles().empty()) {
    GTEST_SKIP() << "BLOCKFORMER_GGUF_VOCABULARIES names no folder with ggml-vocab-*.gguf";
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufVocabularyFile, testing::ValuesIn(VocabularyFiles()),
                         [](const auto& test) {
                           std::string name = std::filesystem::path(test.param).stem().string();
                           std::ranges::replace_if(
                               name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GgufVocabularyFile);

}  // namespace
}  // namespace blockformer
