#ifndef BLOCKFORMER_CLI_THREAD_FLAG_H_
#define BLOCKFORMER_CLI_THREAD_FLAG_H_

namespace blockformer {

// Obeys --threads; 0 changes nothing. Warns if there are more of them than processors: they would
// wait for each other. Throws Error as SetNumThreads() does.
void UseThreads(int threads);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_THREAD_FLAG_H_
