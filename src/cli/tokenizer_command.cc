#include <charconv>
#include <deque>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/program.h"
#include "base/progress.h"
#include "checkpoint/model_directory.h"
#include "cli/commands.h"
#include "cli/corpus_flags.h"
#include "cli/standard_input.h"
#include "config/json.h"
#include "data/corpus.h"
#include "data/json_record.h"
#include "text/added_tokens.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

struct TrainFlags {
  BpeTrainerOptions options;
  CorpusOptions corpus;
  std::vector<std::string> files;
  std::string output;
  int threads = NumThreads();
  bool parse_special = false;
  bool force = false;
};

struct CodeFlags {
  std::string tokenizer;
  bool text = false;
  bool plain_text = false;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  bool skip_special = false;
};

// The text itself if it is valid UTF-8, else with U+FFFD if that is asked for. `where` opens the
// message of the error.
std::string CheckText(std::string text, InvalidUtf8 invalid_utf8, const std::string& where) {
  const size_t valid = FindInvalidUtf8(text);
  if (valid == text.size()) return text;
  Require(invalid_utf8 == InvalidUtf8::kReplace, ErrorCode::kInvalidArgument,
          "{}: byte {} of the text, 0x{:02X}, is not valid UTF-8; --replace-invalid replaces it",
          where, valid, static_cast<uint8_t>(text[valid]));
  return ReplaceInvalidUtf8(text);
}

// Runs `work`, and opens the message of an Error with `where`.
template <typename Work>
auto WithPlace(const std::string& where, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.code(), where + ": " + error.what());
  }
}

// Trains.

void FailIfInterrupted() {
  Require(!StopRequested(), ErrorCode::kInterrupted,
          "tokenizer train: interrupted; nothing was written");
}

AddedTokenMatcher MakeSpecialMatcher() {
  std::vector<AddedToken> tokens;
  for (const std::string_view content : kTrainedSpecialTokens) {
    tokens.push_back({.content = std::string(content), .special = true});
  }
  return AddedTokenMatcher(std::move(tokens));
}

// Reads the texts to learn from.
class TrainingTexts {
 public:
  explicit TrainingTexts(const TrainFlags& flags)
      : flags_(flags),
        reader_(flags.files, flags.corpus),
        bar_("read", static_cast<int64_t>(reader_.TotalBytes()), "bytes") {}

  // The next document or, where special tokens are tokens, the next part between two of them.
  bool Next(std::string* text) {
    while (parts_.empty()) {
      FailIfInterrupted();
      CorpusRecord record;
      if (!reader_.NextRecord(&record)) {
        bar_.Finish();
        return false;
      }
      AddDocument(std::move(record));
      bar_.Update(static_cast<int64_t>(reader_.BytesRead()));
    }
    *text = std::move(parts_.front());
    parts_.pop_front();
    return true;
  }

  // Says what in the documents read is not what it may seem to be.
  void Report() const {
    if (null_documents_ > 0) {
      fmt::print("{} documents whose text is null were left out\n", null_documents_);
    }
    if (special_tokens_ > 0) {
      fmt::print(
          "special tokens stand {} times in the documents and were {}\n", special_tokens_,
          flags_.parse_special ? "left out" : "learned as text; --parse-special leaves them out");
    }
  }

 private:
  void AddDocument(CorpusRecord record) {
    const std::string where = record.location;
    std::optional<std::string> document = ExtractText(std::move(record), flags_.corpus);
    if (!document) {
      ++null_documents_;
      return;
    }
    std::string text = CheckText(*std::move(document), flags_.corpus.invalid_utf8, where);
    const std::vector<AddedTokenMatcher::Match> matches = special_.Find(text);
    special_tokens_ += std::ssize(matches);
    if (!flags_.parse_special || matches.empty()) return parts_.push_back(std::move(text));
    size_t begin = 0;
    for (const AddedTokenMatcher::Match& match : matches) {
      parts_.push_back(text.substr(begin, match.begin - begin));
      begin = match.end;
    }
    parts_.push_back(text.substr(begin));
  }

  const TrainFlags& flags_;
  CorpusReader reader_;
  ProgressBar bar_;
  AddedTokenMatcher special_ = MakeSpecialMatcher();
  std::deque<std::string> parts_;
  int64_t null_documents_ = 0;
  int64_t special_tokens_ = 0;
};

