#ifndef BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_

#include <functional>
#include <string>

namespace blockformer {

// A model directory that appears under its name only when all of it is there. It is filled under a
// temporary name beside it; without Commit() the destructor removes what was written. Not
// thread-safe.
class StagedDirectory {
 public:
  // Throws Error(kInvalidArgument) if `destination` exists, unless it is an empty directory, or
  // `replace` is set, it is no symbolic link, and it holds weights and beside them only regular
  // files of which `is_own_name` is true: nothing else is ever removed. A link to nothing stays,
  // and what it names is made.
  StagedDirectory(const std::string& destination, bool replace,
                  std::function<bool(const std::string& name)> is_own_name);
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;
  ~StagedDirectory();

  // Where to write.
  const std::string& path() const { return path_; }

  // Gives the directory its name, durably. One that has it is swapped away and removed, so that
  // there is a whole directory of that name at every moment. Throws as the constructor does if
  // meanwhile something came that must stay. Call once, last.
  void Commit();

 private:
  void RequireReplaceable() const;

  std::string destination_;
  bool replace_;
  std::function<bool(const std::string& name)> is_own_name_;
  std::string path_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_STAGED_DIRECTORY_H_
