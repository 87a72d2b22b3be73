#ifndef BLOCKFORMER_CLI_TERMINAL_OBSERVER_H_
#define BLOCKFORMER_CLI_TERMINAL_OBSERVER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "base/progress.h"
#include "base/work_observer.h"

namespace blockformer {

// Shows a progress bar on standard error, and asks the work to stop once a signal that
// CatchStopSignals() catches has come.
class TerminalObserver : public WorkObserver {
 public:
  void Begin(const std::string& label, int64_t total, const std::string& unit,
             int64_t done) override;
  void Update(int64_t done, const std::string& note) override;
  bool StopRequested() const override;

  // Draws the last state and ends the line, for what else is written to the terminal.
  void Finish() { bar_.reset(); }

 private:
  std::optional<ProgressBar> bar_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_TERMINAL_OBSERVER_H_
