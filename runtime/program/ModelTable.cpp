#include "runtime/program/ModelTable.h"

#include "runtime/program/Error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace fovea::program {

namespace {

using json = nlohmann::json;

[[noreturn]] void wrong(const std::string &sentence) { throw InternalError("the model's table: " + sentence); }

constexpr struct { const char *name; Type type; size_t bytes; } typeNames[] = {
    {"f32", Type::F32, 4}, {"f16", Type::F16, 2}, {"bf16", Type::BF16, 2}, {"i32", Type::I32, 4},
    {"i8", Type::I8, 1},   {"u8", Type::U8, 1},   {"bool", Type::Bool, 1},
};

constexpr struct { const char *name; TextFormat::Unit unit; } unitNames[] = {
    {"characters", TextFormat::Characters}, {"words", TextFormat::Words}, {"sentencepiece", TextFormat::SentencePiece}, {"bytepairs", TextFormat::BytePairs},
};

enum Where : uint8_t { InLoad = 1, InEncode = 2, InStep = 4, InAll = 7 };

constexpr struct { const char *name; What what; uint8_t where; } whatNames[] = {
    {"parameter", What::Parameter, InAll},
    {"quantised", What::Quantised, InAll},
    {"scales",    What::Scales,    InAll},
    {"sums",      What::Sums,      InAll},
    {"packed",    What::Packed,    InAll},
    {"tokens",    What::Tokens,    InEncode | InStep},
    {"length",    What::Length,    InEncode},
    {"position",  What::Position,  InStep},
    {"map",       What::Map,       InStep},
    {"encoded",   What::Encoded,   InEncode | InStep},
    {"init",      What::Init,      InEncode},
    {"state",     What::State,     InStep},
    {"next",      What::Next,      InStep},
    {"cache",     What::Cache,     InStep},
    {"logits",    What::Logits,    InStep},
    {"trace",     What::Trace,     InStep},
};

std::string text(const json &object, const char *key) {
  auto found = object.find(key);
  return found == object.end() ? std::string() : found->get<std::string>();
}

Type typeOf(const std::string &name) {
  for (const auto &entry : typeNames)
    if (name == entry.name)
      return entry.type;
  wrong("no type is called `" + name + "`");
}

TextFormat readFormat(const json &object) {
  if (std::string kind = text(object, "kind"); kind != "text")
    wrong("this runtime reads and writes text, not `" + kind + "`");
  TextFormat format;
  std::string unit = text(object, "unit");
  const auto *known = std::find_if(std::begin(unitNames), std::end(unitNames), [&](const auto &entry) { return unit == entry.name; });
  if (known == std::end(unitNames))
    wrong("no unit of text is called `" + unit + "`");
  format.unit = known->unit;
  format.vocabulary = text(object, "vocabulary");
  format.pieces = text(object, "pieces");
  if (format.pieces.empty() != (format.unit == TextFormat::Characters || format.unit == TextFormat::Words))
    wrong("text by " + unit + (format.pieces.empty() ? " needs" : " has no") + " pieces");
  if (format.unit == TextFormat::BytePairs && format.vocabulary.empty())
    wrong("text by bytepairs needs a vocabulary");
  format.with = object.value("with", format.with);
  format.without = object.value("without", format.without);
  format.tokens = object.value("tokens", int64_t(0));
  if (format.tokens < 0 || format.tokens > INT32_MAX)
    wrong("there cannot be " + std::to_string(format.tokens) + " tokens");
  for (auto [key, token, id] : {std::tuple{"start", &format.start, &format.startId}, {"end", &format.end, &format.endId}}) {
    auto found = object.find(key);
    if (found != object.end() && found->is_number())
      *id = found->get<int64_t>();
    else
      *token = text(object, key);
  }
  format.unknown = text(object, "unknown");
  format.atMost = object.value("at_most", int64_t(0));
  return format;
}

void readQuantised(const json &object, Parameter &parameter) {
  Parameter::Quantised &quantised = parameter.quantised.emplace();
  quantised.summed = object.at("summed").get<std::vector<uint32_t>>();
  quantised.kept = object.at("kept").get<std::vector<uint32_t>>();
  quantised.columns = object.at("columns").get<int64_t>();
  quantised.group = object.at("group").get<int64_t>();
  std::set<uint32_t> axes;
  quantised.K = quantised.N = 1;
  for (auto [list, extent] : {std::pair{&quantised.summed, &quantised.K}, std::pair{&quantised.kept, &quantised.N}})
    for (uint32_t axis : *list) {
      if (axis >= parameter.shape.size() || !axes.insert(axis).second)
        wrong("the quantised form of parameter `" + parameter.name + "` names axis " + std::to_string(axis) + " wrongly");
      *extent = product(*extent, parameter.shape[axis]);
    }
  if (axes.size() != parameter.shape.size() || quantised.K < 1 || quantised.N < 1 || parameter.type != Type::F32 || quantised.columns < 1 || quantised.columns > 4096 ||
      (quantised.group != 2 && quantised.group != 4))
    wrong("the quantised form of parameter `" + parameter.name + "` does not fit it");
  product(product(quantised.N, quantised.columns), product(quantised.K, 64));
}

Parameter readParameter(const json &object) {
  std::vector<std::string> foreign;
  if (auto found = object.find("foreign"); found != object.end() && found->is_array())
    foreign = found->get<std::vector<std::string>>();
  else if (found != object.end())
    foreign = {found->get<std::string>()};
  Parameter parameter{text(object, "name"), foreign, typeOf(text(object, "type")), object.at("shape"), {}, 0, 0, {}, true};
  std::vector<bool> seen(parameter.shape.size());
  if (object.contains("layout"))
    parameter.layout = object["layout"].get<std::vector<std::vector<uint32_t>>>();
  else
    for (uint32_t axis = 0; axis < parameter.shape.size(); ++axis)
      parameter.layout.push_back({axis});
  for (const auto &group : parameter.layout)
    for (uint32_t axis : group) {
      if (axis >= seen.size() || seen[axis])
        wrong("the layout of parameter `" + parameter.name + "` names axis " + std::to_string(axis) + " wrongly");
      seen[axis] = true;
    }
  if (std::find(seen.begin(), seen.end(), false) != seen.end())
    wrong("the layout of parameter `" + parameter.name + "` lacks an axis");
  int64_t count = 1;
  for (int64_t extent : parameter.shape) {
    if (extent < 0)
      wrong("parameter `" + parameter.name + "` has a negative extent");
    count = product(count, extent);
  }
  product(count, 8);
  if (object.contains("panels")) {
    parameter.panelAxes = object["panels"].at("axes").get<uint32_t>();
    parameter.panelColumns = object["panels"].at("columns").get<int64_t>();
    if (parameter.panelAxes == 0 || parameter.panelAxes >= parameter.shape.size() || parameter.panelColumns < 1 || parameter.panelColumns > 4096)
      wrong("the panels of parameter `" + parameter.name + "` do not fit its shape");
    product(product(count, parameter.panelColumns), 8);
  }
  if (object.contains("quantised"))
    readQuantised(object["quantised"], parameter);
  return parameter;
}

Argument readArgument(const json &object, Where where) {
  Argument argument;
  std::string what = text(object, "what");
  argument.name = text(object, "name");
  auto entry = std::find_if(std::begin(whatNames), std::end(whatNames), [&](const auto &entry) { return what == entry.name; });
  if (entry == std::end(whatNames) || !(entry->where & where))
    wrong("argument `" + argument.name + "` is a `" + what + "`, which its stage does not have");
  argument.what = entry->what;
  argument.type = typeOf(text(object, "type"));
  if (object.contains("shape"))
    for (const json &extent : object["shape"])
      argument.shape.push_back(extent.is_string() ? Extent::parse(extent.get<std::string>()) : Extent::constant(extent.get<int64_t>()));
  for (const Extent &extent : argument.shape)
    if ((where == InLoad && !extent.isConstant()) || (where == InEncode && extent.mentions('t')))
      wrong("the shape of `" + argument.name + "` has sizes that its stage does not know");
  return argument;
}

// What every stage promises beyond its own spelling.
class Checker {
public:
  explicit Checker(const Table &table) : table(table) {}