TokenizerDescription TrainWithProgress(const TrainFlags& flags, TrainingTexts* texts) {
  std::optional<ProgressBar> bar;
  const auto next_document = [&](std::string* document) {
    if (texts->Next(document)) return true;
    bar.emplace("merge", flags.options.vocab_size, "entries");
    bar->StartAt(kMinTrainedVocabulary);
    return false;
  };
  BpeTrainerOptions options = flags.options;
  options.progress = [&](int32_t vocab_size) {
    FailIfInterrupted();
    bar->Update(vocab_size);
  };
  return TrainBpe(next_document, options);
}

void RunTrain(const TrainFlags& flags) {
  SetNumThreads(flags.threads);
  CatchStopSignals();
  MakeDirectories(flags.output);
  const std::string path = (std::filesystem::path(flags.output) / kTokenizerFile).string();
  CheckOutputs({{"--output", path}}, flags.files, flags.force);
  TrainingTexts texts(flags);
  const TokenizerDescription description = TrainWithProgress(flags, &texts);
  const auto vocab_size = static_cast<int32_t>(description.vocabulary.size());
  if (vocab_size < flags.options.vocab_size) {
    LogWarning("the text has pairs for {} entries only, not for {}: no other pair occurs {} times",
               vocab_size, flags.options.vocab_size, flags.options.min_frequency);
  }
  WriteFileAtomically(path, WriteTokenizerJson(description));
  texts.Report();
  fmt::print("{}: {} entries\n", path, vocab_size);
}

// Encodes and decodes.

// Calls convert(line, where) for every line of standard input that is not blank and writes what it
// returns as a line. Output is flushed whenever the next line has to be waited for, so that another
// program can talk through pipes.
template <typename Convert>
void ConvertLines(Convert&& convert) {
  StandardInput input;
  for (int64_t number = 1;; ++number) {
    std::optional<std::string> line = input.NextLine(CorpusOptions().max_line_bytes);
    if (!line) return;
    if (number == 1 && line->starts_with(kByteOrderMark)) line->erase(0, kByteOrderMark.size());
    if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
    std::cout << convert(*line, fmt::format("{}: line {}", kStandardInputName, number)) << '\n';
    if (!input.HasLine()) std::cout.flush();
  }
}

std::string EncodeLine(const Tokenizer& tokenizer, const CodeFlags& flags, const std::string& line,
                       const std::string& where) {
  const std::string text = JsonRecord(line, where).Text("text", flags.invalid_utf8);
  const std::vector<int32_t> ids = WithPlace(where, [&] { return tokenizer.Encode(text); });
  return Json{{"ids", ids}}.dump();
}

std::string DecodeIds(const Tokenizer& tokenizer, const CodeFlags& flags,
                      const std::vector<int32_t>& ids, const std::string& where) {
  std::string text = WithPlace(where, [&] { return tokenizer.Decode(ids, flags.skip_special); });
  return CheckText(std::move(text), flags.invalid_utf8, where);
}

std::string DecodeLine(const Tokenizer& tokenizer, const CodeFlags& flags, const std::string& line,
                       const std::string& where) {
  std::string left_out;  // of fields that are not used
  const Json json = JsonRecord(line, where).ToJson(flags.invalid_utf8, &left_out);
  const ObjectReader reader(json, where);
  const Json& list = reader.Raw("ids");
  if (!list.is_array()) reader.FailField("ids", "a list of ids is wanted");
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kMaxTokenId) {
      reader.FailField("ids", fmt::format("{} is not an id", id.dump()));
    }
    ids.push_back(id.get<int32_t>());
  }
  return Json{{"text", DecodeIds(tokenizer, flags, ids, where)}}.dump();
}

std::vector<int32_t> ReadIds() {
  std::vector<int32_t> ids;
  std::istringstream words(StandardInput().Rest());
  for (std::string word; words >> word;) {
    int32_t id = 0;
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, id);
    Require(error == std::errc() && stop == end, ErrorCode::kInvalidArgument,
            "{}: \"{}\" is not an id; decode --text reads ids with white space between",
            kStandardInputName, word);
    ids.push_back(id);
  }
  return ids;
}

