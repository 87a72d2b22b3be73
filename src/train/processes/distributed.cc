#include "train/processes/distributed.h"

#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "base/error.h"
#include "train/processes/peer_watch.h"
#include "train/processes/rendezvous.h"

namespace blockformer::train {
namespace {

// A lost process is noticed at once by its closed socket, and a silent one by PeerWatch.
constexpr auto kPeerTimeout = std::chrono::hours(6);
// Large enough to hide latency, small enough that the copy stays a small share of the gradients.
constexpr int64_t kBucketBytes = int64_t{25} << 20;

c10::intrusive_ptr<c10d::ProcessGroup> ConnectGloo(const c10::intrusive_ptr<c10d::Store>& store,
                                                   const ProcessRank& rank) {
  auto options = c10d::ProcessGroupGloo::Options::create(kPeerTimeout);
  // A machine alone needs no name that others can resolve. GLOO_SOCKET_IFNAME is PyTorch's own.
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  const bool launched_here = !rank.store_path.empty();
  const bool local = rank.local_world_size == rank.world_size;
  options->devices.push_back(interface != nullptr && !launched_here
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

class ProcessGroup::Backend {
 public:
  Backend(const ProcessRank& rank, const torch::Device& device, const Json& description)
      : rank_(rank) {
    Guard("meet the others (GLOO_SOCKET_IFNAME names the network interface to use)", [&] {
      Patience patience(rank_);
      store_ = MeetOthers(rank_, description, &patience);
      patience.set_awaited("the others to connect");
      group_ = Await([store = store_, rank, device] { return Connect(store, rank, device); },
                     [&] { patience.Look(); });
      watch_.emplace(store_, rank_);
    });
  }

  void Sum(const torch::Tensor& tensor) {
    Communicate([group = group_, tensors = std::vector{tensor}]() mutable {
      group->allreduce(tensors)->wait();
    });
  }

  void Broadcast(const torch::Tensor& tensor) {
    Communicate([group = group_, tensors = std::vector{tensor}]() mutable {
      group->broadcast(tensors)->wait();
    });
  }

 private:
  template <typename Action>
  void Communicate(Action action) {
    Guard("go on", [&] {
      PeerWatch::Wait wait(*watch_);
      Await(std::move(action), [&wait] { wait.Look(); });
    });
  }

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

  const ProcessRank rank_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::optional<PeerWatch> watch_;
};

ProcessGroup::ProcessGroup(const ProcessRank& rank, const torch::Device& device,
                           const Json& description)
    : rank_(rank), device_(device) {
  if (rank.world_size > 1) backend_ = std::make_unique<Backend>(rank, device, description);
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

}  // namespace blockformer::train