  void run() {
    for (const Parameter &parameter : table.parameters)
      if (!parameters.emplace(parameter.name, &parameter).second)
        wrong("parameter `" + parameter.name + "` is listed twice");
    if (table.load)
      load();
    encode();
    step();
    for (const Trace &trace : table.traces)
      if (!traces.count(trace.name))
        wrong("no stage makes trace `" + trace.name + "`");
  }

private:
  const Table &table;
  std::map<std::string, const Parameter *> parameters;
  std::map<std::string, Type> packed, encoded, inits, traces;
  std::set<std::string> states, nexts, caches;

  void parameter(const Argument &argument) {
    auto found = parameters.find(argument.name);
    if (found == parameters.end())
      wrong("a stage reads parameter `" + argument.name + "`, which is not listed");
    bool same = found->second->type == argument.type && found->second->shape.size() == argument.shape.size();
    for (size_t axis = 0; same && axis < argument.shape.size(); ++axis)
      same = argument.shape[axis].isConstant() && argument.shape[axis].evaluate({}) == found->second->shape[axis];
    if (!same)
      wrong("parameter `" + argument.name + "` has two types or shapes");
  }

  void quantised(const Argument &argument) {
    auto found = parameters.find(argument.name);
    if (found == parameters.end() || !found->second->quantised)
      wrong("a stage reads parameter `" + argument.name + "` quantised, which is not listed so");
    const Parameter::Quantised &form = *found->second->quantised;
    std::vector<int64_t> shape{form.panels(), form.columns};
    if (argument.what == What::Quantised)
      shape = {form.panels(), form.groups(), form.columns * form.group};
    bool same = argument.type == (argument.what == What::Quantised ? Type::I8 : argument.what == What::Scales ? Type::F32 : Type::I32) && argument.shape.size() == shape.size();
    for (size_t axis = 0; same && axis < shape.size(); ++axis)
      same = argument.shape[axis].isConstant() && argument.shape[axis].evaluate({}) == shape[axis];
    if (!same)
      wrong("quantised parameter `" + argument.name + "` has two types or shapes");
  }

