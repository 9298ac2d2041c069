// The table's two sides: what lowering/program writes is what runtime/program reads, and what breaks the schema is refused.
#include "lowering/program/ProgramTable.h"
#include "runtime/program/Error.h"
#include "runtime/program/ModelTable.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <stdexcept>

using namespace fovea;
using namespace fovea::program;
using nlohmann::json;

namespace {

core::Model coreModel() {
  core::Model model;
  model.name = "m";
  model.reads = {"text", "characters", "", {"in.vocab"}, {}, {}, "", "</s>", "<unk>", 0};
  model.writes = {"text", "words", "", {"out.vocab"}, {}, {}, "<s>", "</s>", "", 20};
  auto index = [&](const char *name, int64_t extent) {
    core::Index index;
    index.name = name;
    index.fixed = extent;
    model.encode.indices.push_back(index);
    return core::IndexId(model.encode.indices.size() - 1);
  };
  core::IndexId h = index("h", 4), d = index("d", 8), m = index("m", 32);
  core::Tensor w;
  w.role = core::Tensor::Parameter;
  w.name = "layer.w";
  w.type = core::Type::BF16;
  w.axes = {h, d, m};
  w.foreign = {"model.0.weight"};
  w.layout = {{m}, {h, d}};
  core::Tensor input;
  core::Tensor b = w;
  b.name = "b";
  b.foreign = {"a", "b"};
  b.layout.clear();
  b.axes = {m};
  b.type = core::Type::F32;
  model.encode.tensors = {w, b, input};
  model.traces = {{"p", 1, {14, 14}}};
  return model;
}

TableParts parts() {
  TableParts parts;
  parts.stages = {{"load", {{"parameter", "layer.w", "bf16", {"4", "8", "32"}}, {"packed", "wp", "f32", {"32", "32"}}}},
                  {"encode", {{"tokens", "src", "i32", {"b", "i"}}, {"packed", "keys", "f32", {"b", "i 1 + 2 /", "32"}}}},
                  {"step", {{"packed", "wp", "f32", {"32", "32"}}, {"packed", "keys", "f32", {"s", "i 1 + 2 /", "32"}}, {"position", "t", "i32", {}},
                            {"logits", "logits", "f32", {"b", "7"}}, {"trace", "p", "f32", {"b", "196"}}}}};
  parts.files = {{"in.vocab", 3}, {"out.vocab", 4}};
  parts.weights = "m.safetensors";
  parts.compiler = "0.1.0";
  return parts;
}

int32_t nothing(void **) { return 0; }

Table read(const std::string &text) {
  static const fovea_stage stages[] = {nothing, nothing, nothing};
  static const unsigned char bytes[8] = {};
  static const unsigned char *const files[] = {bytes, bytes, bytes};
  json root = json::parse(text);
  return readTable({FOVEA_MODEL_ABI, uint32_t(root["stages"].size()), text.data(), text.size(), stages, files, nullptr, nullptr, nullptr, nullptr});
}

TEST(ProgramTable, WhatIsWrittenIsRead) {
  Table table = read(programTable(coreModel(), parts()));
  EXPECT_EQ(table.name, "m");
  EXPECT_EQ(table.compiler, "0.1.0");
  EXPECT_EQ(table.reads.unit, TextFormat::Characters);
  EXPECT_EQ(table.reads.end, "</s>");
  EXPECT_EQ(table.reads.unknown, "<unk>");
  EXPECT_EQ(table.writes.unit, TextFormat::Words);
  EXPECT_EQ(table.writes.start, "<s>");
  EXPECT_EQ(table.writes.atMost, 20);
  EXPECT_EQ(table.weights, "m.safetensors");
  ASSERT_EQ(table.files.size(), 2u);
  EXPECT_EQ(table.file("out.vocab")->bytes.size(), 4u);
  ASSERT_EQ(table.parameters.size(), 2u);
  EXPECT_EQ(table.parameters[0].foreign, std::vector<std::string>{"model.0.weight"});
  EXPECT_EQ(table.parameters[1].foreign, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(table.reads.endId, -1);
  EXPECT_EQ(table.parameters[0].type, program::Type::BF16);
  EXPECT_EQ(table.parameters[0].shape, (std::vector<int64_t>{4, 8, 32}));
  EXPECT_EQ(table.parameters[0].layout, (std::vector<std::vector<uint32_t>>{{2}, {0, 1}}));
  EXPECT_EQ(table.parameters[1].layout, (std::vector<std::vector<uint32_t>>{{0}}));
  ASSERT_TRUE(table.load);
  EXPECT_EQ(table.step.arguments[1].what, What::Packed);
  EXPECT_EQ(table.step.arguments[1].shape[1].text(), "i 1 + 2 /");
  EXPECT_EQ(table.traces[0].grid, (std::vector<int64_t>{14, 14}));
}

TEST(ProgramTable, TokensByNumber) {
  core::Model model = coreModel();
  model.reads.endId = 5, model.reads.atMost = 9, model.writes.startId = 0;
  Table table = read(programTable(model, parts()));
  EXPECT_EQ(table.reads.endId, 5);
  EXPECT_EQ(table.reads.end, "");
  EXPECT_EQ(table.reads.atMost, 9);
  EXPECT_EQ(table.writes.startId, 0);
  EXPECT_EQ(table.writes.end, "</s>");
}

// `b` of 32 elements cannot be a matrix, `layer.w` is no f32: a third parameter, [32, 7], that encode reads quantised.
json quantisedTable() {
  json root = json::parse(programTable(coreModel(), parts()));
  root["parameters"].push_back(json::parse(R"({"name": "q", "type": "f32", "shape": [30, 7], "quantised": {"summed": [0], "kept": [1], "columns": 4, "group": 4}})"));
  json &arguments = root["stages"][1]["arguments"];
  arguments.push_back(json::parse(R"({"what": "quantised", "name": "q", "type": "i8", "shape": [2, 8, 16]})"));
  arguments.push_back(json::parse(R"({"what": "scales", "name": "q", "type": "f32", "shape": [2, 4]})"));
  arguments.push_back(json::parse(R"({"what": "sums", "name": "q", "type": "i32", "shape": [2, 4]})"));
  return root;
}

TEST(ProgramTable, QuantisedParameters) {
  json root = quantisedTable();
  Table table = read(root.dump());
  ASSERT_TRUE(table.parameters[2].quantised);
  EXPECT_EQ(table.parameters[2].quantised->K, 30);
  EXPECT_EQ(table.parameters[2].quantised->N, 7);
  EXPECT_EQ(table.parameters[2].quantised->panels(), 2);
  EXPECT_EQ(table.parameters[2].quantised->groups(), 8);
  EXPECT_FALSE(table.parameters[2].plain) << "no stage reads it as it is";
  EXPECT_TRUE(table.parameters[0].plain);
  root["stages"][2]["arguments"].push_back(json::parse(R"({"what": "parameter", "name": "q", "type": "f32", "shape": [30, 7]})"));
  EXPECT_TRUE(read(root.dump()).parameters[2].plain);
}

TEST(ProgramTable, BuilderRefusesWhatCannotBe) {
  core::Model model = coreModel();
  model.encode.indices[0].fixed.reset();
  EXPECT_THROW(programTable(model, parts()), std::invalid_argument);
  model = coreModel();
  model.encode.tensors[0].layout = {{2}, {0}};
  EXPECT_THROW(programTable(model, parts()), std::invalid_argument);
  TableParts wrong = parts();
  wrong.stages[0].arguments[0].shape[0] = "";
  EXPECT_THROW(programTable(coreModel(), wrong), std::invalid_argument);
}

std::string complaint(const std::function<void(json &)> &change, const std::string &text) {
  json root = json::parse(text);
  change(root);
  try {
    read(root.dump());
  } catch (const InternalError &error) {
    return error.what();
  }
  return "";
}

TEST(ProgramTable, ReaderRefusesWhatBreaksTheSchema) {
  const fovea_model &toy = toy::model();
  std::string text(toy.json, toy.json_length);
  EXPECT_EQ(complaint([](json &) {}, text), "");
  struct Case { const char *wanted; std::function<void(json &)> change; };
  auto argument = [](json &root, int stage, int index) -> json & { return root["stages"][stage]["arguments"][index]; };
  const Case cases[] = {
      {"another version", [](json &root) { root["abi"] = 1; }},
      {"not `audio`", [](json &root) { root["reads"]["kind"] = "audio"; }},
      {"no unit of text", [](json &root) { root["reads"]["unit"] = "syllables"; }},
      {"no start token", [](json &root) { root["writes"].erase("start"); }},
      {"no stage is called", [](json &root) { root["stages"][0]["name"] = "run"; }},
      {"lacks a stage", [](json &root) { root["stages"].erase(0); }},
      {"stage `step` is listed twice", [](json &root) { root["stages"][0] = root["stages"][1]; }},
      {"which its stage does not have", [&](json &root) { argument(root, 0, 0)["what"] = "logits"; }},
      {"which its stage does not have", [&](json &root) { argument(root, 1, 0)["what"] = "magic"; }},
      {"no type is called", [&](json &root) { argument(root, 0, 0)["type"] = "i64"; }},
      {"is no extent", [&](json &root) { argument(root, 0, 0)["shape"][0] = "q"; }},
      {"does not know", [&](json &root) { argument(root, 0, 2)["shape"][0] = "t"; }},
      {"must be i32[b,i]", [&](json &root) { argument(root, 0, 0)["shape"] = {"i", "b"}; }},
      {"must be i32[b]", [&](json &root) { argument(root, 1, 1)["type"] = "f32"; }},
      {"is packed by no stage before", [&](json &root) { argument(root, 1, 4)["name"] = "other"; }},
      {"is not what encode makes", [&](json &root) { argument(root, 1, 3)["name"] = "other"; }},
      {"is the next value of no state", [&](json &root) { argument(root, 1, 6)["name"] = "other"; }},
      {"differs from its state", [&](json &root) { argument(root, 1, 8)["shape"][2] = 4; }},
      {"more than a plain axis `b`", [&](json &root) { argument(root, 1, 5)["shape"] = {"b 1 +"}; }},
      {"must grow along one axis `t`", [&](json &root) { argument(root, 1, 9)["shape"] = {"b", 5}; }},
      {"must be f32[b,V]", [&](json &root) { argument(root, 1, 12)["shape"] = {"b"}; }},
      {"must have logits", [&](json &root) { root["stages"][1]["arguments"].erase(12); }},
      {"initialises no state", [&](json &root) { argument(root, 0, 3)["name"] = "other"; }},
      {"no stage makes trace", [](json &root) { root["traces"].push_back({{"name", "q"}}); }},
      {"which is not listed", [&](json &root) { argument(root, 1, 3)["what"] = "parameter"; }},
      {"names axis", [](json &root) { root["parameters"] = json::parse(R"([{"name": "w", "type": "f32", "shape": [2], "layout": [[0, 0]]}])"); }},
      {"lacks an axis", [](json &root) { root["parameters"] = json::parse(R"([{"name": "w", "type": "f32", "shape": [2, 3], "layout": [[1]]}])"); }},
      {"negative extent", [](json &root) { root["parameters"] = json::parse(R"([{"name": "w", "type": "f32", "shape": [-2]}])"); }},
      {"listed twice", [](json &root) { root["parameters"] = json::parse(R"([{"name": "w", "type": "f32", "shape": []}, {"name": "w", "type": "f32", "shape": []}])"); }},
      {"type must be string", [](json &root) { root["name"] = 7; }},
  };
  for (const Case &each : cases)
    EXPECT_NE(complaint(each.change, text).find(each.wanted), std::string::npos) << each.wanted << " / " << complaint(each.change, text);

  text = quantisedTable().dump();
  EXPECT_EQ(complaint([](json &) {}, text), "");
  auto form = [](json &root) -> json & { return root["parameters"][2]["quantised"]; };
  const Case quantised[] = {
      {"names axis 1 wrongly", [&](json &root) { form(root)["summed"] = {0, 1}; }},
      {"names axis 2 wrongly", [&](json &root) { form(root)["kept"] = {2}; }},
      {"does not fit it", [&](json &root) { form(root)["kept"] = json::array(); }},
      {"does not fit it", [&](json &root) { form(root)["group"] = 3; }},
      {"does not fit it", [&](json &root) { form(root)["columns"] = 0; }},
      {"does not fit it", [](json &root) { root["parameters"][2]["type"] = "bf16"; }},
      {"which is not listed so", [](json &root) { root["parameters"][2].erase("quantised"); }},
      {"two types or shapes", [&](json &root) { argument(root, 1, 2)["shape"] = {2, 8, 12}; }},
      {"two types or shapes", [&](json &root) { argument(root, 1, 3)["type"] = "i32"; }},
      {"two types or shapes", [&](json &root) { argument(root, 1, 4)["shape"] = {2, "b"}; }},
  };
  for (const Case &each : quantised)
    EXPECT_NE(complaint(each.change, text).find(each.wanted), std::string::npos) << each.wanted << " / " << complaint(each.change, text);
}

}  // namespace
