#include "checkpoint/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/model_directory.h"
#include "tests/checkpoint/convert_fixture.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(ConvertTest, RoundTripsKeepEveryBitOfEveryFamily) {
  for (const StackFamily family : kOtherFamilies) {
    const ModelConfig config = ConfigOfFamily(family);
    WriteModel("vanilla", config, DataType::kBF16);
    ConvertOptions out = Options("vanilla", "hf");
    out.to = CheckpointFormat::kHuggingFace;
    out.max_shard_bytes = 2000;
    const ConvertReport there = Convert(out);
    EXPECT_GT(there.files.size(), 1u);
    const ConvertReport back = Convert(Options("hf", "again"));
    EXPECT_EQ(back.from, CheckpointFormat::kHuggingFace);
    EXPECT_EQ(back.checksum, there.checksum);
    EXPECT_EQ(back.config, config);
    ExpectSameWeights("vanilla", "again", config);
    std::filesystem::remove_all(directory_);
  }
}

TEST_F(ConvertTest, KeepsHowTextsAreSampled) {
  WriteModel("vanilla", ConfigOfFamily(StackFamily::kQwen2));
  WriteFileAtomically(Path("vanilla/generation_config.json"),
                      R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 3,
                          "suppress_tokens": [1], "_from_model_config": true})");
  ConvertOptions options = Options("vanilla", "hf");
  options.to = CheckpointFormat::kHuggingFace;
  Convert(options);
  Convert(Options("hf", "ours"));
  for (const char* name : {"hf", "ours"}) {
    const std::string path = Path(name) + "/generation_config.json";
    Json json = ReadJsonFile(path);
    EXPECT_EQ(json["eos_token_id"].back(), 3);
    for (const char* id : {"bos_token_id", "eos_token_id", "pad_token_id"}) json.erase(id);
    EXPECT_EQ(json, Json({{"do_sample", true}, {"temperature", 0.6}, {"top_p", 0.9}})) << name;
  }
}

TEST_F(ConvertTest, RoundTripsKeepEveryBitOfEveryType) {
  for (const DataType type : {DataType::kF32, DataType::kBF16, DataType::kF16}) {
    WriteModel("vanilla", VanillaConfig(), type);
    ConvertOptions out = Options("vanilla", "hf");
    out.to = CheckpointFormat::kHuggingFace;
    const ConvertReport there = Convert(out);
    EXPECT_EQ(there.from, CheckpointFormat::kBlockformer);
    EXPECT_EQ(there.tensors_skipped.size(), 0u);
    const ConvertReport back = Convert(Options("hf", "again"));
    EXPECT_EQ(back.from, CheckpointFormat::kHuggingFace);
    EXPECT_EQ(back.checksum, there.checksum);
    EXPECT_EQ(back.config, VanillaConfig());
    ExpectSameWeights("vanilla", "again", VanillaConfig());
    std::filesystem::remove_all(directory_);
  }
}

TEST_F(ConvertTest, PublishedRoundTripWritesWhatNothingReadsAsZeros) {
  WriteModel("block", BlockConfig(), DataType::kBF16);
  ConvertOptions out = Options("block", "published");
  out.to = CheckpointFormat::kPublishedBlock;
  const ConvertReport there = Convert(out);
  EXPECT_THAT(there.tensors_skipped,
              testing::Contains(testing::Key("block_decoder.gpt_neox.embed_in.weight")));
  const SafetensorsFile file(Path("published/model.safetensors"));
  const TensorView& unused = file.Get("block_decoder.gpt_neox.embed_in.weight");
  EXPECT_TRUE(std::ranges::all_of(unused.bytes, [](std::byte b) { return b == std::byte{0}; }));
  const ConvertReport back = Convert(Options("published", "again"));
  EXPECT_EQ(back.from, CheckpointFormat::kPublishedBlock);
  EXPECT_EQ(back.checksum, there.checksum);
  EXPECT_EQ(back.config, BlockConfig());
  ExpectSameWeights("block", "again", BlockConfig());
}