  void expect(bool holds, const Argument &argument, const char *sentence) {
    if (!holds)
      wrong("`" + argument.name + "` " + sentence);
  }

  static int axes(const Argument &argument, char symbol) {
    return int(std::count_if(argument.shape.begin(), argument.shape.end(), [&](const Extent &extent) { return extent.mentions(symbol); }));
  }
  static int exactAxes(const Argument &argument, char symbol) {
    return int(std::count_if(argument.shape.begin(), argument.shape.end(), [&](const Extent &extent) { return extent.isSymbol(symbol); }));
  }

  // At most one axis runs over hypotheses, and it is exactly `b`, so that the search can move rows.
  void rows(const Argument &argument) {
    expect(axes(argument, 'b') == exactAxes(argument, 'b') && axes(argument, 'b') <= 1, argument, "has more than a plain axis `b`");
  }

  void load() {
    for (const Argument &argument : table.load->arguments) {
      if (argument.what == What::Parameter)
        parameter(argument);
      else if (isQuantised(argument.what))
        quantised(argument);
      else
        expect(packed.emplace(argument.name, argument.type).second, argument, "is packed twice");
    }
  }

  void encode() {
    for (const Argument &argument : table.encode.arguments) {
      switch (argument.what) {
      case What::Parameter: parameter(argument); break;
      case What::Quantised:
      case What::Scales:
      case What::Sums: quantised(argument); break;
      case What::Tokens:
        expect(argument.type == Type::I32 && argument.shape.size() == 2 && argument.shape[0].isSymbol('b') && argument.shape[1].isSymbol('i'), argument,
               "must be i32[b,i]");
        encoded.emplace(argument.name, argument.type);
        break;
      case What::Length:
        expect(argument.type == Type::I32 && argument.shape.size() == 1 && argument.shape[0].isSymbol('b'), argument, "must be i32[b]");
        encoded.emplace(argument.name, argument.type);
        break;
      case What::Init:
        rows(argument);
        expect(inits.emplace(argument.name, argument.type).second, argument, "is initialised twice");
        break;
      case What::Encoded: expect(encoded.emplace(argument.name, argument.type).second, argument, "is encoded twice"); break;
      default: {
        auto [known, isNew] = packed.emplace(argument.name, argument.type);
        expect(isNew || known->second == argument.type, argument, "changes its type");
      }
      }
    }
  }

