#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace blockformer {
namespace {

// The length of the longest end of `text` that is a beginning of `stop`, and not all of it.
size_t PartialMatch(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length))) return length;
  }
  return 0;
}

// Moves a cut back to the beginning of the character it falls into.
size_t CharacterBegin(std::string_view text, size_t cut) {
  while (cut > 0 && cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) {
    --cut;
  }
  return cut;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopMatcher::Push(std::string_view piece) {
  if (stopped_) return "";
  held_back_ += piece;
  size_t first = std::string::npos;
  size_t kept = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, held_back_.find(stop));
    kept = std::max(kept, PartialMatch(held_back_, stop));
  }
  stopped_ = first != std::string::npos;
  const size_t cut = stopped_ ? first : CharacterBegin(held_back_, held_back_.size() - kept);
  std::string certain = held_back_.substr(0, cut);
  held_back_ = stopped_ ? "" : held_back_.substr(cut);
  return certain;
}

std::string StopMatcher::Flush() { return std::exchange(held_back_, ""); }

}  // namespace blockformer
