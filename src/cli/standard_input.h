#ifndef BLOCKFORMER_CLI_STANDARD_INPUT_H_
#define BLOCKFORMER_CLI_STANDARD_INPUT_H_

#include <cstddef>
#include <optional>
#include <string>

namespace blockformer {

inline constexpr char kStandardInputName[] = "standard input";

// Standard input, of which one object reads all. What cannot be read throws Error(kIo); a stop
// signal that is caught (see CatchStopSignals) ends the input.
class StandardInput {
 public:
  // Without its end, which the last one may lack; nothing at the end of the input. Throws
  // Error(kExhausted) that names a line of more than `max_bytes`.
  std::optional<std::string> NextLine(size_t max_bytes);
  // All that has not been read.
  std::string Rest();
  // Whether the next line is there already, so that NextLine() waits for nobody.
  bool HasLine() const { return buffer_.find('\n', begin_) != std::string::npos; }

 private:
  // Returns false at the end of the input.
  bool Fill();

  std::string buffer_;
  size_t begin_ = 0;  // of what has not been read
  size_t lines_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_STANDARD_INPUT_H_
