#ifndef BLOCKFORMER_BASE_SHELL_WORD_H_
#define BLOCKFORMER_BASE_SHELL_WORD_H_

#include <string>
#include <string_view>

namespace blockformer {

// One word of a shell command, whatever is in it.
std::string ShellQuoted(std::string_view text);

// The same without quotes where none are needed.
std::string ShellWord(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_SHELL_WORD_H_
