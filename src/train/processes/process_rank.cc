#include "train/processes/process_rank.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace blockformer::train {
namespace {

constexpr int kMaxProcesses = 1 << 16;
constexpr char kPeerTimeoutVariable[] = "BLOCKFORMER_PEER_TIMEOUT";
constexpr int kMaxPeerTimeoutSeconds = 6 * 3600;

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

void ReadMaster(ProcessRank* rank) {
  rank->master_port = ReadInt("MASTER_PORT", 1, 65535);
  const char* address = std::getenv("MASTER_ADDR");
  Require(address != nullptr && *address != '\0', ErrorCode::kInvalidArgument,
          "environment: WORLD_SIZE is {}, but MASTER_ADDR is not set; the address of process 0 is "
          "wanted",
          rank->world_size);
  rank->master_address = address;
}

}  // namespace

std::string ProcessRank::NameOf(int other) const {
  if (other != 0 || master_address.empty()) return fmt::format("process {}", other);
  return fmt::format("process 0 at {}:{}", master_address, master_port);
}

bool HasRankInEnvironment() { return std::getenv("RANK") != nullptr; }

bool IsLaunchedHere() { return std::getenv(kLocalStoreVariable) != nullptr; }

ProcessRank ReadRankFromEnvironment() {
  ProcessRank rank;
  if (!HasRankInEnvironment()) return rank;
  rank.world_size = ReadInt("WORLD_SIZE", 1, kMaxProcesses);
  rank.rank = ReadInt("RANK", 0, rank.world_size - 1);
  if (std::getenv("LOCAL_RANK") != nullptr) rank.local_rank = ReadInt("LOCAL_RANK", 0, rank.rank);
  if (std::getenv("LOCAL_WORLD_SIZE") != nullptr) {
    rank.local_world_size = ReadInt("LOCAL_WORLD_SIZE", 1, rank.world_size);
  }
  if (std::getenv(kPeerTimeoutVariable) != nullptr) {
    rank.peer_timeout =
        std::chrono::seconds(ReadInt(kPeerTimeoutVariable, 1, kMaxPeerTimeoutSeconds));
  }
  if (rank.world_size == 1) return rank;
  if (IsLaunchedHere()) {
    rank.store_path = std::getenv(kLocalStoreVariable);
  } else {
    ReadMaster(&rank);
  }
  return rank;
}

}  // namespace blockformer::train
