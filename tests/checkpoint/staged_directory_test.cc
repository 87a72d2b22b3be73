#include "checkpoint/staged_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class StagedDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/staged-directory-" + std::to_string(getpid());
    Make("model");
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // A directory that may be replaced.
  void Make(const std::string& name) const {
    fs::create_directories(Path(name));
    WriteFileAtomically(Path(name) + "/model.safetensors", "old");
  }

  StagedDirectory Stage(const std::string& name) const {
    return {Path(name), true, [](const std::string& file) { return file == "model.safetensors"; }};
  }

  std::string ErrorOf(const std::string& name) const {
    try {
      Stage(name).Commit();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "no error";
  }

  std::string directory_;
};

TEST_F(StagedDirectoryTest, ReplacesFilesOfItsOwn) {
  EXPECT_EQ(ErrorOf("model"), "no error");
  EXPECT_TRUE(fs::is_empty(Path("model")));
}

TEST_F(StagedDirectoryTest, AFileOfAnotherNameIsNamed) {
  WriteFileAtomically(Path("model/thesis.txt"), "mine");
  EXPECT_THAT(ErrorOf("model"), HasSubstr("model: holds thesis.txt, which"));
  EXPECT_EQ(ReadFile(Path("model/thesis.txt")), "mine");
}

TEST_F(StagedDirectoryTest, FoldersAndLinksAreNoFilesOfAModel) {
  Make("linked");
  fs::remove(Path("linked/model.safetensors"));
  fs::create_symlink("../model/model.safetensors", Path("linked/model.safetensors"));
  EXPECT_THAT(ErrorOf("linked"), HasSubstr("linked: holds model.safetensors, which"));
  fs::create_directories(Path("folder/model.safetensors"));
  EXPECT_THAT(ErrorOf("folder"), HasSubstr("folder: holds model.safetensors, which"));
}

// "latest" of a training run is a link to a checkpoint.
TEST_F(StagedDirectoryTest, WhatALinkLeadsToIsNotReplaced) {
  fs::create_symlink("model", Path("latest"));
  EXPECT_THAT(ErrorOf("latest"), HasSubstr("latest: is a symbolic link to "));
  EXPECT_THAT(ErrorOf("latest/"), HasSubstr("latest/: is a symbolic link to "));
  EXPECT_TRUE(FileExists(Path("model/model.safetensors")));
  fs::create_symlink("nothing", Path("new"));
  EXPECT_EQ(ErrorOf("new"), "no error");
  EXPECT_TRUE(fs::is_symlink(Path("new")));
  EXPECT_TRUE(IsDirectory(Path("nothing")));
}

TEST_F(StagedDirectoryTest, AModelThatComesMeanwhileIsReplacedOnlyIfThatIsWanted) {
  const auto is_own = [](const std::string& name) { return name == "model.safetensors"; };
  for (const bool replace : {false, true}) {
    fs::remove_all(Path("new"));
    StagedDirectory staged(Path("new"), replace, is_own);
    Make("new");
    if (replace) {
      staged.Commit();
      EXPECT_TRUE(fs::is_empty(Path("new")));
    } else {
      EXPECT_THROW(staged.Commit(), Error);
      EXPECT_TRUE(FileExists(Path("new/model.safetensors")));
    }
  }
}

TEST_F(StagedDirectoryTest, AnEmptyDirectoryIsFilled) {
  fs::create_directory(Path("empty"));
  fs::permissions(Path("empty"), fs::perms::owner_all);
  StagedDirectory staged(Path("empty"), /*replace=*/false,
                         [](const std::string&) { return false; });
  WriteFileAtomically(staged.path() + "/file", "new");
  staged.Commit();
  EXPECT_EQ(ReadFile(Path("empty/file")), "new");
  EXPECT_EQ(fs::status(Path("empty")).permissions(), fs::perms::owner_all);
  EXPECT_THROW(StagedDirectory(Path("empty"), false, [](const std::string&) { return true; }),
               Error);
}

TEST_F(StagedDirectoryTest, WhatComesMeanwhileStays) {
  {
    StagedDirectory staged = Stage("model");
    WriteFileAtomically(Path("model/thesis.txt"), "mine");
    EXPECT_THROW(staged.Commit(), Error);
  }
  EXPECT_EQ(ReadFile(Path("model/thesis.txt")), "mine");
  size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    EXPECT_EQ(entry.path(), Path("model"));
    ++entries;
  }
  EXPECT_EQ(entries, 1U);
}

}  // namespace
}  // namespace blockformer