TEST_F(ConvertTest, ShardsAreBoundedAndReadBack) {
  WriteModel("vanilla", VanillaConfig());
  ConvertOptions options = Options("vanilla", "shards");
  options.max_shard_bytes = 2000;
  const ConvertReport report = Convert(options);
  EXPECT_GT(report.files.size(), 3u);
  for (const std::string& name : report.files) {
    const SafetensorsFile file(Path("shards/" + name));
    uint64_t bytes = 0;
    for (const auto& [tensor, view] : file.tensors()) bytes += view.bytes.size();
    EXPECT_TRUE(bytes <= 2000 || file.tensors().size() == 1) << name;
  }
  const Json index = ReadJsonFile(Path("shards/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], report.bytes);
  ExpectSameWeights("vanilla", "shards", VanillaConfig());
  EXPECT_EQ(Convert(Options("shards", "whole")).checksum, report.checksum);
}

TEST_F(ConvertTest, ChangesTheTypeWithRounding) {
  WriteModel("vanilla", VanillaConfig());
  ConvertOptions options = Options("vanilla", "half");
  options.type = DataType::kBF16;
  Convert(options);
  const SafetensorsWeights half(Path("half"), VanillaConfig());
  EXPECT_EQ(half.Get("embed_out.weight").type, DataType::kBF16);
  EXPECT_EQ(ReadJsonFile(Path("half/config.json"))["torch_dtype"], "bfloat16");
  const SafetensorsWeights full(Path("vanilla"), VanillaConfig());
  EXPECT_EQ(ToFloats(half.Get("embed_out.weight"), ""), ToFloats(full.Get("embed_out.weight"), ""));
}

TEST_F(ConvertTest, NamesATensorThatATypeCannotHold) {
  std::vector<WeightSource> weights = Weights(VanillaConfig(), DataType::kF32);
  weights[1].value = [](int64_t) { return 70000.0f; };
  std::filesystem::create_directories(Path("large"));
  WriteModelConfig(Path("large"), VanillaConfig());
  WriteWeights(Path("large"), weights, UINT64_MAX, [](uint64_t) {});
  ConvertOptions options = Options("large", "half");
  options.type = DataType::kF16;
  EXPECT_THAT(ErrorOf(options), AllOf(HasSubstr(weights[1].name), HasSubstr("F16")));
}

// A tokenizer.json of `size` ids, each for one character.
std::string TokenizerJson(int size) {
  Json vocabulary = Json::object();
  for (int i = 0; i < size; ++i) vocabulary[std::string(1, static_cast<char>('A' + i))] = i;
  return Json{{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}},
              {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
              {"decoder", {{"type", "ByteLevel"}}}}
      .dump();
}

TEST_F(ConvertTest, DestinationIsReplacedOnlyWithForceAndOnlyIfItIsAModel) {
  WriteModel("vanilla", VanillaConfig());
  WriteModel("there", VanillaConfig());
  WriteFileAtomically(Path("there/trainer.yaml"), "");
  EXPECT_THAT(ErrorOf(Options("vanilla", "there")), HasSubstr("`force`"));
  ConvertOptions options = Options("vanilla", "there");
  options.replace = true;
  Convert(options);
  EXPECT_FALSE(FileExists(Path("there/trainer.yaml")));
  std::filesystem::create_directories(Path("other"));
  WriteFileAtomically(Path("other/notes"), "mine");
  options.destination = Path("other");
  EXPECT_THAT(ErrorOf(options), HasSubstr("replaces nothing else"));
  options.destination = Path("there");
  for (const char* stranger : {"thesis.txt", "optimizer.safetensors", "state.json",
                               "model-1-of-x.safetensors", "xmodel.safetensors", "model.py"}) {
    WriteFileAtomically(Path("there/") + stranger, "mine");
    EXPECT_THAT(ErrorOf(options), HasSubstr(fmt::format("there: holds {}, which", stranger)));
    EXPECT_EQ(ReadFile(Path("there/") + stranger), "mine");
    std::filesystem::remove(Path("there/") + stranger);
  }
}

TEST_F(ConvertTest, WhatEachFormatWritesMayBeReplaced) {
  WriteModel("block", BlockConfig());
  WriteFileAtomically(Path("block/tokenizer.json"), TokenizerJson(20));
  for (const TokenizerFileEntry& file : kTokenizerFiles) {
    const std::string path = Path("block/") + file.name;
    if (!FileExists(path)) WriteFileAtomically(path, "{}");
  }
  for (const FormatEntry* format : CheckpointFormats()) {
    if (format->write == nullptr) continue;
    ConvertOptions options = Options("block", "there");
    options.to = format->format;
    options.max_shard_bytes = 4000;
    options.replace = true;
    EXPECT_GT(Convert(options).files.size(), 1U) << format->name;
    Convert(options);
  }
}

// The directory in which they arose is gone by then.
TEST_F(ConvertTest, ErrorsNameWhatTheUserNamed) {
  WriteModel("vanilla", VanillaConfig());
  ConvertOptions options = Options("vanilla", "model");
  ConvertCallbacks callbacks;
  std::string temporary;
  callbacks.check = [&](const std::string& directory, const ConvertReport&) {
    temporary = directory;
    Fail(ErrorCode::kCorrupt, "{0}: no good, nor is {0}/config.json", directory);
  };
  try {
    ConvertCheckpoint(options, callbacks);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(),
              Path("vanilla") + ": the model that was made of it: no good, nor is config.json");
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  }
  // A folder that is in the way.
  callbacks.progress = [&](uint64_t done, uint64_t total) {
    if (done == total) std::filesystem::create_directories(temporary + "/config.json");
  };
  try {
    ConvertCheckpoint(options, callbacks);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(Path("model/config.json") + ": "));
  }
}

