// `blockformer doctor`: what this machine is, what it can do, and what blockformer chose for it.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/cpu.h"
#include "base/isa.h"
#include "base/parallel.h"
#include "blockformer/version.h"
#include "cli/commands.h"
#include "config/json.h"
#include "data/input_stream.h"
#include "kernels/peak_speed.h"
#include "text/normalizer.h"
#include "text/split_pattern.h"

namespace blockformer {
namespace {

std::string DescribeLimit(const ProcessorLimit& limit) {
  if (limit.quota && limit.processors() < limit.affinity) {
    return fmt::format("{}: {:.4g} processors", limit.quota_file, *limit.quota);
  }
  return fmt::format("the affinity mask: {} processors", limit.affinity);
}

OrderedJson Examine() {
  const CpuInfo cpu = GetCpuInfo();
  return {
      {"blockformer", kVersion},
      {"processor", cpu.model_name},
      {"processors", cpu.processors},
      {"memory_gb", static_cast<double>(cpu.memory_bytes) * 1e-9},
      {"available_memory_gb", static_cast<double>(AvailableMemoryBytes()) * 1e-9},
      {"features", cpu.features},
      {"threads", NumThreads()},
      {"threads_limited_by", DescribeLimit(GetProcessorLimit())},
      {"kernels", {{"isa", IsaName(ActiveIsa())}, {"highway", HighwayTarget()}}},
      {"f32_gflops", MeasureF32Gflops()},
      {"int8_gops", MeasureInt8Gops()},
      {"memory_gbps", MeasureMemoryGbps()},
      {"libraries",
       {{"Highway", HighwayVersion()},
        {"fmt",
         fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
        {"CLI11", CLI11_VERSION},
        {"PCRE2", Pcre2Version()},
        {"utf8proc", Utf8procVersion()},
        {"zstd", ZstdVersion()}}}};
}

void PrintText(const OrderedJson& report) {
  const auto line = [](const char* name, const std::string& value) {
    fmt::print("{:<18}{}\n", name, value);
  };
  const auto text = [&](const char* key) { return report[key].get<std::string>(); };
  const auto number = [&](const char* key) { return report[key].get<double>(); };
  line("blockformer", text("blockformer"));
  line("processor",
       fmt::format("{}, {} available", text("processor"), report["processors"].get<int>()));
  line("features",
       fmt::format("{}", fmt::join(report["features"].get<std::vector<std::string>>(), " ")));
  line("memory", fmt::format("{:.1f} GB, {:.1f} GB available", number("memory_gb"),
                             number("available_memory_gb")));
  line("threads",
       fmt::format("{}, limited by {}", report["threads"].get<int>(), text("threads_limited_by")));
  const OrderedJson& kernels = report["kernels"];
  line("kernels", fmt::format("{}; Highway {}", kernels["isa"].get<std::string>(),
                              kernels["highway"].get<std::string>()));
  line("f32 peak", fmt::format("{:.0f} GFLOP/s, measured", number("f32_gflops")));
  line("int8 peak", fmt::format("{:.0f} GOP/s, measured", number("int8_gops")));
  line("memory bandwidth", fmt::format("{:.1f} GB/s of reading, measured", number("memory_gbps")));
  for (const auto& [name, version] : report["libraries"].items()) {
    line(name.c_str(), version.get<std::string>());
  }
}

}  // namespace

void AddDoctorCommand(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "doctor", "Shows the processor, the chosen kernels, and measured peaks and bandwidth.");
  command->add_flag("--json", *json, "Write JSON");
  command->callback([json] {
    const OrderedJson report = Examine();
    if (*json) {
      fmt::print("{}\n", report.dump(2));
    } else {
      PrintText(report);
    }
  });
}

}  // namespace blockformer
