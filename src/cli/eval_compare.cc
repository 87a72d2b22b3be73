// `blockformer eval compare`: two results of tasks.
#include <memory>
#include <string>

#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "config/json.h"
#include "eval/compare_reports.h"

namespace blockformer {
namespace {

struct EvalCompareFlags {
  std::string a;
  std::string b;
  EvalOutput output;
};

void Compare(const EvalCompareFlags& flags) {
  flags.output.Check({flags.a, flags.b});
  const EvalComparison comparison =
      CompareEvalReports(ReadJsonFile(flags.a), flags.a, ReadJsonFile(flags.b), flags.b);
  flags.output.Write(EvalComparisonJson(comparison), EvalComparisonTable(comparison));
}

}  // namespace

void AddEvalCompare(CLI::App* eval) {
  const auto flags = std::make_shared<EvalCompareFlags>();
  CLI::App* command = eval->add_subcommand(
      "compare",
      "Two results of `eval tasks --json`: differences, and whether they are significant.");
  command->add_option("a", flags->a, "What the other is compared with")
      ->required()
      ->type_name("A.json");
  command->add_option("b", flags->b, "")->required()->type_name("B.json");
  flags->output.AddTo(command, /*has_plot=*/false);
  command->callback([flags] { Compare(*flags); });
}

}  // namespace blockformer
