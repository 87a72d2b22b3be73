#include "cuda/emulation/emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace blockformer::cuda::emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kSharedBytes = 48 << 10;
constexpr size_t kGuardBytes = 1 << 10;
constexpr int kPoison = 0xFF;  // NaNs in every type of floating point

// Saves the registers that a callee saves on one stack, and takes those of another.
extern "C" void BlockformerSwitchFiber(void** from, void* to);
asm(R"(.text
.type BlockformerSwitchFiber,@function
BlockformerSwitchFiber:
 push %rbp
 push %rbx
 push %r12
 push %r13
 push %r14
 push %r15
 mov %rsp,(%rdi)
 mov %rsi,%rsp
 pop %r15
 pop %r14
 pop %r13
 pop %r12
 pop %rbx
 pop %rbp
 ret
.size BlockformerSwitchFiber,.-BlockformerSwitchFiber
)");

enum class State { kReady, kAtWarpBarrier, kAtBlockBarrier, kDone };

struct Fiber {
  void* context = nullptr;
  State state = State::kReady;
  unsigned line = 0;  // of the barrier that it waits at
  Index index;
};

// What runs a grid. There is one a thread of the host, which keeps its stacks.
struct Machine {
  std::vector<Fiber> fibers;
  std::vector<uint64_t> slots;  // [2][threads]: what lanes hand to each other
  std::vector<uint8_t> parity;  // of a lane's next exchange
  std::unique_ptr<char[]> stacks;
  std::vector<unsigned char> shared = std::vector<unsigned char>(kSharedBytes + kGuardBytes);
  size_t shared_bytes = 0;
  void* scheduler = nullptr;
  unsigned threads = 0;
  unsigned current = 0;
  const char* kernel = "";
  const std::function<void()>* body = nullptr;
};

Machine& ThisMachine() {
  static thread_local Machine machine;
  return machine;
}

Order current_order = Order::kForward;

[[noreturn]] void Stop(const std::string& problem) {
  std::fprintf(stderr, "emulation: %s: %s\n", ThisMachine().kernel, problem.c_str());
  std::abort();
}

void FiberMain() {
  Machine& machine = ThisMachine();
  (*machine.body)();
  Fiber& fiber = machine.fibers[machine.current];
  fiber.state = State::kDone;
  BlockformerSwitchFiber(&fiber.context, machine.scheduler);
  std::abort();
}

void Prepare(Machine* machine, Index block) {
  for (unsigned i = 0; i < machine->threads; ++i) {
    Fiber& fiber = machine->fibers[i];
    fiber.state = State::kReady;
    fiber.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    machine->parity[i] = 0;
    // As if FiberMain had just been called: 8 bytes off a multiple of 16.
    void** top = reinterpret_cast<void**>(machine->stacks.get() + (i + 1) * kStackBytes) - 1;
    *--top = reinterpret_cast<void*>(FiberMain);
    fiber.context = top - 6;
  }
}

void RunFiber(Machine* machine, unsigned i) {
  machine->current = i;
  thread_index = machine->fibers[i].index;
  BlockformerSwitchFiber(&machine->scheduler, machine->fibers[i].context);
}

// Lets the fibers [begin, end) pass the barrier at which all of them have to wait, if any does.
bool Release(Machine* machine, unsigned begin, unsigned end, State barrier) {
  unsigned waiting = 0;
  for (unsigned i = begin; i < end; ++i) waiting += machine->fibers[i].state == barrier;
  if (waiting == 0) return false;
  for (unsigned i = begin; i < end; ++i) {
    const Fiber& fiber = machine->fibers[i];
    if (fiber.state != barrier) {
      Stop("thread " + std::to_string(i) + " is not at the barrier where others wait");
    }
    if (fiber.line != machine->fibers[begin].line) {
      Stop("threads wait at different barriers, at lines " + std::to_string(fiber.line) + " and " +
           std::to_string(machine->fibers[begin].line));
    }
  }
  for (unsigned i = begin; i < end; ++i) machine->fibers[i].state = State::kReady;
  return true;
}

