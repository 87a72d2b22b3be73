#include "data/prepare.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "data/token_file.h"
#include "text/tokenizer_paths.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

// Large enough to make handing over cheap, small enough to keep all threads busy to the end.
constexpr size_t kBatchBytes = size_t{1} << 20;
constexpr size_t kBytesInFlightPerThread = size_t{8} << 20;
constexpr auto kProgressInterval = std::chrono::milliseconds(100);
constexpr double kMaxValidationFraction = 0.5;

struct RecordBatch {
  std::vector<CorpusRecord> records;
  size_t bytes = 0;
  uint64_t corpus_bytes_read = 0;  // up to the end of this batch
};

struct EncodedDocument {
  std::vector<int32_t> ids;
  int64_t text_bytes = 0;
  int64_t special_tokens = 0;
  bool is_null = false;
};

struct EncodedBatch {
  std::vector<EncodedDocument> documents;
  size_t record_bytes = 0;
  uint64_t corpus_bytes_read = 0;
};

// Threads that take tasks in the order in which they are submitted.
class WorkerPool {
 public:
  using Task = std::packaged_task<EncodedBatch()>;

  // Throws Error(kExhausted) if the system does not give so many threads.
  explicit WorkerPool(int threads) {
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error& error) {
      const size_t begun = threads_.size();
      Stop();
      Fail(ErrorCode::kExhausted, "`threads`: only {} of {} could be started: {}", begun, threads,
           error.code().message());
    }
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Waits for the tasks that run and drops those that have not begun.
  ~WorkerPool() { Stop(); }

  std::future<EncodedBatch> Submit(Task task) {
    std::future<EncodedBatch> result = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
    return result;
  }

 private:
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void Run() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (stopping_) return;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::deque<Task> tasks_;
  std::vector<std::thread> threads_;
};

// One of the output pairs and what stands in it.
class Split {
 public:
  Split(const std::string& prefix, const TokenFileInfo& tokenizer_info)
      : info_(tokenizer_info),
        writer_(prefix, tokenizer_info.vocab_size),
        info_file_(TokenFileInfoPath(prefix)) {}

  void Add(const EncodedDocument& document) {
    writer_.Add(document.ids);
    info_.documents = writer_.NumDocuments();
    info_.tokens = writer_.NumTokens();
    info_.text_bytes += document.text_bytes;
  }

  // Brings all to the disk, while an older pair still stands there.
  void Finish() {
    writer_.Finish();
    info_file_.Write(TokenFileInfoText(info_));
    info_file_.Sync();
  }

  void Commit() {
    // Without its PREFIX.json a pair is still whole; with that of an older pair it would not be.
    info_file_.RemoveOld();
    writer_.Commit();
    info_file_.Commit();
  }

  const TokenFileInfo& info() const { return info_; }

 private:
  TokenFileInfo info_;
  TokenFileWriter writer_;
  AtomicFile info_file_;
};

EncodedDocument EncodeRecord(const Tokenizer& tokenizer, const CorpusOptions& options,
                             CorpusRecord record) {
  const std::string location = record.location;
  std::optional<std::string> text = ExtractText(std::move(record), options);
  if (!text) {
    EncodedDocument none;
    none.is_null = true;
    return none;
  }
  if (options.invalid_utf8 == InvalidUtf8::kReplace && FindInvalidUtf8(*text) < text->size()) {
    text = ReplaceInvalidUtf8(*text);
  }
  try {
    EncodedDocument document = {tokenizer.EncodeWithPrefix(*text),
                                static_cast<int64_t>(text->size())};
    document.special_tokens = tokenizer.CountSpecialTokens(*text);
    return document;
  } catch (const Error& error) {
    Fail(error.code(), "{}: {}", location, error.what());
  }
}

EncodedBatch EncodeBatch(const Tokenizer& tokenizer, const CorpusOptions& options,
                         RecordBatch batch) {
  EncodedBatch result = {{}, batch.bytes, batch.corpus_bytes_read};
  result.documents.reserve(batch.records.size());
  for (CorpusRecord& record : batch.records) {
    result.documents.push_back(EncodeRecord(tokenizer, options, std::move(record)));
  }
  return result;
}

TokenFileInfo DescribeTokenizer(const Tokenizer& tokenizer, const std::string& path) {
  TokenFileInfo info;
  info.vocab_size = tokenizer.VocabSize();
  info.tokenizer = std::filesystem::absolute(path).lexically_normal().string();
  info.tokenizer_fingerprint = TokenizerFingerprint(tokenizer);
  return info;
}

// A mistaken --output must not cost the text or the tokenizer.
void CheckOutputFiles(const PrepareOptions& options) {
  std::vector<std::string> inputs = TokenizerPaths(options.tokenizer_path);
  inputs.insert(inputs.end(), options.inputs.begin(), options.inputs.end());
  std::vector<std::string> prefixes = {options.output_prefix};
  if (options.validation_fraction > 0) prefixes.push_back(ValidationPrefix(options.output_prefix));
  std::vector<OutputFlag> outputs;
  for (const std::string& prefix : prefixes) {
    for (const std::string& path : TokenFilePaths(prefix)) outputs.push_back({"`output`", path});
  }
  CheckOutputs(outputs, inputs, options.force);
}

// Chooses a share of all documents: one at random of each run of 1 / share of them.
class HeldOutDocuments {
 public:
  HeldOutDocuments(double share, uint64_t seed) : share_(share), seed_(seed) { BeginRun(); }

  // Whether the next document, in their order, is one of them.
  bool TakesNext() {
    if (document_ == end_) BeginRun();
    return document_++ == chosen_;
  }

