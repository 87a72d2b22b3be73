#include "cli/corpus_flags.h"

#include <string>

namespace blockformer {

void AddReplaceInvalidFlag(CLI::App* command, InvalidUtf8* invalid_utf8) {
  command->add_flag_callback(
      "--replace-invalid", [invalid_utf8] { *invalid_utf8 = InvalidUtf8::kReplace; },
      "Replace invalid UTF-8 and unpaired surrogates by U+FFFD; otherwise they are an error");
}

void AddCorpusFlags(CLI::App* command, CorpusOptions* options) {
  command->add_option("--field", options->text_field, "Field of a JSON line with the text")
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--input-format",
          [options](const std::string& name) {
            options->format = name == "jsonl"  ? InputFormat::kJsonLines
                              : name == "text" ? InputFormat::kText
                                               : InputFormat::kAuto;
          },
          "What the files hold: jsonl, text, or auto, by their names")
      ->check(CLI::IsMember({"auto", "jsonl", "text"}))
      ->default_str("auto");
  command->add_flag("--skip-null", options->skip_null,
                    "Leave out JSON lines whose text is null; otherwise they are an error");
  AddReplaceInvalidFlag(command, &options->invalid_utf8);
}

}  // namespace blockformer