  void step() {
    int logits = 0;
    std::map<std::string, const Argument *> stateArguments;
    for (const Argument &argument : table.step.arguments) {
      switch (argument.what) {
      case What::Parameter: parameter(argument); break;
      case What::Quantised:
      case What::Scales:
      case What::Sums: quantised(argument); break;
      case What::Packed:
        expect(packed.count(argument.name) && packed[argument.name] == argument.type, argument, "is packed by no stage before");
        break;
      case What::Encoded:
        expect(encoded.count(argument.name) && encoded[argument.name] == argument.type, argument, "is not what encode makes");
        break;
      case What::Tokens:
      case What::Map:
        expect(argument.type == Type::I32 && argument.shape.size() == 1 && argument.shape[0].isSymbol('b'), argument, "must be i32[b]");
        break;
      case What::Position: expect(argument.type == Type::I32 && argument.shape.empty(), argument, "must be an i32"); break;
      case What::State:
        rows(argument);
        expect(states.insert(argument.name).second, argument, "is listed twice");
        stateArguments[argument.name] = &argument;
        break;
      case What::Next: expect(nexts.insert(argument.name).second, argument, "is listed twice"); break;
      case What::Cache:
        rows(argument);
        expect(axes(argument, 't') == 1 && exactAxes(argument, 't') == 1, argument, "must grow along one axis `t`");
        expect(caches.insert(argument.name).second, argument, "is listed twice");
        break;
      case What::Logits:
        expect(argument.type == Type::F32 && argument.shape.size() == 2 && argument.shape[0].isSymbol('b') && argument.shape[1].isConstant(), argument,
               "must be f32[b,V]");
        ++logits;
        break;
      default:
        rows(argument);
        expect(argument.type == Type::F32 && !argument.shape.empty() && argument.shape[0].isSymbol('b'), argument, "must be f32[b,...]");
        expect(traces.emplace(argument.name, argument.type).second, argument, "is listed twice");
      }
    }
    if (logits != 1)
      wrong("step must have logits, once");
    for (const Argument &argument : table.step.arguments)
      if (argument.what == What::Next) {
        auto state = stateArguments.find(argument.name);
        expect(state != stateArguments.end(), argument, "is the next value of no state");
        bool same = state->second->type == argument.type && state->second->shape.size() == argument.shape.size();
        for (size_t axis = 0; same && axis < argument.shape.size(); ++axis)
          same = argument.shape[axis].text() == state->second->shape[axis].text();
        expect(same, argument, "differs from its state in type or shape");
      }
    for (const auto &[name, type] : inits)
      if (!stateArguments.count(name) || stateArguments[name]->type != type)
        wrong("`" + name + "` initialises no state");
  }
};

}  // namespace

size_t bytesOf(Type type) { return typeNames[size_t(type)].bytes; }
const char *nameOf(Type type) { return typeNames[size_t(type)].name; }

