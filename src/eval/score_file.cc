#include "eval/score_file.h"

#include <cmath>
#include <deque>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/program.h"
#include "base/progress.h"
#include "config/json.h"
#include "data/corpus.h"
#include "eval/request_encoder.h"
#include "eval/task_scores.h"

namespace blockformer {
namespace {

// A line of the input.
struct Line {
  OrderedJson record;
  bool is_pair = false;
  std::string text;  // unless it is a pair
  std::string context;
  std::string continuation;
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
  for (const char* name : {"log_likelihood", "is_greedy", "tokens", "bytes", "error"}) {
    Require(!object.Has(name), ErrorCode::kInvalidArgument,
            "{}: has a field \"{}\" already, which is where its score goes; rename it",
            record.location, name);
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
    hash_.Add(record.bytes);
    hash_.Add("\n");
    *line = ParseLine(record);
    try {
      *requests = Encode(*line);
    } catch (const Error& error) {
      Fail(error.code(), "{}: {}", location_, error.what());
    }
    return true;
  }

  uint64_t hash() const { return hash_.value(); }  // of all lines read

 private:
  std::vector<ScoreRequest> Encode(const Line& line) const {
    if (!line.is_pair) {
      return RollingWindows(model_.tokenizer.Encode(line.text), max_length_, model_.end_of_text());
    }
    return {EncodePair(model_.tokenizer, line.context, line.continuation, max_length_,
                       model_.end_of_text())};
  }

  CorpusReader reader_;
  const EvalModel& model_;
  int64_t max_length_;
  std::string location_;
  Fnv1a hash_;
};

int64_t CountTokens(const std::vector<ScoreRequest>& requests) {
  int64_t tokens = 0;
  for (const ScoreRequest& request : requests) tokens += std::ssize(request.tokens);
  return tokens;
}

std::string OutputLine(const Line& line, const RequestScore& score, const std::string& error) {
  OrderedJson record = line.record;
  record["log_likelihood"] = error.empty() ? OrderedJson(score.log_likelihood) : OrderedJson();
  if (line.is_pair) record["is_greedy"] = error.empty() && score.is_greedy;
  record["tokens"] = score.tokens;
  if (!line.is_pair) record["bytes"] = line.text.size();
  if (!error.empty()) record["error"] = error;
  return ToText(record);
}

class LineScorer {
 public:
  LineScorer(const ScoreFile& file, LineReader reader, ResumableLines* output)
      : file_(file),
        reader_(std::move(reader)),
        output_(output),
        progress_("scoring", file.tokens, "tokens") {
    Line line;
    std::vector<ScoreRequest> requests;
    for (int64_t i = 0; i < output_->lines_done() && reader_.Next(&line, &requests); ++i) {
      tokens_ += CountTokens(requests);
    }
    progress_.StartAt(tokens_);
    first_tokens_ = tokens_;
  }

  // Returns the number of tokens computed.
  int64_t Run(Scorer* scorer) {
    scorer->Run([this] { return NextRequest(); },
                [this](int64_t, std::span<const TokenScore> scores) { Add(scores); });
    progress_.Finish();
    return tokens_ - first_tokens_;
  }

 private:
  struct OpenLine {
    Line line;
    size_t open_requests = 0;
    RequestScore score;
    std::string error;
  };

  std::optional<ScoreRequest> NextRequest() {
    while (requests_.empty()) {
      if (StopRequested()) return std::nullopt;
      std::vector<ScoreRequest> requests;
      OpenLine open;
      if (!reader_.Next(&open.line, &requests)) {
        Require(reader_.hash() == file_.hash, ErrorCode::kCorrupt, "{}: changed while it was read",
                file_.path);
        return std::nullopt;
      }
      open.open_requests = requests.size();
      lines_.push_back(std::move(open));
      requests_.assign(requests.begin(), requests.end());
      WriteFinished();  // an empty text is
    }
    ScoreRequest request = std::move(requests_.front());
    requests_.pop_front();
    request_tokens_.push_back(std::ssize(request.tokens));
    return request;
  }

  void Add(std::span<const TokenScore> scores) {
    OpenLine& open = lines_.front();
    --open.open_requests;
    open.score.Add(scores);
    if (!std::isfinite(open.score.log_likelihood)) {
      open.error = "the model's log-likelihood of this text is not a finite number";
    }
    tokens_ += request_tokens_.front();
    request_tokens_.pop_front();
    WriteFinished();
    progress_.Update(tokens_);
  }

  void WriteFinished() {
    while (!lines_.empty() && lines_.front().open_requests == 0) {
      output_->Append(OutputLine(lines_.front().line, lines_.front().score, lines_.front().error));
      lines_.pop_front();
    }
  }

  const ScoreFile& file_;
  LineReader reader_;
  ResumableLines* output_;
  ProgressBar progress_;
  std::deque<OpenLine> lines_;          // read, and not written yet
  std::deque<ScoreRequest> requests_;   // of the last line, not asked for yet
  std::deque<int64_t> request_tokens_;  // of the requests that are being computed
  int64_t tokens_ = 0;                  // done, those of earlier runs among them
  int64_t first_tokens_ = 0;
};

}  // namespace

ScoreFile CheckScoreFile(const std::string& path, const EvalModel& model, int64_t max_length) {
  LineReader reader(path, model, max_length);
  Require(std::filesystem::is_regular_file(path), ErrorCode::kInvalidArgument,
          "{}: is not a regular file; it is read twice, so that one is wanted", path);
  ScoreFile file = {path};
  Line line;
  std::vector<ScoreRequest> requests;
  while (reader.Next(&line, &requests)) {
    ++file.lines;
    file.tokens += CountTokens(requests);
  }
  file.hash = reader.hash();
  return file;
}

int64_t ScoreLines(const ScoreFile& file, const EvalModel& model, Scorer* scorer,
                   ResumableLines* output) {
  LineReader reader(file.path, model, scorer->options().max_length);
  return LineScorer(file, std::move(reader), output).Run(scorer);
}

}  // namespace blockformer
