#ifndef BLOCKFORMER_TRAIN_PROCESSES_LAUNCHER_H_
#define BLOCKFORMER_TRAIN_PROCESSES_LAUNCHER_H_

#include <string>
#include <vector>

namespace blockformer::train {

// Runs this program again as `count` processes of this machine, with RANK, WORLD_SIZE, LOCAL_RANK,
// LOCAL_WORLD_SIZE and kLocalStoreVariable set, and waits for all. They meet in a folder of this
// user's own for temporary files. `arguments` is the whole command line. A stop signal is passed
// on; when a process fails the others are ended. Returns the exit code of the first that failed, or
// 0.
int RunLocalProcesses(int count, const std::vector<std::string>& arguments);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_LAUNCHER_H_
