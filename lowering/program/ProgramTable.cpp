#include "lowering/program/ProgramTable.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace fovea::program {

namespace {

using json = nlohmann::ordered_json;

json format(const core::TextFormat &format, int64_t scored) {
  json object{{"kind", format.kind}, {"unit", format.unit}, {"vocabulary", format.vocabularies.empty() ? "" : format.vocabularies.front()}};
  if (!format.pieces.empty())
    object["pieces"] = format.pieces;
  for (auto [key, tokens] : {std::pair{"with", &format.with}, {"without", &format.without}})
    if (!tokens->empty())
      object[key] = *tokens;
  if (scored > 0 && !format.pieces.empty() && format.vocabularies.empty())
    object["tokens"] = scored;
  for (auto [key, token, id] : {std::tuple{"start", &format.start, format.startId}, {"end", &format.end, format.endId}, {"unknown", &format.unknown, int64_t(-1)}})
    if (id >= 0)
      object[key] = id;
    else if (!token->empty())
      object[key] = *token;
  if (format.atMost > 0)
    object["at_most"] = format.atMost;
  return object;
}

json parameter(const core::Function &function, const core::Tensor &tensor) {
  auto fail = [&](const char *sentence) { return std::invalid_argument("parameter `" + tensor.name + "` " + sentence); };
  json object{{"name", tensor.name}};
  if (tensor.foreign.size() == 1)
    object["foreign"] = tensor.foreign[0];
  else if (!tensor.foreign.empty())
    object["foreign"] = tensor.foreign;
  object["type"] = typeName(tensor.type);
  object["shape"] = json::array();
  for (core::IndexId axis : tensor.axes) {
    const auto &fixed = function.indices.at(axis).fixed;
    if (!fixed)
      throw fail("has an axis of unknown extent");
    object["shape"].push_back(*fixed);
  }
  if (tensor.layout.empty())
    return object;
  json layout = json::array();
  size_t placed = 0;
  for (const auto &group : tensor.layout) {
    json axes = json::array();
    for (core::IndexId axis : group) {
      auto place = std::find(tensor.axes.begin(), tensor.axes.end(), axis);
      if (place == tensor.axes.end())
        throw fail("has a layout with an axis of another tensor");
      axes.push_back(place - tensor.axes.begin());
      ++placed;
    }
    layout.push_back(axes);
  }
  if (placed != tensor.axes.size())
    throw fail("has a layout that does not hold each axis once");
  object["layout"] = layout;
  return object;
}

json extent(const StageArgument &argument, const std::string &text) {
  int64_t number = 0;
  auto [last, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status == std::errc() && last == text.data() + text.size())
    return number;
  if (text.empty())
    throw std::invalid_argument("argument `" + argument.name + "` has an empty extent");
  return text;
}

}  // namespace

const char *typeName(core::Type type) {
  switch (type) {
  case core::Type::F32: return "f32";
  case core::Type::F16: return "f16";
  case core::Type::BF16: return "bf16";
  case core::Type::I32: return "i32";
  case core::Type::I8: return "i8";
  case core::Type::U8: return "u8";
  case core::Type::Bool: return "bool";
  }
  return "";
}

std::string programTable(const core::Model &model, const TableParts &parts) {
  json root{{"abi", 3}, {"name", model.name}, {"compiler", parts.compiler}};
  root["reads"] = format(model.reads, model.reads.pieces == model.writes.pieces ? parts.scored : 0);
  root["writes"] = format(model.writes, parts.scored);
  root["files"] = json::array();
  for (const EmbeddedFile &file : parts.files)
    root["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
  root["weights"] = parts.weights;
  root["parameters"] = json::array();
  for (const core::Tensor &tensor : model.encode.tensors)
    if (tensor.role == core::Tensor::Parameter) {
      root["parameters"].push_back(parameter(model.encode, tensor));
      if (auto panels = parts.panels.find(tensor.name); panels != parts.panels.end())
        root["parameters"].back()["panels"] = {{"axes", panels->second.first}, {"columns", panels->second.second}};
      if (auto q = parts.quantised.find(tensor.name); q != parts.quantised.end())
        root["parameters"].back()["quantised"] = {{"summed", q->second.summed}, {"kept", q->second.kept}, {"columns", q->second.columns}, {"group", q->second.group}};
    }
  root["traces"] = json::array();
  for (const core::Trace &trace : model.traces) {
    json object{{"name", trace.name}};
    if (!trace.grid.empty())
      object["grid"] = trace.grid;
    root["traces"].push_back(object);
  }
  root["stages"] = json::array();
  for (const TableStage &stage : parts.stages) {
    json arguments = json::array();
    for (const StageArgument &argument : stage.arguments) {
      json shape = json::array();
      for (const std::string &text : argument.shape)
        shape.push_back(extent(argument, text));
      arguments.push_back({{"what", argument.what}, {"name", argument.name}, {"type", argument.type}, {"shape", shape}});
    }
    root["stages"].push_back({{"name", stage.name}, {"arguments", arguments}});
  }
  root["operations"] = json::array();
  for (const Operation &operation : parts.operations)
    root["operations"].push_back({{"stage", operation.stage}, {"place", operation.place}, {"what", operation.what}});
  return root.dump(1);
}

}  // namespace fovea::program
