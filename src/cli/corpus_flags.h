#ifndef BLOCKFORMER_CLI_CORPUS_FLAGS_H_
#define BLOCKFORMER_CLI_CORPUS_FLAGS_H_

#include <CLI/CLI.hpp>

#include "data/corpus.h"
#include "text/tokenizer.h"

namespace blockformer {

// How commands that read a corpus take its files, for their help.
inline constexpr char kCorpusHelp[] =
    "Inputs, by name: .jsonl, .ndjson, .jsonlines, .jl and .json are JSON lines, one document a "
    "line; anything else is plain text, one document a file; .zst, .zstd and .gz after either are "
    "decompressed; - reads JSON lines from standard input. A line may be 256 MiB long and a plain "
    "text 1 GiB. A byte order mark is dropped, blank JSON lines are skipped, and plain text keeps "
    "its line ends.";

// Adds --replace-invalid. What is pointed to must outlive the command.
void AddReplaceInvalidFlag(CLI::App* command, InvalidUtf8* invalid_utf8);

// Adds --field, --input-format, --skip-null and --replace-invalid.
void AddCorpusFlags(CLI::App* command, CorpusOptions* options);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_CORPUS_FLAGS_H_
