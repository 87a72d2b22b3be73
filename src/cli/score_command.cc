// `blockformer score`: log-likelihoods of the texts of a file.
#include <fmt/format.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/progress.h"
#include "base/resumable_lines.h"
#include "cli/commands.h"
#include "cli/eval_flags.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "data/corpus.h"
#include "eval/eval_model.h"
#include "eval/request_encoder.h"

namespace blockformer {
namespace {

struct Flags {
  std::string model;
  std::string input;
  std::string output;
  bool force = false;
  EvalFlags eval;
};

// A line of the input.
struct Line {
  OrderedJson record;
  bool is_pair = false;
  std::string text;  // unless it is a pair
  std::string context;
  std::string continuation;
};

// What its requests have given so far.
struct LineScore {
  size_t open_requests = 0;
  double log_likelihood = 0;
  bool is_greedy = true;
  int64_t tokens = 0;
};

Line ParseLine(const CorpusRecord& record) {
  const Json json = ParseJson(record.bytes, record.location);
  const ObjectReader object(json, record.location);
  Line line;
  line.is_pair = object.Has("context") || object.Has("continuation");
  Require(line.is_pair != object.Has("text"), ErrorCode::kInvalidArgument,
          "{}: either \"text\" or \"context\" and \"continuation\" is wanted", record.location);
  if (line.is_pair) {
    line.context = object.String("context");
    line.continuation = object.String("continuation");
  } else {
    line.text = object.String("text");
  }
  line.record = OrderedJson::parse(record.bytes);
  return line;
}

// Reads the lines of the input and what is to be computed for each.
class LineReader {
 public:
  LineReader(const std::string& path, const EvalModel& model, int64_t max_length)
      : reader_({path}), model_(model), max_length_(max_length) {}

  bool Next(Line* line, std::vector<ScoreRequest>* requests) {
    CorpusRecord record;
    if (!reader_.NextRecord(&record)) return false;
    Require(record.is_json, ErrorCode::kInvalidArgument,
            "{}: is no .jsonl or .jsonl.zst; JSON lines are wanted", record.location);
    location_ = record.location;
    for (const char byte : record.bytes + "\n") {
      hash_ = (hash_ ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
    }
    *line = ParseLine(record);
    try {
      *requests = Encode(*line);
    } catch (const Error& error) {
      Fail(error.code(), "{}: {}", location_, error.what());
    }
    return true;
  }

  uint64_t hash() const { return hash_; }  // FNV-1a of all lines read

 private:
  std::vector<ScoreRequest> Encode(const Line& line) const {
    if (!line.is_pair) {
      return RollingWindows(model_.tokenizer.Encode(line.text), max_length_, model_.end_of_text());
    }
    std::vector<ScoreRequest> requests = {
        EncodePair(model_.tokenizer, line.context, line.continuation, model_.end_of_text())};
    Require(requests[0].scored <= max_length_, ErrorCode::kInvalidArgument,
            "the continuation's {} tokens are more than the {} that the model reads; \"text\" is "
            "scored in windows",
            requests[0].scored, max_length_);
    return requests;
  }

  CorpusReader reader_;
  const EvalModel& model_;
  int64_t max_length_;
  std::string location_;
  uint64_t hash_ = 0xCBF29CE484222325;
};

struct InputSummary {
  int64_t lines = 0;
  int64_t tokens = 0;  // to compute
  uint64_t hash = 0;
};

int64_t CountTokens(const std::vector<ScoreRequest>& requests) {
  int64_t tokens = 0;
  for (const ScoreRequest& request : requests)
    tokens += static_cast<int64_t>(request.tokens.size());
  return tokens;
}

// Reads all of the input, so that what is wrong with it is said before anything is computed.
InputSummary CheckInput(LineReader reader) {
  InputSummary summary;
  Line line;
  std::vector<ScoreRequest> requests;
  while (reader.Next(&line, &requests)) {
    ++summary.lines;
    summary.tokens += CountTokens(requests);
  }
  summary.hash = reader.hash();
  return summary;
}

std::string OutputLine(const Line& line, const LineScore& score) {
  OrderedJson record = line.record;
  record["log_likelihood"] = score.log_likelihood;
  if (line.is_pair) record["is_greedy"] = score.is_greedy;
  record["tokens"] = score.tokens;
  if (!line.is_pair) record["bytes"] = line.text.size();
  return ToText(record);
}

// Scores the lines that the output does not hold yet, and appends them to it in their order.
class FileScorer {
 public:
  FileScorer(LineReader reader, const InputSummary& summary, ResumableLines* output)
      : reader_(std::move(reader)),
        output_(output),
        progress_("scoring", summary.tokens, "tokens") {
    Line line;
    std::vector<ScoreRequest> requests;
    for (int64_t i = 0; i < output_->lines_done(); ++i) {
      reader_.Next(&line, &requests);
      tokens_ += CountTokens(requests);
    }
    progress_.StartAt(tokens_);
    begin_tokens_ = tokens_;
  }