const File *Table::file(std::string_view name) const {
  auto found = std::find_if(files.begin(), files.end(), [&](const File &file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

static std::vector<Parameter> parametersOf(const json &root) {
  std::vector<Parameter> parameters;
  for (const json &parameter : root.value("parameters", json::array()))
    parameters.push_back(readParameter(parameter));
  // What is quantised is read as it is only by a stage that says so.
  std::set<std::string> plain;
  for (const json &stage : root.value("stages", json::array()))
    for (const json &argument : stage.value("arguments", json::array()))
      if (text(argument, "what") == "parameter")
        plain.insert(text(argument, "name"));
  for (Parameter &parameter : parameters)
    parameter.plain = !parameter.quantised || plain.count(parameter.name);
  return parameters;
}

std::vector<Parameter> readParameters(std::string_view text) { return parametersOf(json::parse(text)); }

std::pair<TextFormat, TextFormat> readFormats(std::string_view text) {
  const json root = json::parse(text);
  return {readFormat(root.at("reads")), readFormat(root.at("writes"))};
}

Table readTable(const fovea_model &model) {
  if (model.abi != FOVEA_MODEL_ABI)
    wrong("it is of version " + std::to_string(model.abi) + ", this runtime of version " + std::to_string(FOVEA_MODEL_ABI));
  try {
    json root = json::parse(model.json, model.json + model.json_length);
    if (root.at("abi") != FOVEA_MODEL_ABI)
      wrong("its text is of another version than itself");
    Table table;
    table.name = text(root, "name");
    table.compiler = text(root, "compiler");
    table.reads = readFormat(root.at("reads"));
    table.writes = readFormat(root.at("writes"));
    table.weights = text(root, "weights");
    table.setThreads = model.set_threads;
    table.lastError = model.last_error;
    table.startProfile = model.profile;
    table.device = model.device;
    for (const json &operation : root.value("operations", json::array()))
      table.operations.push_back({text(operation, "stage"), text(operation, "place"), text(operation, "what")});
    if (table.writes.start.empty() && table.writes.startId < 0)
      wrong("`writes` has no start token");
    if (table.writes.atMost <= 0)
      table.writes.atMost = 256;
    size_t index = 0;
    for (const json &file : root.value("files", json::array()))
      table.files.push_back({text(file, "name"), {reinterpret_cast<const char *>(model.files[index++]), file.at("bytes").get<size_t>()}});
    table.parameters = parametersOf(root);
    for (const json &trace : root.value("traces", json::array()))
      table.traces.push_back({text(trace, "name"), trace.value("grid", std::vector<int64_t>())});
    const json &stages = root.at("stages");
    if (stages.size() != model.stage_count)
      wrong("it lists " + std::to_string(stages.size()) + " stages and has " + std::to_string(model.stage_count));
    bool encode = false, step = false;
    for (index = 0; index < stages.size(); ++index) {
      std::string name = text(stages[index], "name");
      Where where = name == "load" ? InLoad : name == "encode" ? InEncode : InStep;
      if (where == InStep && name != "step")
        wrong("no stage is called `" + name + "`");
      Stage stage{model.stages[index], {}};
      for (const json &argument : stages[index].at("arguments"))
        stage.arguments.push_back(readArgument(argument, where));
      if (!stage.function)
        wrong("stage `" + name + "` has no code");
      if (where == InLoad ? table.load.has_value() : where == InEncode ? encode : step)
        wrong("stage `" + name + "` is listed twice");
      encode |= where == InEncode;
      step |= where == InStep;
      if (where == InLoad)
        table.load = std::move(stage);
      else
        (where == InEncode ? table.encode : table.step) = std::move(stage);
    }
    if (!encode || !step)
      wrong("it lacks a stage");
    Checker(table).run();
    return table;
  } catch (const json::exception &error) {
    wrong(error.what());
  } catch (const Error &error) {
    wrong(error.what());
  }
}

}  // namespace fovea::program
