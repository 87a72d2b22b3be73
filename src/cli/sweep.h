#ifndef BLOCKFORMER_CLI_SWEEP_H_
#define BLOCKFORMER_CLI_SWEEP_H_

#include <string>
#include <vector>

namespace blockformer {

// Whether the arguments of `blockformer train` are of a sweep: --sweep is among them.
bool IsSweep(const std::vector<std::string>& arguments);

// `blockformer train --sweep FILE`: trains the runs of a sweep with the program `trainer` and
// writes the report. Throws Error if any run failed.
void TrainSweep(const std::string& trainer, const std::vector<std::string>& arguments);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_SWEEP_H_