  void Run(Scorer* scorer) {
    scorer->Run([this] { return NextRequest(); },
                [this](int64_t, std::span<const TokenScore> scores) { return Add(scores); });
    progress_.Finish();
  }

  int64_t tokens() const { return tokens_ - begin_tokens_; }

 private:
  struct OpenLine {
    Line line;
    LineScore score;
  };

  std::optional<ScoreRequest> NextRequest() {
    while (requests_.empty()) {
      std::vector<ScoreRequest> requests;
      OpenLine open;
      if (StopRequested() || !reader_.Next(&open.line, &requests)) return std::nullopt;
      open.score.open_requests = requests.size();
      lines_.push_back(std::move(open));
      requests_.assign(requests.begin(), requests.end());
      WriteFinished();  // an empty text is
    }
    ScoreRequest request = std::move(requests_.front());
    requests_.pop_front();
    request_tokens_.push_back(static_cast<int64_t>(request.tokens.size()));
    return request;
  }

  bool Add(std::span<const TokenScore> scores) {
    LineScore& score = lines_.front().score;
    --score.open_requests;
    score.log_likelihood += SumOfScores(scores);
    for (const TokenScore& token : scores) score.is_greedy &= token.is_largest;
    score.tokens += static_cast<int64_t>(scores.size());
    tokens_ += request_tokens_.front();
    request_tokens_.pop_front();
    WriteFinished();
    progress_.Update(tokens_);
    return !StopRequested();
  }

  void WriteFinished() {
    while (!lines_.empty() && lines_.front().score.open_requests == 0) {
      output_->Append(OutputLine(lines_.front().line, lines_.front().score));
      lines_.pop_front();
    }
  }

  LineReader reader_;
  ResumableLines* output_;
  ProgressBar progress_;
  std::deque<OpenLine> lines_;          // read, and not written yet
  std::deque<ScoreRequest> requests_;   // of the last line, not asked for yet
  std::deque<int64_t> request_tokens_;  // of the requests that are being computed
  int64_t tokens_ = 0;
  int64_t begin_tokens_ = 0;
};

void Score(Flags flags) {
  Require(flags.force || !FileExists(flags.output), ErrorCode::kInvalidArgument,
          "{}: is there already; --force replaces it", flags.output);
  Require(!FileExists(flags.input) || std::filesystem::is_regular_file(flags.input),
          ErrorCode::kInvalidArgument,
          "{}: is not a regular file; --input is read twice, so that one is wanted", flags.input);
  flags.eval.Apply();
  const EvalModel model = EvalModel::Load(flags.model, flags.eval.Type());
  Scorer scorer(model.model, flags.eval.scorer);
  const auto open_input = [&] {
    return LineReader(flags.input, model, scorer.options().max_length);
  };
  const InputSummary summary = CheckInput(open_input());
  const OrderedJson settings = {{"lines", summary.lines},
                                {"input_hash", summary.hash},
                                {"model", ModelIdentity(flags.model)},
                                {"scoring", flags.eval.Settings()}};
  CatchStopSignals();
  ResumableLines output(flags.output, ToText(settings) + "\n");
  if (output.lines_done() > 0) {
    LogInfo("{}: {} of {} are done, going on", flags.output, output.lines_done(), summary.lines);
  }
  const int64_t begin = output.lines_done();
  const auto start = std::chrono::steady_clock::now();
  FileScorer run(open_input(), summary, &output);
  run.Run(&scorer);
  if (output.lines_done() < summary.lines) {
    Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {}; the same command goes on",
         flags.output, output.lines_done(), summary.lines);
  }
  output.Finish();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print(stderr, "{} texts, {} tokens, {:.1f} tokens/s\n", summary.lines - begin, run.tokens(),
             static_cast<double>(run.tokens()) / seconds);
}

}  // namespace

void AddScoreCommand(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("score", "Writes the log-likelihoods that a model gives texts.");
  command->add_option("model", flags->model, "Model directory")->required()->type_name("DIR");
  command
      ->add_option("--input", flags->input,
                   "JSON lines, also .zst: each with \"context\" and \"continuation\", or with "
                   "\"text\", all of which is scored; other fields are kept")
      ->required()
      ->type_name("FILE");
  command
      ->add_option(
          "--output", flags->output,
          "The same lines with \"log_likelihood\" (in nats), \"tokens\", and \"is_greedy\" "
          "or \"bytes\"; an interrupted run continues where it was")
      ->required()
      ->type_name("FILE");
  command->add_flag("--force", flags->force, "Replace an output file that is there");
  flags->eval.AddTo(command);
  command->callback([flags] { Score(*flags); });
}

}  // namespace blockformer
