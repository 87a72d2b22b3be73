#include "base/temporary_folder.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace blockformer {
namespace {

TEST(TemporaryFolderTest, IsItsUsersAloneAndGoesWithWhatIsInIt) {
  std::string path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    struct stat status = {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0700U);
    std::filesystem::create_directory(path + "/inner");
    std::ofstream(path + "/inner/file") << "x";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TemporaryFolderTest, SaysWhatTmpdirShouldName) {
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before != nullptr ? before : "";
  setenv("TMPDIR", "/nowhere", /*overwrite=*/1);
  try {
    const TemporaryFolder folder;
    ADD_FAILURE() << folder.path();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.what(), testing::HasSubstr("TMPDIR"));
  }
  if (before != nullptr) {
    setenv("TMPDIR", kept.c_str(), /*overwrite=*/1);
  } else {
    unsetenv("TMPDIR");
  }
}

}  // namespace
}  // namespace blockformer