 private:
  void BeginRun() {
    const int64_t begin = end_;
    // Beyond 2^62 documents a smaller share means the same.
    end_ = std::llround(std::min(static_cast<double>(run_ + 1) / share_, 0x1p62));
    const double uniform = KeyedUniform(seed_, /*stream=*/0, run_++);
    chosen_ = begin + static_cast<int64_t>(uniform * static_cast<double>(end_ - begin));
  }

  double share_;
  uint64_t seed_;
  uint64_t run_ = 0;  // that comes next
  int64_t document_ = 0;
  int64_t end_ = 0;  // of the run at hand
  int64_t chosen_ = 0;
};

// The calling thread reads and writes, the pool's threads tokenise.
class Preparation {
 public:
  Preparation(const Tokenizer& tokenizer, const PrepareOptions& options,
              const std::function<void(const PrepareProgress&)>& on_progress)
      : tokenizer_(tokenizer),
        options_(options),
        on_progress_(on_progress),
        corpus_(options.inputs, options.corpus),
        pool_(options.threads) {
    const TokenFileInfo info = DescribeTokenizer(tokenizer, options.tokenizer_path);
    train_.emplace(options.output_prefix, info);
    progress_.total_bytes = corpus_.TotalBytes();
    if (options.validation_fraction == 0) return;
    held_out_.emplace(options.validation_fraction, options.seed);
    validation_.emplace(ValidationPrefix(options.output_prefix), info);
  }

  PrepareSummary Run() {
    while (true) {
      while (bytes_in_flight_ < MaxBytesInFlight() && SubmitBatch()) {
      }
      if (in_flight_.empty()) break;
      WaitForOldestBatch();
      Write(in_flight_.front().get());
      in_flight_.pop_front();
    }
    return Commit();
  }

 private:
  size_t MaxBytesInFlight() const {
    return static_cast<size_t>(options_.threads) * kBytesInFlightPerThread;
  }

  // Reads the next documents and hands them to the pool; false if there are none.
  bool SubmitBatch() {
    RecordBatch batch;
    CorpusRecord record;
    while (batch.bytes < kBatchBytes && corpus_.NextRecord(&record)) {
      batch.bytes += record.bytes.size();
      batch.records.push_back(std::move(record));
    }
    if (batch.records.empty()) return false;
    batch.corpus_bytes_read = corpus_.BytesRead();
    bytes_in_flight_ += batch.bytes;
    in_flight_.push_back(pool_.Submit(WorkerPool::Task([this, batch = std::move(batch)]() mutable {
      return EncodeBatch(tokenizer_, options_.corpus, std::move(batch));
    })));
    return true;
  }

  void WaitForOldestBatch() {
    do {
      on_progress_(progress_);
    } while (in_flight_.front().wait_for(kProgressInterval) != std::future_status::ready);
  }

  void Write(const EncodedBatch& batch) {
    for (const EncodedDocument& document : batch.documents) {
      if (document.ids.empty()) {
        ++(document.is_null ? summary_.null_documents : summary_.empty_documents);
        continue;
      }
      summary_.special_tokens += document.special_tokens;
      const bool is_held_out = held_out_ && held_out_->TakesNext();
      (is_held_out ? *validation_ : *train_).Add(document);
      ++progress_.documents;
      progress_.tokens += static_cast<int64_t>(document.ids.size());
    }
    progress_.bytes_read = batch.corpus_bytes_read;
    bytes_in_flight_ -= batch.record_bytes;
  }

  PrepareSummary Commit() {
    Require(progress_.documents > 0, ErrorCode::kInvalidArgument,
            "there is no document with text in the {} files", options_.inputs.size());
    Require(!validation_ || (train_->info().documents > 0 && validation_->info().documents > 0),
            ErrorCode::kInvalidArgument,
            "`validation_fraction`: {} holds out one document in {:.4g}, and with {} in all one of "
            "the two files would be empty; take another fraction, or more and shorter documents",
            options_.validation_fraction, 1 / options_.validation_fraction, progress_.documents);
    on_progress_(progress_);
    if (validation_) validation_->Finish();
    train_->Finish();
    if (validation_) validation_->Commit();
    train_->Commit();
    summary_.train = train_->info();
    if (validation_) summary_.validation = validation_->info();
    return summary_;
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  const std::function<void(const PrepareProgress&)>& on_progress_;
  CorpusReader corpus_;
  std::optional<Split> train_;
  std::optional<Split> validation_;
  std::optional<HeldOutDocuments> held_out_;
  PrepareProgress progress_;
  PrepareSummary summary_;
  size_t bytes_in_flight_ = 0;
  std::deque<std::future<EncodedBatch>> in_flight_;  // in the order of the input
  WorkerPool pool_;  // last, so that its threads end before what they use
};

}  // namespace

std::string ValidationPrefix(const std::string& output_prefix) { return output_prefix + "-valid"; }

PrepareSummary PrepareTokenFiles(const Tokenizer& tokenizer, const PrepareOptions& options,
                                 const std::function<void(const PrepareProgress&)>& on_progress) {
  Require(options.validation_fraction >= 0 && options.validation_fraction <= kMaxValidationFraction,
          ErrorCode::kInvalidArgument, "`validation_fraction`: {}; 0 to {} is possible",
          options.validation_fraction, kMaxValidationFraction);
  Require(options.threads >= 1, ErrorCode::kInvalidArgument, "`threads`: {}; at least 1 is wanted",
          options.threads);
  CheckOutputFiles(options);
  return Preparation(tokenizer, options, on_progress).Run();
}

}  // namespace blockformer
