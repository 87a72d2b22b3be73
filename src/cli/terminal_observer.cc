#include "cli/terminal_observer.h"

#include "base/program.h"

namespace blockformer {

void TerminalObserver::Begin(const std::string& label, int64_t total, const std::string& unit,
                             int64_t done) {
  bar_.emplace(label, total, unit);
  bar_->StartAt(done);
}

void TerminalObserver::Update(int64_t done, const std::string& note) { bar_->Update(done, note); }

bool TerminalObserver::StopRequested() const { return blockformer::StopRequested(); }

}  // namespace blockformer
