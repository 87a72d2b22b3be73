#ifndef BLOCKFORMER_ENGINE_STOP_MATCHER_H_
#define BLOCKFORMER_ENGINE_STOP_MATCHER_H_

#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

// Looks for stop texts in a text that arrives in pieces. What may be the beginning of a stop text
// is held back until it is decided. Not thread-safe.
class StopMatcher {
 public:
  // Empty stop texts are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes a piece and returns the text that is certain to lie before any stop text.
  std::string Push(std::string_view piece);

  // The text held back, at the end. Empty if a stop text was found.
  std::string Flush();

  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_back_;
  bool stopped_ = false;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_STOP_MATCHER_H_
