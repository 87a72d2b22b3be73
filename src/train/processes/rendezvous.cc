#include "train/processes/rendezvous.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "config/field_difference.h"
#include "train/processes/peer_watch.h"

namespace blockformer::train {
namespace {

using Clock = std::chrono::steady_clock;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

// Processes that were started together come within this; a word about those would be noise.
constexpr auto kSilentWait = std::chrono::seconds(1);
constexpr auto kRetryInterval = std::chrono::milliseconds(100);
constexpr size_t kMaxNames = 8;
constexpr char kComparedKey[] = "compared";

std::string DescriptionKey(int rank) { return fmt::format("description/{}", rank); }

// Why nothing listens there; empty if something does.
std::string ConnectionProblem(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) return gai_strerror(code);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  std::string problem = "no address";
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool connected =
        descriptor >= 0 && connect(descriptor, address->ai_addr, address->ai_addrlen) == 0;
    problem = connected ? "" : SystemErrorText(errno);
    if (descriptor >= 0) close(descriptor);
    if (connected) break;
  }
  return problem;
}

// "process 1", "processes 1, 2 and 5 more".
std::string NamesOf(const std::vector<int>& ranks) {
  const std::vector<int> first(ranks.begin(), ranks.begin() + std::min(ranks.size(), kMaxNames));
  std::string text =
      fmt::format("process{} {}", ranks.size() > 1 ? "es" : "", fmt::join(first, ", "));
  if (ranks.size() > kMaxNames) text += fmt::format(" and {} more", ranks.size() - kMaxNames);
  return text;
}

class Meeting {
 public:
  Meeting(const ProcessRank& rank, Patience* patience) : rank_(rank), patience_(*patience) {}

  StorePointer Run(const Json& description) {
    store_ = rank_.store_path.empty() ? OpenTcpStore() : OpenFileStore();
    Announce(description.dump());
    WaitForAll();
    const std::vector<Json> descriptions = ReadDescriptions();
    for (int i = 1; i < rank_.world_size; ++i) RequireSame(descriptions[0], descriptions[i], i);
    return store_;
  }

 private:
  template <typename Action>
  auto Await(Action action) {
    return train::Await(std::move(action), [this] { patience_.Look(); });
  }

  void SleepABit() {
    std::this_thread::sleep_for(kRetryInterval);
    patience_.Look();
  }

  StorePointer OpenFileStore() {
    return Await([path = rank_.store_path, count = rank_.world_size]() -> StorePointer {
      return c10::make_intrusive<c10d::FileStore>(path, count);
    });
  }

  StorePointer OpenTcpStore() {
    if (rank_.rank != 0) WaitForListener();
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(rank_.master_port);
    options.isServer = rank_.rank == 0;
    options.numWorkers = static_cast<size_t>(rank_.world_size);
    options.waitWorkers = false;  // they are awaited here, where a signal ends it
    try {
      return Await([host = rank_.master_address, options]() -> StorePointer {
        return c10::make_intrusive<c10d::TCPStore>(host, options);
      });
    } catch (const c10::Error& error) {
      const std::string text = error.what_without_backtrace();
      Fail(ErrorCode::kIo, "training process {} of {} cannot {} {}:{}: {}", rank_.rank,
           rank_.world_size, options.isServer ? "listen at" : "connect to", rank_.master_address,
           rank_.master_port, text.substr(0, text.find('\n')));
    }
  }

  void WaitForListener() {
    patience_.set_awaited(rank_.NameOf(0));
    while (true) {
      const std::string problem = Await([host = rank_.master_address, port = rank_.master_port] {
        return ConnectionProblem(host, port);
      });
      if (problem.empty()) return;
      patience_.set_awaited(fmt::format("{} ({})", rank_.NameOf(0), problem));
      SleepABit();
    }
  }

  void Announce(const std::string& description) {
    const int64_t count = Await([store = store_, rank = rank_.rank, description] {
      store->set(DescriptionKey(rank), {description.begin(), description.end()});
      return store->add(fmt::format("count/{}", rank), 1);
    });
    Require(count == 1, ErrorCode::kInvalidArgument,
            "environment: RANK={} is that of another process, too; each wants one of its own",
            rank_.rank);
  }

  void WaitForAll() {
    std::vector<int> missing;
    for (int i = 0; i < rank_.world_size; ++i) missing.push_back(i);
    while (true) {
      missing = Await([store = store_, missing] {
        std::vector<int> rest;
        for (const int i : missing) {
          if (!store->check({DescriptionKey(i)})) rest.push_back(i);
        }
        return rest;
      });
      if (missing.empty()) return;
      patience_.set_awaited(NamesOf(missing));
      SleepABit();
    }
  }

  // Process 0, which may hold the store, stays until all have read.
  std::vector<Json> ReadDescriptions() {
    patience_.set_awaited("the other processes");
    const std::vector<std::string> texts = Await([store = store_, count = rank_.world_size] {
      std::vector<std::string> result;
      for (int i = 0; i < count; ++i) {
        const std::vector<uint8_t> bytes = store->get(DescriptionKey(i));
        result.emplace_back(bytes.begin(), bytes.end());
      }
      store->add(kComparedKey, 1);
      return result;
    });
    while (rank_.rank == 0 &&
           Await([store = store_] { return store->add(kComparedKey, 0); }) < rank_.world_size) {
      SleepABit();
    }
    std::vector<Json> descriptions;
    for (size_t i = 0; i < texts.size(); ++i) {
      descriptions.push_back(ParseJson(texts[i], fmt::format("training process {}", i)));
    }
    return descriptions;
  }

  static void RequireSame(const Json& wanted, const Json& found, int rank) {
    for (const FieldDifference& difference : FindDifferences(wanted, found)) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: {} in training process 0, but {} in process {}; all processes want the same recipe "
           "and the same data",
           difference.path, difference.first.value_or("not set"),
           difference.second.value_or("not set"), rank);
    }
  }

  const ProcessRank& rank_;
  Patience& patience_;
  StorePointer store_;
};

}  // namespace

Patience::Patience(const ProcessRank& rank) : rank_(rank), begin_(Clock::now()) {}

void Patience::Look() {
  const auto waited = Clock::now() - begin_;
  Require(!StopRequested(), ErrorCode::kInterrupted, "stopped while waiting for {}", awaited_);
  const std::string hint =
      rank_.store_path.empty()
          ? "; RANK and WORLD_SIZE are set in the environment, and to train alone they must not be"
          : "";
  if (!has_spoken_ && waited > kSilentWait) {
    has_spoken_ = true;
    LogInfo("training process {} of {} waits for {}{}", rank_.rank, rank_.world_size, awaited_,
            hint);
  }
  Require(
      waited < rank_.peer_timeout, ErrorCode::kIo,
      "training process {} of {} has waited {} s in vain for {}{}", rank_.rank, rank_.world_size,
      std::chrono::duration_cast<std::chrono::seconds>(rank_.peer_timeout).count(), awaited_, hint);
}

StorePointer MeetOthers(const ProcessRank& rank, const Json& description, Patience* patience) {
  return Meeting(rank, patience).Run(description);
}

}  // namespace blockformer::train