void RunEncode(const CodeFlags& flags) {
  std::ios::sync_with_stdio(false);
  const Tokenizer tokenizer = Tokenizer::Load(
      flags.tokenizer, flags.plain_text ? SpecialTokens::kPlainText : SpecialTokens::kParse);
  if (flags.text) {
    const std::string text =
        CheckText(StandardInput().Rest(), flags.invalid_utf8, kStandardInputName);
    const std::vector<int32_t> ids =
        WithPlace(kStandardInputName, [&] { return tokenizer.Encode(text); });
    std::cout << fmt::format("{}\n", fmt::join(ids, " "));
  } else {
    ConvertLines([&](const std::string& line, const std::string& where) {
      return EncodeLine(tokenizer, flags, line, where);
    });
  }
}

void RunDecode(const CodeFlags& flags) {
  std::ios::sync_with_stdio(false);
  const Tokenizer tokenizer = Tokenizer::Load(flags.tokenizer);
  if (flags.text) {
    std::cout << DecodeIds(tokenizer, flags, ReadIds(), kStandardInputName);
  } else {
    ConvertLines([&](const std::string& line, const std::string& where) {
      return DecodeLine(tokenizer, flags, line, where);
    });
  }
}

// Flags.

void AddTrain(CLI::App* tokenizer) {
  const auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = tokenizer->add_subcommand(
      "train", "Trains a byte-level BPE tokenizer; writes DIR/tokenizer.json");
  command->footer(
      std::string(kCorpusHelp) +
      "\n\nExample: blockformer tokenizer train --vocab-size 8192 --output books books.jsonl.zst");
  command->add_option("files", flags->files, "Text, JSON lines, or either compressed")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--vocab-size", flags->options.vocab_size,
                   "Entries wanted, the 256 bytes and 2 special tokens among them")
      ->check(CLI::Range(kMinTrainedVocabulary, kMaxTokenId + 1))
      ->required();
  command->add_option("--output", flags->output, "Directory to write to")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--min-frequency", flags->options.min_frequency,
                   "How often a pair must occur to become an entry")
      ->check(CLI::Range(int64_t{1}, INT64_MAX))
      ->capture_default_str();
  AddCorpusFlags(command, &flags->corpus);
  command->add_flag("--force", flags->force, "Replace a tokenizer.json that is there");
  command->add_flag("--parse-special", flags->parse_special,
                    "The text of <|endoftext|> or <|padding|> is the token, and not learned from; "
                    "otherwise it is text");
  command->add_option("--threads", flags->threads, "Threads that count words")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->callback([flags] { RunTrain(*flags); });
}

CLI::App* AddCode(CLI::App* tokenizer, const char* name, const char* description,
                  const char* text_description, const std::shared_ptr<CodeFlags>& flags) {
  CLI::App* command = tokenizer->add_subcommand(name, description);
  command
      ->add_option("--tokenizer", flags->tokenizer,
                   "tokenizer.json, vocab.json beside merges.txt, or a directory that holds them")
      ->type_name("FILE|DIR")
      ->required();
  command->add_flag("--text", flags->text, text_description);
  AddReplaceInvalidFlag(command, &flags->invalid_utf8);
  return command;
}

void AddEncode(CLI::App* tokenizer) {
  const auto flags = std::make_shared<CodeFlags>();
  CLI::App* command = AddCode(
      tokenizer, "encode",
      "Reads JSON lines {\"text\": ...} on standard input and writes {\"ids\": [...]} for each",
      "Read all of standard input as one text and write its ids on one line", flags);
  command->add_flag("--plain-text", flags->plain_text,
                    "The text of a special token is text; otherwise it is the token");
  command->callback([flags] { RunEncode(*flags); });
}

void AddDecode(CLI::App* tokenizer) {
  const auto flags = std::make_shared<CodeFlags>();
  CLI::App* command = AddCode(
      tokenizer, "decode",
      "Reads JSON lines {\"ids\": [...]} on standard input and writes {\"text\": ...} for each",
      "Read ids with white space between and write their text as it is", flags);
  command->add_flag("--skip-special", flags->skip_special, "Leave special tokens out of the text");
  command->callback([flags] { RunDecode(*flags); });
}

}  // namespace

void AddTokenizerCommand(CLI::App& app) {
  CLI::App* tokenizer = app.add_subcommand("tokenizer", "Trains and runs tokenizers");
  tokenizer->require_subcommand(1);
  AddTrain(tokenizer);
  AddEncode(tokenizer);
  AddDecode(tokenizer);
}

}  // namespace blockformer