TEST_F(ConvertTest, AFailedCheckLeavesNothing) {
  WriteModel("vanilla", VanillaConfig());
  ConvertCallbacks callbacks;
  callbacks.check = [](const std::string& directory, const ConvertReport&) {
    EXPECT_TRUE(FileExists(directory + "/model.safetensors"));
    Fail(ErrorCode::kCorrupt, "no good");
  };
  EXPECT_THROW(ConvertCheckpoint(Options("vanilla", "model"), callbacks), Error);
  EXPECT_FALSE(FileExists(Path("model")));
}

TEST_F(ConvertTest, CopiesTheTokenizer) {
  WriteModel("vanilla", VanillaConfig());
  WriteFileAtomically(Path("vanilla/tokenizer_config.json"), "{}");
  EXPECT_FALSE(Convert(Options("vanilla", "a")).has_tokenizer);  // not one by itself
  WriteFileAtomically(Path("vanilla/tokenizer.json"), TokenizerJson(20));
  const ConvertReport report = Convert(Options("vanilla", "b"));
  EXPECT_TRUE(report.has_tokenizer);
  EXPECT_EQ(report.tokenizer_files.size(), 2u);
  WriteFileAtomically(Path("vanilla/chat_template.jinja"), "{{ messages }}");
  Convert(Options("vanilla", "chat"));
  EXPECT_EQ(ReadFile(Path("chat/chat_template.jinja")), "{{ messages }}");
  WriteFileAtomically(Path("given.json"), TokenizerJson(32));
  ConvertOptions options = Options("vanilla", "c");
  options.tokenizer = Path("given.json");
  Convert(options);
  EXPECT_EQ(ReadFile(Path("c/tokenizer.json")), TokenizerJson(32));
}

