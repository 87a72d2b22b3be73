#ifndef BLOCKFORMER_BASE_THREAD_TEAM_H_
#define BLOCKFORMER_BASE_THREAD_TEAM_H_

#include <cstdint>

namespace blockformer {

// Runs body(context, part) once for each part of [0, parts), on the calling thread and up to
// `parts` - 1 threads that the whole process shares. `parts` is at most kMaxThreads, and the body
// must not throw. Any thread may call it at any time: while the shared threads work for another
// caller, or inside a body, all parts run on the calling thread, one after the other.
//
// The caller takes parts too, and waits for none that another thread has not begun: where the
// system gives a shared thread no time, its part is done by the others. Shared threads start when
// they are first wanted, block all signals, and sleep when they have nothing to do. A waiting
// thread looks for work for some tens of microseconds before it sleeps, but sleeps at once while
// the system takes the processor from threads of the team, which says that others want it.
void RunOnTeam(int parts, void (*body)(void* context, int part), void* context);

// The part that the calling thread works on in the innermost RunOnTeam; 0 outside.
int TeamPart();

inline constexpr int kMaxThreads = 1024;

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_THREAD_TEAM_H_
