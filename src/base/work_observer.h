#ifndef BLOCKFORMER_BASE_WORK_OBSERVER_H_
#define BLOCKFORMER_BASE_WORK_OBSERVER_H_

#include <cstdint>
#include <string>

namespace blockformer {

// Who waits for a long piece of work: hears how far it is, and may ask it to stop. This class
// itself ignores what it hears and lets the work run to its end. Called on the thread that does the
// work.
class WorkObserver {
 public:
  WorkObserver() = default;
  WorkObserver(const WorkObserver&) = delete;
  WorkObserver& operator=(const WorkObserver&) = delete;
  virtual ~WorkObserver() = default;

  // Work under `label` begins, with `done` of `total` done by an earlier run. `unit` names what is
  // counted ("tokens"). It ends where the next begins, or with the observer.
  virtual void Begin(const std::string& /*label*/, int64_t /*total*/, const std::string& /*unit*/,
                     int64_t /*done*/) {}
  // `note` says what is being worked on; it may be empty.
  virtual void Update(int64_t /*done*/, const std::string& /*note*/) {}

  // Whether the work is to end early; what does so says in its header how.
  virtual bool StopRequested() const { return false; }
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_WORK_OBSERVER_H_
