#include "eval/score_file.h"

#include <cmath>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/work_observer.h"
#include "config/json.h"
#include "data/corpus.h"
#include "data/json_record.h"
#include "eval/scored_text.h"

namespace blockformer {
namespace {

// A line of the input.
struct Line {
  JsonRecord record;
  ScoredText scored;
};

Line ParseLine(CorpusRecord record, InvalidUtf8 invalid_utf8, const ResultFields& results) {
  Line line;
  line.record = JsonRecord(std::move(record.bytes), record.location);
  const JsonRecord& object = line.record;
  const bool is_pair = object.Has("context") || object.Has("continuation");
  Require(is_pair != object.Has("text"), ErrorCode::kInvalidArgument,
          "{}: either \"text\" or \"context\" and \"continuation\" is wanted", record.location);
  if (is_pair) line.scored.context = object.Text("context", invalid_utf8);
  line.scored.text = object.Text(is_pair ? "continuation" : "text", invalid_utf8);
  results.RequireFree(object);
  return line;
}

// Reads the lines of the input and what is to be computed for each.
class LineReader {
 public:
  LineReader(const ScoreFile& file, const EvalModel& model, int64_t max_length,
             const ResultFields& results)
      : reader_({file.path}, {.format = InputFormat::kJsonLines}),
        invalid_utf8_(file.invalid_utf8),
        model_(model),
        max_length_(max_length),
        results_(results) {}

  bool Next(Line* line, std::vector<ScoreRequest>* requests) {
    CorpusRecord record;
    if (!reader_.NextRecord(&record)) return false;
    location_ = record.location;
    hash_.Add(record.bytes);
    hash_.Add("\n");
    *line = ParseLine(std::move(record), invalid_utf8_, results_);
    try {
      *requests = EncodeScored(model_.tokenizer, line->scored, max_length_, model_.prefix_id);
    } catch (const Error& error) {
      Fail(error.code(), "{}: {}", location_, error.what());
    }
    return true;
  }

  uint64_t hash() const { return hash_.value(); }  // of all lines read

  // Tokens of the context that the model does not read.
  int64_t CountCut(const std::vector<ScoreRequest>& requests) const {
    return CutTokens(requests, max_length_);
  }

 private:
  CorpusReader reader_;
  InvalidUtf8 invalid_utf8_;
  const EvalModel& model_;
  int64_t max_length_;
  const ResultFields& results_;
  std::string location_;
  Fnv1a hash_;
};

OrderedJson ToJson(const ScoredText& text, int64_t cut_tokens, const RequestScore& score,
                   const std::string& error) {
  OrderedJson values = ScoreJson(text, score, cut_tokens);
  if (error.empty()) return values;
  values["log_likelihood"] = nullptr;
  if (text.context) values["is_greedy"] = false;
  values[kErrorField] = error;
  return values;
}

class LineScorer {
 public:
  LineScorer(const ScoreFile& file, LineReader reader, const ResultFields& results,
             ResumableLines* output, ResultErrors* errors, WorkObserver* observer)
      : file_(file),
        reader_(std::move(reader)),
        results_(results),
        output_(output),
        errors_(errors),
        observer_(observer) {
    Line line;
    std::vector<ScoreRequest> requests;
    for (int64_t i = 0; i < output_->lines_done() && reader_.Next(&line, &requests); ++i) {
      tokens_ += TotalTokens(requests);
    }
    observer_->Begin("scoring", file.tokens, "tokens", tokens_);
    first_tokens_ = tokens_;
  }

  // Returns the number of tokens computed.
  int64_t Run(Scorer* scorer) {
    scorer->Run([this] { return NextRequest(); },
                [this](int64_t, std::span<const TokenScore> scores) { Add(scores); });
    return tokens_ - first_tokens_;
  }

 private:
  struct OpenLine {
    Line line;
    size_t open_requests = 0;
    int64_t cut_tokens = 0;
    RequestScore score;
    std::string error;
  };

  // A line that is left half done is scored again by the run that goes on.
  std::optional<ScoreRequest> NextRequest() {
    while (!observer_->StopRequested()) {
      if (!requests_.empty()) return TakeRequest();
      if (!ReadLine()) break;
    }
    return std::nullopt;
  }

  ScoreRequest TakeRequest() {
    ScoreRequest request = std::move(requests_.front());
    requests_.pop_front();
    request_tokens_.push_back(std::ssize(request.tokens));
    return request;
  }

  bool ReadLine() {
    std::vector<ScoreRequest> requests;
    OpenLine open;
    if (!reader_.Next(&open.line, &requests)) {
      Require(reader_.hash() == file_.hash, ErrorCode::kCorrupt, "{}: changed while it was read",
              file_.path);
      return false;
    }
    open.open_requests = requests.size();
    open.cut_tokens = reader_.CountCut(requests);
    lines_.push_back(std::move(open));
    requests_.assign(requests.begin(), requests.end());
    WriteFinished();  // an empty text is
    return true;
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
    observer_->Update(tokens_, "");
  }

  void WriteFinished() {
    while (!lines_.empty() && lines_.front().open_requests == 0) {
      const OpenLine& done = lines_.front();
      const std::string text = results_.Append(
          done.line.record, ToJson(done.line.scored, done.cut_tokens, done.score, done.error));
      output_->Append(text);
      errors_->Add(text);
      lines_.pop_front();
    }
  }

  const ScoreFile& file_;
  LineReader reader_;
  const ResultFields& results_;
  ResumableLines* output_;
  ResultErrors* errors_;
  WorkObserver* observer_;
  std::deque<OpenLine> lines_;          // read, and not written yet
  std::deque<ScoreRequest> requests_;   // of the last line, not asked for yet
  std::deque<int64_t> request_tokens_;  // of the requests that are being computed
  int64_t tokens_ = 0;                  // done, those of earlier runs among them
  int64_t first_tokens_ = 0;
};

}  // namespace

ResultFields ScoreFields(const std::string& prefix) {
  return {prefix, {"log_likelihood", "is_greedy", "tokens", "bytes", "cut_tokens", kErrorField}};
}

ScoreFile CheckScoreFile(const std::string& path, InvalidUtf8 invalid_utf8, const EvalModel& model,
                         int64_t max_length, const ResultFields& results) {
  ScoreFile file = {path, invalid_utf8};
  LineReader reader(file, model, max_length, results);
  RequireReadableTwice(path);
  Line line;
  std::vector<ScoreRequest> requests;
  while (reader.Next(&line, &requests)) {
    ++file.lines;
    file.tokens += TotalTokens(requests);
    if (reader.CountCut(requests) > 0) ++file.cut_contexts;
  }
  file.hash = reader.hash();
  return file;
}

int64_t ScoreLines(const ScoreFile& file, const EvalModel& model, const ResultFields& results,
                   Scorer* scorer, ResumableLines* output, ResultErrors* errors,
                   WorkObserver* observer) {
  LineReader reader(file, model, scorer->options().max_length, results);
  return LineScorer(file, std::move(reader), results, output, errors, observer).Run(scorer);
}

}  // namespace blockformer
