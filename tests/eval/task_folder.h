#ifndef BLOCKFORMER_TESTS_EVAL_TASK_FOLDER_H_
#define BLOCKFORMER_TESTS_EVAL_TASK_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {

// A temporary directory for task files and their data.
class TaskFolder {
 public:
  TaskFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "task.XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TaskFolder(const TaskFolder&) = delete;
  TaskFolder& operator=(const TaskFolder&) = delete;
  ~TaskFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& text) const {
    WriteFileAtomically(path_ + "/" + name, text);
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

// The message of the error that `body` throws.
template <typename Body>
std::string MessageOf(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_EVAL_TASK_FOLDER_H_
