#include "train/distributed.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "base/error.h"

namespace blockformer {
namespace {

constexpr auto kJoinTimeout = std::chrono::minutes(5);
// A lost process is noticed at once by its closed socket. One that only works long, as process 0
// does when it validates, makes a sample or writes a large checkpoint, must not end the run.
constexpr auto kPeerTimeout = std::chrono::hours(6);
constexpr int kMaxProcesses = 1 << 16;
// Large enough to hide latency, small enough that the copy stays a small share of the gradients.
constexpr int64_t kBucketBytes = int64_t{25} << 20;

int ReadInt(const char* name, int min, int max) {
  const char* text = std::getenv(name);
  Require(text != nullptr, ErrorCode::kInvalidArgument,
          "environment: RANK is set, but {} is not; all of RANK, WORLD_SIZE, MASTER_ADDR and "
          "MASTER_PORT are wanted",
          name);
  const std::string_view digits = text;
  int value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  Require(
      error == std::errc() && stop == digits.data() + digits.size() && value >= min && value <= max,
      ErrorCode::kInvalidArgument, "environment: {}=\"{}\" is not possible; {} to {} is wanted",
      name, text, min, max);
  return value;
}

c10::intrusive_ptr<c10d::ProcessGroup> ConnectGloo(const c10::intrusive_ptr<c10d::Store>& store,
                                                   const ProcessRank& rank) {
  auto options = c10d::ProcessGroupGloo::Options::create(kPeerTimeout);
  // A machine alone needs no name that others can resolve. GLOO_SOCKET_IFNAME is PyTorch's own.
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  const bool local = rank.local_world_size == rank.world_size;
  options->devices.push_back(interface != nullptr
                                 ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                             : local ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                     : c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank.rank, rank.world_size, options);
}

c10::intrusive_ptr<c10d::ProcessGroup> Connect(const c10::intrusive_ptr<c10d::Store>& store,
                                               const ProcessRank& rank,
                                               const torch::Device& device) {
#ifdef USE_C10D_NCCL
  if (device.is_cuda()) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = kPeerTimeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank.rank, rank.world_size, options);
  }
#else
  Require(device.is_cpu(), ErrorCode::kUnsupported,
          "training.device: this libtorch has no NCCL, so several processes train on cpu only");
#endif
  return ConnectGloo(store, rank);
}

// Calls `reduce` with flat tensors that together hold all of `tensors`, which then receive its
// results. One call for many small tensors costs one round trip instead of many.
void ForEachBucket(const std::vector<torch::Tensor>& tensors,
                   const std::function<void(torch::Tensor&)>& reduce) {
  const torch::NoGradGuard no_grad;
  for (size_t begin = 0; begin < tensors.size();) {
    std::vector<torch::Tensor> flat;
    size_t end = begin;
    for (int64_t bytes = 0; end < tensors.size() && bytes < kBucketBytes &&
                            tensors[end].scalar_type() == tensors[begin].scalar_type();
         ++end) {
      flat.push_back(tensors[end].flatten());
      bytes += static_cast<int64_t>(tensors[end].nbytes());
    }
    torch::Tensor bucket = torch::cat(flat);
    reduce(bucket);
    for (int64_t offset = 0; begin < end; ++begin) {
      const int64_t count = tensors[begin].numel();
      tensors[begin].copy_(bucket.narrow(0, offset, count).view_as(tensors[begin]));
      offset += count;
    }
  }
}

}  // namespace

bool HasRankInEnvironment() { return std::getenv("RANK") != nullptr; }

ProcessRank ReadRankFromEnvironment() {
  ProcessRank rank;
  if (!HasRankInEnvironment()) return rank;
  rank.world_size = ReadInt("WORLD_SIZE", 1, kMaxProcesses);
  rank.rank = ReadInt("RANK", 0, rank.world_size - 1);
  if (std::getenv("LOCAL_RANK") != nullptr) rank.local_rank = ReadInt("LOCAL_RANK", 0, rank.rank);
  if (std::getenv("LOCAL_WORLD_SIZE") != nullptr) {
    rank.local_world_size = ReadInt("LOCAL_WORLD_SIZE", 1, rank.world_size);
  }
  if (rank.world_size == 1) return rank;
  rank.master_port = ReadInt("MASTER_PORT", 1, 65535);
  const char* address = std::getenv("MASTER_ADDR");
  Require(address != nullptr && *address != '\0', ErrorCode::kInvalidArgument,
          "environment: WORLD_SIZE is {}, but MASTER_ADDR is not set; the address of process 0 is "
          "wanted",
          rank.world_size);
  rank.master_address = address;
  return rank;
}

class ProcessGroup::Backend {
 public:
  Backend(const ProcessRank& rank, const torch::Device& device) : rank_(rank) {
    Guard("meet the others (GLOO_SOCKET_IFNAME names the network interface to use)", [&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(rank.master_port);
      options.isServer = rank.rank == 0;
      options.numWorkers = static_cast<size_t>(rank.world_size);
      options.timeout = kJoinTimeout;
      store_ = c10::make_intrusive<c10d::TCPStore>(rank.master_address, options);
      group_ = Connect(store_, rank, device);
    });
  }

  void Sum(torch::Tensor& tensor) {
    std::vector<torch::Tensor> tensors = {tensor};
    Guard("go on", [&] { group_->allreduce(tensors)->wait(); });
  }

  void Broadcast(torch::Tensor& tensor) {
    std::vector<torch::Tensor> tensors = {tensor};
    Guard("go on", [&] { group_->broadcast(tensors)->wait(); });
  }

 private:
  // Turns the exceptions of c10d, Gloo and NCCL into one that says what it means.
  void Guard(const char* action, const std::function<void()>& communicate) const {
    try {
      communicate();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      const std::string_view what = error.what();
      Fail(ErrorCode::kIo,
           "training process {} of {} cannot {}: another one was lost or does not answer ({})",
           rank_.rank, rank_.world_size, action, what.substr(0, what.find('\n')));
    }
  }

  ProcessRank rank_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
};

ProcessGroup::ProcessGroup(const ProcessRank& rank, const torch::Device& device)
    : rank_(rank), device_(device) {
  if (rank.world_size > 1) backend_ = std::make_unique<Backend>(rank, device);
}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::Sum(const std::vector<torch::Tensor>& tensors) {
  if (!backend_) return;
  ForEachBucket(tensors, [this](torch::Tensor& bucket) { backend_->Sum(bucket); });
}

void ProcessGroup::Broadcast(const std::vector<torch::Tensor>& tensors) {
  if (!backend_) return;
  ForEachBucket(tensors, [this](torch::Tensor& bucket) {
    // NCCL moves memory of a GPU only.
    torch::Tensor on_device = bucket.to(device_);
    backend_->Broadcast(on_device);
    bucket.copy_(on_device);
  });
}

}  // namespace blockformer
