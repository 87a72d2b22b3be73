#ifndef BLOCKFORMER_BASE_TEMPORARY_FOLDER_H_
#define BLOCKFORMER_BASE_TEMPORARY_FOLDER_H_

#include <string>

namespace blockformer {

// A new folder, for this user alone, in the one that TMPDIR names or else in /tmp; removed with all
// that is in it.
class TemporaryFolder {
 public:
  // Throws Error(kIo) that says what TMPDIR should name.
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_TEMPORARY_FOLDER_H_
