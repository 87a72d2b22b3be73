#include "base/resumable_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ResumableLinesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "resumable-lines-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
    path_ = Path("out");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  size_t NumFiles() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  // A run that ends before it is done.
  void Interrupt(const RunSettings& settings, const std::vector<std::string>& lines) const {
    ResumableLines output(path_, settings, 9);
    for (const std::string& line : lines) output.Append(line);
  }
  std::string Refusal(const RunSettings& settings, int64_t max_lines = 9) const {
    try {
      const ResumableLines output(path_, settings, max_lines);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string directory_;
  std::string path_;
};

TEST_F(ResumableLinesTest, GoesOnWithTheSameSettings) {
  Interrupt({{"--seed", "1"}}, {"a", "b"});
  EXPECT_FALSE(FileExists(path_));
  WriteFileAtomically(Path("out.partial"), ReadFile(Path("out.partial")) + "cut sho");
  ResumableLines output(path_, {{"--seed", "1"}}, 3);
  EXPECT_EQ(output.lines_done(), 2);
  output.Append("c");
  output.Finish();
  EXPECT_EQ(ReadFile(path_), "a\nb\nc\n");
  EXPECT_EQ(NumFiles(), 1U);
}

TEST_F(ResumableLinesTest, NamesTheSettingsThatDifferWithBothValues) {
  Interrupt({{"--dtype", "\"f32\""}, {"--seed", "1"}, {"--stop", "[\": \"]"}}, {"a"});
  EXPECT_EQ(Refusal({{"--dtype", "\"int8\""}, {"--seed", "1"}, {"--n", "2"}}),
            Path("out.partial") +
                ": was begun with other settings: --dtype was \"f32\" and is \"int8\", --n was not "
                "set and is 2, --stop was [\": \"] and is not set; repeat them, or remove it and " +
                Path("out.partial.settings") + " to begin anew");
  EXPECT_EQ(ReadFile(Path("out.partial")), "a\n") << "a refused run changed what was done";
}

TEST_F(ResumableLinesTest, WithoutLinesThereIsNothingToGoOnFrom) {
  Interrupt({{"--seed", "1"}}, {});
  Interrupt({{"--seed", "2"}}, {"a"});
  EXPECT_THAT(Refusal({{"--seed", "1"}}), HasSubstr("--seed was 2 and is 1"));
}

TEST_F(ResumableLinesTest, LinesWithoutReadableSettingsAreNotMixedWithOthers) {
  const RunSettings settings = {{"--seed", "1"}};
  WriteFileAtomically(Path("out.partial"), "a\n");
  EXPECT_THAT(Refusal(settings),
              AllOf(HasSubstr("there are no settings"), HasSubstr("remove both to begin anew")));
  // As earlier versions wrote them.
  WriteFileAtomically(Path("out.partial.settings"), "{\"prompts\":3,\"seed\":1}\n");
  EXPECT_THAT(Refusal(settings), HasSubstr("there are no settings of this version"));
  WriteFileAtomically(Path("out.partial.settings"), "blockformer settings 1\nnonsense\n");
  EXPECT_THAT(Refusal(settings), HasSubstr("there are no settings of this version"));
  EXPECT_EQ(ReadFile(Path("out.partial")), "a\n");
}

TEST_F(ResumableLinesTest, RefusesTooManyLinesAndARunThatGoesOn) {
  Interrupt({}, {"a", "b"});
  EXPECT_THAT(Refusal({}, 1), HasSubstr("has 2 lines, more than the 1"));
  const ResumableLines other(path_, {}, 9);
  EXPECT_THAT(Refusal({}), HasSubstr("is being written by another run"));
}

TEST_F(ResumableLinesTest, FollowsLinksButNotOneInPlaceOfThePartialFile) {
  std::filesystem::create_directories(Path("folder"));
  std::filesystem::create_symlink("folder/target", path_);
  WriteFileAtomically(Path("folder/target"), "old");
  std::filesystem::permissions(Path("folder/target"), std::filesystem::perms(0600));
  ResumableLines output(path_, {}, 1);
  EXPECT_EQ(std::filesystem::path(output.partial_path()).filename(), "target.partial");
  output.Append("a");
  output.Finish();
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_EQ(ReadFile(Path("folder/target")), "a\n");
  EXPECT_EQ(std::filesystem::status(Path("folder/target")).permissions(),
            std::filesystem::perms(0600));
  WriteFileAtomically(Path("victim"), "");
  std::filesystem::create_symlink("../victim", Path("folder/target.partial"));
  EXPECT_THAT(Refusal({}), HasSubstr("target.partial: cannot open"));
}

TEST_F(ResumableLinesTest, AStreamGetsTheLinesAsTheyCome) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  path_ = "/dev/fd/" + std::to_string(ends[1]);
  ResumableLines output(path_, {}, 2);
  EXPECT_EQ(output.partial_path(), "");
  output.Append("a");
  char buffer[8];
  ASSERT_EQ(read(ends[0], buffer, sizeof(buffer)), 2);
  EXPECT_EQ(std::string(buffer, 2), "a\n");
  output.Append("b");
  output.Finish();
  EXPECT_EQ(output.lines_done(), 2);
  EXPECT_EQ(read(ends[0], buffer, sizeof(buffer)), 2);
  EXPECT_THAT(Refusal({}), Not(HasSubstr("partial")));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace blockformer