TEST_F(ConvertTest, TellsOfATokenizerThatIsNotRead) {
  WriteModel("vanilla", VanillaConfig());
  WriteFileAtomically(Path("vanilla/tokenizer.model"), "x");
  const auto log_of = [&](const std::string& destination) {
    testing::internal::CaptureStderr();
    Convert(Options("vanilla", destination));
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(log_of("a"), HasSubstr("the model gets no tokenizer; its tokenizer.model is in"));
  WriteFileAtomically(Path("vanilla/tokenizer.json"), TokenizerJson(20));
  EXPECT_EQ(log_of("b"), "");
}

TEST_F(ConvertTest, NamesATokenizerThatIsNotTheModels) {
  WriteModel("vanilla", VanillaConfig());
  ConvertOptions options = Options("vanilla", "x");
  options.tokenizer = Path("given.json");
  EXPECT_THAT(ErrorOf(options), HasSubstr("given.json: cannot open"));
  WriteFileAtomically(Path("given.json"), "{}");
  EXPECT_THAT(ErrorOf(options), HasSubstr("given.json: "));
  WriteFileAtomically(Path("given.json"), TokenizerJson(33));
  EXPECT_THAT(ErrorOf(options), HasSubstr("given.json: the tokenizer has 33 ids"));
}

TEST_F(ConvertTest, RefusesOptionsThatDoNotApply) {
  WriteModel("vanilla", VanillaConfig());
  ConvertOptions options = Options("vanilla", "x");
  options.without_padding = true;
  EXPECT_THAT(ErrorOf(options), HasSubstr("`no_padding`"));
  options = Options("vanilla", "x");
  options.from = CheckpointFormat::kBlockformer;
  options.trainer_yaml = "trainer.yaml";
  EXPECT_THAT(ErrorOf(options), HasSubstr("`config`"));
  EXPECT_THAT(ErrorOf(Options("vanilla/model.safetensors", "x")), HasSubstr("its directory"));
  std::filesystem::create_directories(Path("there"));
  WriteFileAtomically(Path("there/notes"), "mine");
  std::filesystem::create_symlink("there", Path("link"));
  EXPECT_THAT(ErrorOf(Options("vanilla", "link")), HasSubstr("is there already"));
}

TEST_F(ConvertTest, RefusesWhatIsAmbiguousUnknownOrPickled) {
  std::filesystem::create_directories(Path("empty"));
  EXPECT_THAT(ErrorOf(Options("empty", "x")), HasSubstr("not recognised"));
  EXPECT_THAT(ErrorOf(Options("none", "x")), HasSubstr("no such checkpoint"));
  WriteModel("block", BlockConfig());
  ConvertOptions out = Options("block", "both");
  out.to = CheckpointFormat::kPublishedBlock;
  Convert(out);
  WriteModelConfig(Path("both"), BlockConfig());
  EXPECT_THAT(ErrorOf(Options("both", "x")), HasSubstr("`from`"));
  out.from = CheckpointFormat::kHuggingFace;  // which is read of vanilla models
  out.destination = Path("x");
  EXPECT_THAT(ErrorOf(out), HasSubstr("model_type"));
  for (const char* name : {"pytorch_model.bin", "model.pt", "model.pth"}) {
    WriteModel("pickled", VanillaConfig());
    std::filesystem::remove(Path("pickled/model.safetensors"));
    WriteFileAtomically(Path("pickled/") + name, "x");
    EXPECT_THAT(ErrorOf(Options("pickled", "x")), AllOf(HasSubstr(name), HasSubstr("save_file")));
    std::filesystem::remove_all(Path("pickled"));
  }
  WriteFileAtomically(Path("weights.bin"), "x");
  EXPECT_THAT(ErrorOf(Options("weights.bin", "x")), HasSubstr("save_file"));
}

TEST_F(ConvertTest, OtherPickledFilesOfATrainerAreNotTakenForWeights) {
  WriteModel("pickled", VanillaConfig());
  std::filesystem::remove(Path("pickled/model.safetensors"));
  WriteFileAtomically(Path("pickled/optimizer.pt"), "x");
  WriteFileAtomically(Path("pickled/training_args.bin"), "x");
  EXPECT_THAT(ErrorOf(Options("pickled", "x")), HasSubstr("there is neither"));
  WriteFileAtomically(Path("pickled/pytorch_model.bin"), "x");
  EXPECT_THAT(ErrorOf(Options("pickled", "x")),
              AllOf(HasSubstr("weights_only=True"),
                    HasSubstr("'" + Path("pickled/model.safetensors") + "' '" +
                              Path("pickled/pytorch_model.bin") + "'")));
  WriteFileAtomically(Path("pickled/pytorch_model-00001-of-00002.bin"), "x");
  EXPECT_THAT(ErrorOf(Options("pickled", "x")),
              HasSubstr("'" + Path("pickled/") + "'pytorch_model-*.bin"));
  std::filesystem::rename(Path("pickled"), Path("it's $HOME"));
  EXPECT_THAT(ErrorOf(Options("it's $HOME", "x")),
              HasSubstr("it'\\''s $HOME/'pytorch_model-*.bin"));
}

TEST_F(ConvertTest, ConfigurationsThatContradictTheirWeights) {
  ModelConfig wrong = VanillaConfig();
  WriteModel("vanilla", VanillaConfig());
  wrong.decoder.num_layers = 5;
  WriteModelConfig(Path("vanilla"), wrong);
  EXPECT_THAT(ErrorOf(Options("vanilla", "x")),
              AllOf(HasSubstr("missing"), HasSubstr("gpt_neox.layers.4")));
  wrong.decoder.num_layers = 3;
  WriteModelConfig(Path("vanilla"), wrong);
  EXPECT_THAT(ErrorOf(Options("vanilla", "x")), HasSubstr("gpt_neox.layers.3"));
  wrong = VanillaConfig();
  wrong.vocab_size = 33;
  WriteModelConfig(Path("vanilla"), wrong);
  EXPECT_THAT(ErrorOf(Options("vanilla", "x")), AllOf(HasSubstr("[32, 8]"), HasSubstr("[33, 8]")));
}

TEST_F(ConvertTest, HuggingFaceConfigurationsOfEveryVersion) {
  const auto read = [](Json json) { return ModelConfigFromJson(json, "config.json"); };
  const ModelConfig largest = read({{"model_type", "gpt_neox"}});  // all defaults: GPT-NeoX-20B
  EXPECT_EQ(largest.decoder, (StackConfig{6144, 44, 64, 24576}));
  EXPECT_EQ(largest.eos_token_id, 2);
  Json json = {{"model_type", "gpt_neox"},
               {"rope_parameters",
                {{"rope_type", "default"}, {"rope_theta", 500}, {"partial_rotary_factor", 0.5}}}};
  EXPECT_EQ(read(json).decoder.rotary_base, 500);
  EXPECT_EQ(read(json).decoder.rotary_pct, 0.5);
  // Nulls are fields that are not set; "rope_scaling" is the object's older name.
  Json nulls = json;
  nulls["rope_parameters"].update(
      Json{{"factor", nullptr}, {"attention_factor", nullptr}, {"type", nullptr}});
  EXPECT_EQ(read(nulls), read(json));
  nulls["rope_scaling"] = Json{{"type", "default"}, {"factor", nullptr}};
  EXPECT_EQ(read(nulls), read(json));
  nulls["rope_parameters"]["rope_theta"] = nullptr;
  EXPECT_EQ(read(nulls).decoder.rotary_base, 10000);
  nulls["rope_scaling"] = Json{{"type", "linear"}, {"factor", 2}};
  EXPECT_THROW(read(nulls), Error);
  nulls["rope_scaling"] = Json{{"factor", 2}};
  EXPECT_THROW(read(nulls), Error);
  Json list = json;
  list["eos_token_id"] = {5, 6};
  EXPECT_EQ(read(list).eos_token_id, 5);
  EXPECT_EQ(read(list).other_eos_token_ids, std::vector<int64_t>{6});
  // Versions 4.45 to 4.57 write both names.
  const Json both = {{"model_type", "gpt_neox"},     {"rotary_emb_base", 500},
                     {"rope_theta", 500.0},          {"rotary_pct", 0.5},
                     {"partial_rotary_factor", 0.5}, {"rope_scaling", nullptr}};
  EXPECT_EQ(read(both).decoder, read(json).decoder);
  Json contradiction = both;
  contradiction["partial_rotary_factor"] = 0.25;
  EXPECT_THROW(read(contradiction), Error);
  json["rope_parameters"]["rope_type"] = "yarn";
  EXPECT_THROW(read(json), Error);
  EXPECT_THROW(read({{"model_type", "gpt_neo"}}), Error);
  EXPECT_THROW(read({{"model_type", "gpt_neox"}, {"hidden_size", int64_t{1} << 40}}), Error);
  EXPECT_THROW(read(Json::array()), Error);
}

int64_t AnonymousKilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8));
  }
  return -1;
}

// One tensor of 64 MB in f32, in and out of bf16: pieces of a few MB must do.
TEST_F(ConvertTest, MemoryDoesNotGrowWithTensors) {
  ModelConfig config = VanillaConfig();
  config.vocab_size = 1 << 21;
  config.decoder.num_layers = 1;
  std::vector<WeightSource> weights = Weights(config, DataType::kF32);
  std::filesystem::create_directories(Path("large"));
  WriteModelConfig(Path("large"), config);
  const int64_t before = AnonymousKilobytes();
  ASSERT_GT(before, 0);
  WriteWeights(Path("large"), weights, UINT64_MAX, [](uint64_t) {});
  ConvertOptions options = Options("large", "half");
  options.type = DataType::kBF16;
  int64_t most = 0;
  ConvertCallbacks callbacks;
  callbacks.progress = [&](uint64_t, uint64_t) { most = std::max(most, AnonymousKilobytes()); };
  ConvertCheckpoint(options, callbacks);
  EXPECT_LT(most - before, 24 << 10);
}

}  // namespace
}  // namespace blockformer
