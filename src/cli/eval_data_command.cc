// `blockformer eval-data`: official downloads of evaluation sets to the form that `eval` reads.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "eval/official_data.h"

namespace blockformer {
namespace {

constexpr char kEvalDataDescription[] =
    "Converts the official files of an evaluation set to the JSON lines that eval reads.";

struct EvalDataFlags {
  std::string set;
  std::vector<std::string> files;
  std::string output;
  bool force = false;
};

std::string Footer() {
  std::string text = "Sets, their official files, and the file written to eval-data/:\n";
  for (const OfficialSet& set : OfficialSets()) {
    const std::string inputs = fmt::format("{}", fmt::join(set.inputs, " "));
    text += fmt::format("  {:<15}{:<30}{}\n", set.name, inputs, set.output);
  }
  return text +
         "A .zst after a name is decompressed. docs/evaluation-data.md says where the files "
         "are.\n\n"
         "Example: blockformer eval-data piqa valid.jsonl valid-labels.lst";
}

void WriteLines(const std::string& path, const std::vector<OrderedJson>& records) {
  AtomicFile file(path);
  for (const OrderedJson& record : records) file.Write(ToText(record) + "\n");
  file.Commit();
}

void ConvertEvalData(const EvalDataFlags& flags) {
  const OfficialSet& set = FindOfficialSet(flags.set);
  const std::string output = flags.output.empty() ? "eval-data/" + set.output : flags.output;
  const std::string parent = std::filesystem::path(output).parent_path().string();
  if (!parent.empty()) MakeDirectories(parent);
  CheckOutputs({{"--output", output}}, flags.files, flags.force);
  const std::vector<OrderedJson> records = ConvertOfficialSet(set, flags.files);
  WriteLines(output, records);
  const std::string summary = fmt::format("{}: {} records\n", output, records.size());
  if (IsStandardOutput(output)) return WriteMessage(summary);
  fmt::print("{}", summary);
}

}  // namespace

void AddEvalDataCommand(CLI::App& app) {
  const auto flags = std::make_shared<EvalDataFlags>();
  CLI::App* command = app.add_subcommand("eval-data", kEvalDataDescription);
  command->footer(Footer());
  command->add_option("set", flags->set, "Name of the set, see below")
      ->type_name("SET")
      ->required();
  command->add_option("files", flags->files, "Its official files")->type_name("FILE")->required();
  command
      ->add_option("--output", flags->output,
                   "File to write, - is standard output; by default the one named below")
      ->type_name("PATH");
  command->add_flag("--force", flags->force, "Replace an output file that is there");
  command->callback([flags] { ConvertEvalData(*flags); });
}

}  // namespace blockformer
