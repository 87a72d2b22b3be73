#ifndef BLOCKFORMER_CLI_EVAL_OLD_FORM_H_
#define BLOCKFORMER_CLI_EVAL_OLD_FORM_H_

#include <string>
#include <vector>

namespace blockformer {

// The arguments of the program, without its name. Those in the form that `eval` had before it had
// commands of its own, `eval MODEL --loss`, in today's form, `eval loss MODEL`, with a warning in
// the log that says so; all others as they are. Throws Error(kInvalidArgument) if they ask for two
// of the commands.
std::vector<std::string> WithEvalCommand(std::vector<std::string> arguments);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_OLD_FORM_H_