// Runs a warp until all lanes wait for the block or are done.
void RunWarp(Machine* machine, unsigned begin) {
  const bool backward = current_order == Order::kBackward;
  do {
    for (unsigned k = 0; k < kWarp; ++k) {
      const unsigned i = begin + (backward ? kWarp - 1 - k : k);
      if (machine->fibers[i].state == State::kReady) RunFiber(machine, i);
    }
  } while (Release(machine, begin, begin + kWarp, State::kAtWarpBarrier));
}

void RunBlock(Machine* machine) {
  const unsigned warps = machine->threads / kWarp;
  const bool backward = current_order == Order::kBackward;
  do {
    for (unsigned w = 0; w < warps; ++w) RunWarp(machine, (backward ? warps - 1 - w : w) * kWarp);
  } while (Release(machine, 0, machine->threads, State::kAtBlockBarrier));
}

void PoisonShared(Machine* machine) {
  std::fill_n(machine->shared.begin(), machine->shared_bytes, kPoison);
}

void CheckSharedGuard(Machine* machine) {
  const auto begin = machine->shared.begin() + static_cast<ptrdiff_t>(machine->shared_bytes);
  if (std::any_of(begin, begin + kGuardBytes, [](unsigned char byte) { return byte != kPoison; })) {
    Stop("something was written behind its shared memory");
  }
}

}  // namespace

void SetOrder(Order order) { current_order = order; }
Order GetOrder() { return current_order; }

void RunGrid(const char* kernel, Index grid, Index block, const std::function<void()>& body) {
  Machine& machine = ThisMachine();
  machine.kernel = kernel;
  machine.body = &body;
  machine.threads = block.x * block.y * block.z;
  if (machine.threads == 0 || machine.threads > kMaxThreads || machine.threads % kWarp != 0) {
    Stop("a block of " + std::to_string(machine.threads) +
         " threads; a multiple of 32 up to 1024 is wanted");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
      grid.x > INT32_MAX) {
    Stop("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
         std::to_string(grid.z) + " blocks is out of range");
  }
  if (machine.fibers.empty()) {
    machine.fibers.resize(kMaxThreads);
    machine.slots.resize(2 * kMaxThreads);
    machine.parity.resize(kMaxThreads);
    machine.stacks.reset(new char[kMaxThreads * kStackBytes]);
  }
  std::fill(machine.shared.begin(), machine.shared.end(), kPoison);
  machine.shared_bytes = 0;
  block_size = block;
  grid_size = grid;
  ++CountsSoFar().launches;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = {x, y, z};
        Prepare(&machine, block);
        PoisonShared(&machine);
        RunBlock(&machine);
        CheckSharedGuard(&machine);
      }
    }
  }
}

void* SharedMemory(size_t bytes) {
  Machine& machine = ThisMachine();
  if (bytes > kSharedBytes) Stop(std::to_string(bytes) + " bytes of shared memory are too many");
  machine.shared_bytes = std::max(machine.shared_bytes, bytes);
  return machine.shared.data();
}

unsigned Lane() { return ThisMachine().current % kWarp; }

void Wait(Barrier barrier, unsigned line) {
  Machine& machine = ThisMachine();
  Fiber& fiber = machine.fibers[machine.current];
  fiber.state = barrier == Barrier::kWarp ? State::kAtWarpBarrier : State::kAtBlockBarrier;
  fiber.line = line;
  BlockformerSwitchFiber(&fiber.context, machine.scheduler);
}

// Two sets of slots in turn, so that one barrier an exchange is enough.
uint64_t Exchange(uint64_t bits, unsigned lane, unsigned line) {
  Machine& machine = ThisMachine();
  const unsigned self = machine.current;
  uint64_t* slots = &machine.slots[(machine.parity[self]++ & 1U) * kMaxThreads];
  slots[self] = bits;
  Wait(Barrier::kWarp, line);
  return slots[self / kWarp * kWarp + lane];
}

Counts& CountsSoFar() {
  static Counts counts;
  return counts;
}

}  // namespace blockformer::cuda::emulation
