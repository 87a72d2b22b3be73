#ifndef BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_STORE_H_
#define BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_STORE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace blockformer::train {

// Names and contents of a tokenizer's files, read once so that every checkpoint gets the same.
using TokenizerFiles = std::vector<std::pair<std::string, std::string>>;

// The checkpoints of a training run:
//   OUTPUT/checkpoints/step-00000100/   complete model directories with the training state
//   OUTPUT/latest, OUTPUT/best          links to two of them
//   OUTPUT/config.json, ...             links into `latest`, so that OUTPUT is a model directory
// A checkpoint appears under its name only when all of it is on the disk, and older ones are
// removed only after that: a crash or a full disk at any moment costs at most the checkpoint being
// written. One process at a time holds a directory. Not thread-safe.
class CheckpointStore {
 public:
  // Creates the directory, locks it, and removes what an interrupted run left half written. Throws
  // Error(kInvalidArgument) if another process trains there.
  explicit CheckpointStore(std::string output);
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;
  ~CheckpointStore();

  // Steps with a checkpoint, rising.
  std::vector<int64_t> Steps() const;
  std::string PathOf(int64_t step) const;

  // Calls write(directory) to fill a temporary directory, then makes that the checkpoint of `step`.
  // If anything throws, the temporary directory is removed and the rest is as before.
  void Save(int64_t step, const std::function<void(const std::string& directory)>& write);

  // Points `latest` to the checkpoint of `latest_step`, and `best` to that of `best_step`. If
  // `best_step` has none, `best` stays as it is, unless it points to nothing; then it is removed.
  void UpdateLinks(int64_t latest_step, int64_t best_step);
  // Removes all but the last `keep_last` checkpoints and that of `best_step`. Returns whether there
  // was anything to remove.
  bool Prune(int64_t keep_last, int64_t best_step);
  // Renames a damaged checkpoint, so that its step can be saved again. Returns the new name.
  std::string SetAside(int64_t step);

 private:
  void RemoveUnfinished() const;
  void LinkIntoLatest(const std::string& name) const;

  std::string output_;
  std::string directory_;  // OUTPUT/checkpoints
  int lock_ = -1;
};

// Throws Error(kInvalidArgument) if a training directory holds a model's file that is not a link
// made by UpdateLinks: it would hide what is trained there. A file that `tokenizer`, which the
// checkpoints will hold, has under the same name and with the same contents is allowed.
void RequireLinksOnly(const std::string& output, const TokenizerFiles& tokenizer);

// Renames an existing training directory to the first free of PATH.old-1, PATH.old-2, ... A
// symbolic link stays, and the directory that it leads to is renamed and made anew. Returns the new
// name, or "" if there was none.
std::string MoveAside(const std::string& path);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_STORE_H_
