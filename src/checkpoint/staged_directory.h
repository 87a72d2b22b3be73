#ifndef BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_

#include <string>

namespace blockformer {

// A model directory that appears under its name only when all of it is there. It is filled under a
// temporary name beside it; without Commit() the destructor removes what was written. Not
// thread-safe.
class StagedDirectory {
 public:
  // Throws Error(kInvalidArgument) if `destination` exists, unless `replace` is set and it
  // holds a model's files and no directories: nothing else is ever removed. Symbolic links stay,
  // and what they lead to is made or replaced.
  StagedDirectory(const std::string& destination, bool replace);
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  ~StagedDirectory();

  // Where to write.
  const std::string& path() const { return path_; }

  // Gives the directory its name, durably. One that has it is swapped away and removed, so that
  // there is a whole directory of that name at every moment. Call once, last.
  void Commit();

 private:
  std::string destination_;
  std::string path_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_
