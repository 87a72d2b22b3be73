// The plugin, as a program finds and opens it. Each case is a process of its own under ctest, and
// the first one that asks decides which plugin there is; so all set the same one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "devices/devices.h"
#include "tests/cuda_contract/models.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// What a refused name is answered.
std::string Refusal(const std::string& device) {
  try {
    ResolveDevice(device);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

class PluginTest : public testing::Test {
 protected:
  PluginTest() { setenv("BLOCKFORMER_CUDA", BLOCKFORMER_EMULATED_PLUGIN, 1); }
};

TEST_F(PluginTest, DevicesHaveNames) {
  EXPECT_EQ(AvailableDevices(), (std::vector<std::string>{"cpu", "cuda:0", "cuda:1"}));
  EXPECT_EQ(ResolveDevice("auto"), "cuda:0");
  EXPECT_EQ(ResolveDevice("cuda"), "cuda:0");
  EXPECT_EQ(ResolveDevice("cuda:1"), "cuda:1");
  EXPECT_EQ(ResolveDevice("cpu"), "cpu");
  EXPECT_THAT(Refusal("cuda:2"), HasSubstr("auto, cpu, cuda:0, cuda:1 are possible"));
  EXPECT_THAT(Refusal("cuda:x"), HasSubstr("\"cuda:x\" is not there"));
  EXPECT_THAT(Refusal("gpu"), HasSubstr("\"gpu\" is not there"));
}

TEST_F(PluginTest, ModelsRunThroughIt) {
  for (const ModelConfig& config : {TinyBlockConfig(), TinyVanillaConfig()}) {
    const ReadWeights weights = TinyWeights(config);
    const auto model = MakeModel(config, weights, "cuda:1");
    EXPECT_EQ(model->device(), "cuda:1");
    Engine engine(model, {});
    Engine cpu(MakeModel(config, weights, "cpu"), {});
    const GenerationRequest request = Request(RandomPrompt(9, 1), 12);
    EXPECT_EQ(GenerateAll(&engine, {request}), GenerateAll(&cpu, {request}));
    EXPECT_THROW(engine.Submit(Request({1}, 100000), {}), Error);
  }
}

TEST_F(PluginTest, ErrorsKeepTheirTypeOnTheirWayOut) {
  try {
    MakeModel(TinyT5Config(), TinyWeights(TinyT5Config()), "cuda");
    ADD_FAILURE() << "a T5 token decoder was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
  EXPECT_EQ(MakeModel(TinyT5Config(), TinyWeights(TinyT5Config()), "auto")->device(), "cpu");
}

// In a process of its own, since a plugin is opened once.
using PluginDeathTest = PluginTest;

TEST_F(PluginDeathTest, SaysWhyThereIsNone) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto answer = [](const char* plugin) {
    setenv("BLOCKFORMER_CUDA", plugin, 1);
    std::fprintf(stderr, "%s\n", Refusal("cuda").c_str());
    std::exit(ResolveDevice("auto") == "cpu" ? 0 : 1);
  };
  const auto exits = testing::ExitedWithCode(0);
  EXPECT_EXIT(answer("off"), exits, "cannot be used: BLOCKFORMER_CUDA is off; cpu is possible");
  EXPECT_EXIT(answer("/nowhere/x.so"), exits, "no plugin for it; /nowhere/x.so was looked for");
  EXPECT_EXIT(answer("/etc/passwd"), exits, "/etc/passwd cannot be opened");
  EXPECT_EXIT(answer("/usr/lib/x86_64-linux-gnu/libz.so"), exits, "is no plugin of blockformer");
}

}  // namespace
}  // namespace blockformer
