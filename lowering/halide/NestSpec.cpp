#include "lowering/halide/NestSpec.h"

#include "lowering/halide/ContentHash.h"
#include "lowering/halide/DeviceTarget.h"
#include "lowering/halide/NestPlan.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

namespace fovea::leaf {
namespace {

using Json = nlohmann::ordered_json;

const char *const storedNames[] = {"f32", "f16", "bf16", "i32", "i64", "i8", "bool"};

NestSpec::Stored storedFrom(const Json &j) {
  auto it = std::find(std::begin(storedNames), std::end(storedNames), j.get<std::string>());
  if (it == std::end(storedNames)) throw std::invalid_argument("there is no type " + j.dump());
  return NestSpec::Stored(it - std::begin(storedNames));
}

Json realJson(double real) {
  if (real != real) return "nan";
  if (real == std::numeric_limits<double>::infinity()) return "inf";
  if (real == -std::numeric_limits<double>::infinity()) return "-inf";
  return real;
}

double realFrom(const Json &j) {
  if (!j.is_string()) return j.get<double>();
  const double inf = std::numeric_limits<double>::infinity();
  return j == "inf" ? inf : j == "-inf" ? -inf : std::numeric_limits<double>::quiet_NaN();
}

const std::pair<const char *, int NestSpec::Attend::*> attendNumbers[] = {
    {"row", &NestSpec::Attend::row}, {"key", &NestSpec::Attend::key}, {"contracted", &NestSpec::Attend::contracted}, {"along", &NestSpec::Attend::along}, {"part", &NestSpec::Attend::part},
    {"query_element", &NestSpec::Attend::queryElement}, {"key_element", &NestSpec::Attend::keyElement}, {"value_element", &NestSpec::Attend::valueElement},
    {"score", &NestSpec::Attend::score}, {"keep", &NestSpec::Attend::keep}, {"queries", &NestSpec::Attend::queries}, {"keys", &NestSpec::Attend::keys},
    {"columns", &NestSpec::Attend::columns}, {"depth", &NestSpec::Attend::depth}, {"threads_across", &NestSpec::Attend::threadsAcross},
    {"threads_down", &NestSpec::Attend::threadsDown}};

const std::pair<const char *, int NestSpec::Tiles::*> tileNumbers[] = {
    {"rows", &NestSpec::Tiles::rows}, {"columns", &NestSpec::Tiles::columns}, {"depth", &NestSpec::Tiles::depth}, {"threads_across", &NestSpec::Tiles::threadsAcross},
    {"threads_down", &NestSpec::Tiles::threadsDown}};

Json contentJson(const NestSpec &s) {
  Json j;
  j["kind"] = "nest";
  j["target"] = s.target;
  j["reduced"] = s.reduced;
  j["scalars"] = Json::array();
  for (NestSpec::Stored type : s.scalars) j["scalars"].push_back(storedNames[type]);
  j["buffers"] = Json::array();
  for (const NestSpec::Buffer &b : s.buffers) j["buffers"].push_back({{"type", storedNames[b.type]}, {"rank", b.rank}, {"dense", b.dense}});
  j["steps"] = Json::array();
  for (const NestSpec::Step &step : s.steps) {
    Json line = Json::array({step.op, step.args});
    if (step.op == "f32") line.push_back(realJson(step.real));
    else if (step.integer) line.push_back(step.integer);
    j["steps"].push_back(line);
  }
  j["axes"] = s.axes;
  j["outputs"] = Json::array();
  for (const NestSpec::Output &o : s.outputs) j["outputs"].push_back(o.initial < 0 ? Json::array({o.buffer, o.value}) : Json::array({o.buffer, o.value, o.initial}));
  if (s.attend) {
    Json a;
    for (auto [key, member] : attendNumbers) a[key] = (*s.attend).*member;
    a["pointwise"] = s.attend->pointwise;
    a["unroll"] = s.attend->unroll;
    a["sinks"] = s.attend->sinks;
    j["attend"] = a;
  }
  if (s.merge) j["merge"] = {{"part", s.merge->part}, {"along", s.merge->along}, {"state", s.merge->state}, {"at", s.merge->at}, {"pointwise", s.merge->pointwise}};
  if (s.tiles) {
    Json t = {{"down", s.tiles->down}, {"across", s.tiles->across}};
    for (auto [key, member] : tileNumbers) t[key] = (*s.tiles).*member;
    t["unroll"] = s.tiles->unroll;
    j["tiles"] = t;
  }
  if (s.groups) j["groups"] = {{"threads", s.groups->threads}, {"points", s.groups->points}, {"together", s.groups->together}};
  return j;
}

// How many arguments the operations have by which a nest is planned; -1 of others.
int operands(const std::string &op) {
  if (op == "select") return 3;
  for (const char *two : {"cmp", "add", "sub", "mul", "max", "min", "andi", "ori"})
    if (op.rfind(two, 0) == 0) return 2;
  return op == "absf" || op == "tanh" || op == "sqrt" || op == "erf" ? 1 : -1;
}

}  // namespace

bool readsBefore(const NestSpec &spec, int n) {
  return std::any_of(spec.steps.begin(), spec.steps.end(), [&](const NestSpec::Step &step) { return step.op == "before" && step.integer == n; });
}

std::vector<NestArgument> arguments(const NestSpec &spec) {
  std::vector<NestArgument> list = {{NestArgument::Points}};
  for (size_t n = 0; n < spec.reduced.size(); n++) list.push_back({NestArgument::Extent, int(n)});
  for (size_t n = 0; n < spec.scalars.size(); n++) list.push_back({NestArgument::Scalar, int(n)});
  for (size_t n = 0; n < spec.buffers.size(); n++) {
    list.push_back({NestArgument::Offset, int(n)});
    for (int axis = 0; axis < spec.buffers[n].rank - spec.buffers[n].dense; axis++) list.push_back({NestArgument::Stride, int(n), axis});
    list.push_back({NestArgument::Buffer, int(n)});
  }
  for (size_t n = 0; n < spec.outputs.size(); n++) list.push_back({NestArgument::Written, int(n)});
  return list;
}

std::string check(const NestSpec &s) {
  auto number = [](const char *what, int64_t n) { return std::string("there is no ") + what + " " + std::to_string(n); };
  auto within = [](int64_t n, size_t count) { return n >= 0 && size_t(n) < count; };
  if (!findDevice(s.target)) return "a nest is for `opencl` or `cuda`, not `" + s.target + "`";
  if (s.name.empty() || s.name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) return "`name` is not a C identifier: \"" + s.name + "\"";
  if (s.outputs.empty()) return "a nest has an output";
  for (const NestSpec::Buffer &b : s.buffers)
    if (b.rank < 0 || b.rank > 32) return "a buffer has 0 to 32 axes";
  for (size_t n = 0; n < s.steps.size(); n++) {
    const NestSpec::Step &step = s.steps[n];
    for (int a : step.args)
      if (!within(a, n)) return number("step before", a);
    if (int count = operands(step.op); count >= 0 && step.args.size() != size_t(count)) return "`" + step.op + "` has " + std::to_string(count) + " arguments";
    if (step.op == "loop" && !within(step.integer, s.reduced.size())) return number("loop", step.integer);
    if (step.op == "scalar" && !within(step.integer, s.scalars.size())) return number("scalar", step.integer);
    if (step.op == "before" && !within(step.integer, s.outputs.size())) return number("output", step.integer);
    if (step.op == "load" && !within(step.integer, s.buffers.size())) return number("buffer", step.integer);
    if (step.op == "load" && step.args.size() != size_t(s.buffers[step.integer].rank)) return "a load has a position for each axis";
  }
  for (size_t n = 0; n < s.axes.size(); n++)
    if (!within(s.axes[n], s.reduced.size()) || s.reduced[s.axes[n]] || std::count(s.axes.begin(), s.axes.end(), s.axes[n]) != 1) return "an output's axes are different parallel loops";
  if (s.axes.size() != size_t(std::count(s.reduced.begin(), s.reduced.end(), false))) return "every parallel loop is an axis of the outputs";
  for (const NestSpec::Output &o : s.outputs) {
    if (!within(o.buffer, s.buffers.size())) return number("buffer", o.buffer);
    if (!within(o.value, s.steps.size())) return number("step", o.value);
    if (o.initial != -1 && !within(o.initial, s.steps.size())) return number("step", o.initial);
    static const std::set<std::string> constants = {"f32", "i32", "i64", "i8", "bool"};
    if (o.initial >= 0 && !constants.count(s.steps[o.initial].op)) return "what an output's folding begins with is a constant";
    if (s.buffers[o.buffer].rank != int(s.axes.size())) return "an output has as many axes as its buffer";
  }
  if (s.merge) {
    const NestSpec::Merge &m = *s.merge;
    if (!within(m.part, s.reduced.size()) || !within(m.along, s.reduced.size())) return number("loop", within(m.part, s.reduced.size()) ? m.along : m.part);
    if (!within(m.state, s.buffers.size())) return number("buffer", m.state);
    for (int n : m.at)
      if (!within(n, s.steps.size())) return number("step", n);
    if (s.buffers[m.state].type != NestSpec::F32 || s.buffers[m.state].rank != int(m.at.size()) + 2) return "the states of parts are f32, with a position along each axis";
    if (!s.reduced[m.part] || std::count(s.reduced.begin(), s.reduced.end(), true) != 1 || s.outputs.size() != 1 || s.attend) return "a merge reduces its parts alone, to one output";
    return {};
  }
  if ((s.tiles || s.groups) && s.reduced.size() > 63) return "a nest in tiles or groups has 63 loops at most";
  if (s.tiles) {
    const NestSpec::Tiles &t = *s.tiles;
    if (s.attend || s.outputs.size() != 1 || !std::count(s.reduced.begin(), s.reduced.end(), true)) return "tiles are of one output that is reduced";
    std::vector<int> sides = t.down;
    sides.insert(sides.end(), t.across.begin(), t.across.end());
    for (int loop : sides)
      if (!within(loop, s.reduced.size()) || s.reduced[loop] || std::count(sides.begin(), sides.end(), loop) != 1) return "a tile's sides are different parallel loops";
    for (int size : {t.rows, t.columns, t.depth, t.threadsAcross, t.threadsDown})
      if (size < 1 || size > 1024) return "a tile's sizes are 1 to 1024";
    if (t.threadsAcross * t.threadsDown > 1024 || t.rows % t.threadsDown || t.columns % t.threadsAcross) return "a tile's threads, 1024 at most, divide its rows and columns";
  }
  if (s.groups) {
    const NestSpec::Groups &g = *s.groups;
    if (s.attend || s.tiles || !foldsOf(s)) return "several threads fold a reduction whose outputs are each folded by one sum, product, maximum, minimum, `andi` or `ori` of what has been folded";
    if (g.threads < 4 || g.threads > 32 || g.threads % 4 || g.points < 1 || g.threads * g.points > 1024) return "4 to 32 threads, a multiple of 4, fold a point, and a block has 1024 at most";
  }
  if (!s.attend) return {};
  const NestSpec::Attend &a = *s.attend;
  for (int loop : {a.key, a.contracted, a.along})
    if (!within(loop, s.reduced.size())) return number("loop", loop);
  if (a.row != -1 && !within(a.row, s.reduced.size())) return number("loop", a.row);
  for (size_t n = 0; n < s.reduced.size(); n++)
    if (s.reduced[n] != (int(n) == a.key || int(n) == a.contracted)) return "an attend reduces its keys and what is contracted, and nothing else";
  std::vector<int> steps = a.sinks;
  steps.insert(steps.end(), {a.queryElement, a.keyElement, a.valueElement, a.score, a.keep});
  for (int n : steps)
    if (!within(n, s.steps.size())) return number("step", n);
  for (int size : {a.queries, a.keys, a.columns, a.depth, a.threadsAcross, a.threadsDown})
    if (size < 1 || size > 1024) return "a block's sizes are 1 to 1024";
  if (a.threadsAcross * a.threadsDown > 1024 || a.queries % a.threadsDown || a.keys % a.threadsAcross || a.columns % a.threadsAcross) return "a block's threads, 1024 at most, divide its rows, keys and columns";
  if (s.outputs.size() != 1) return "an attend has one output";
  if (a.part != -1 && (!within(a.part, s.reduced.size()) || s.reduced[a.part] || a.part == a.row || a.part == a.along)) return "an attend's part is a parallel loop of its own";
  if (a.part != -1 && s.buffers[s.outputs[0].buffer].type != NestSpec::F32) return "the states of parts are f32";
  return {};
}

std::string toJson(const NestSpec &s) {
  Json j = contentJson(s);
  j["name"] = s.name;
  return j.dump();
}

bool isNest(std::string_view text) {
  Json j = Json::parse(text, nullptr, false);
  return j.is_object() && j.contains("kind") && j["kind"] == "nest";
}

std::optional<NestSpec> nestFromJson(std::string_view text, std::string &error) {
  try {
    const Json j = Json::parse(text);
    NestSpec s;
    s.name = j.at("name").get<std::string>();
    s.target = j.at("target").get<std::string>();
    s.reduced = j.at("reduced").get<std::vector<bool>>();
    for (const Json &type : j.at("scalars")) s.scalars.push_back(storedFrom(type));
    for (const Json &b : j.at("buffers")) s.buffers.push_back({storedFrom(b.at("type")), b.at("rank").get<int>(), b.at("dense").get<bool>()});
    for (const Json &line : j.at("steps")) {
      NestSpec::Step step{line.at(0).get<std::string>(), line.at(1).get<std::vector<int>>()};
      if (line.size() > 2 && step.op == "f32") step.real = realFrom(line.at(2));
      else if (line.size() > 2) step.integer = line.at(2).get<int64_t>();
      s.steps.push_back(step);
    }
    s.axes = j.at("axes").get<std::vector<int>>();
    for (const Json &o : j.at("outputs")) s.outputs.push_back({o.at(0).get<int>(), o.at(1).get<int>(), o.size() > 2 ? o.at(2).get<int>() : -1});
    if (j.contains("attend")) {
      NestSpec::Attend a;
      for (auto [key, member] : attendNumbers) a.*member = j["attend"].at(key).get<int>();
      a.pointwise = j["attend"].at("pointwise").get<bool>();
      a.unroll = j["attend"].at("unroll").get<bool>();
      a.sinks = j["attend"].at("sinks").get<std::vector<int>>();
      s.attend = a;
    }
    if (j.contains("merge")) {
      const Json &m = j["merge"];
      s.merge = NestSpec::Merge{m.at("part").get<int>(), m.at("along").get<int>(), m.at("state").get<int>(), m.at("at").get<std::vector<int>>(), m.at("pointwise").get<bool>()};
    }
    if (j.contains("tiles")) {
      const Json &given = j["tiles"];
      NestSpec::Tiles t;
      t.down = given.at("down").get<std::vector<int>>(), t.across = given.at("across").get<std::vector<int>>();
      for (auto [key, member] : tileNumbers) t.*member = given.at(key).get<int>();
      t.unroll = given.at("unroll").get<bool>();
      s.tiles = t;
    }
    if (j.contains("groups")) s.groups = NestSpec::Groups{j["groups"].at("threads").get<int>(), j["groups"].at("points").get<int>(), j["groups"].at("together").get<bool>()};
    error = check(s);
    if (error.empty()) return s;
  } catch (const std::exception &e) {
    error = e.what();
  }
  return std::nullopt;
}

std::string contentHash(const NestSpec &s) { return contentHash(contentJson(s).dump()); }

}  // namespace fovea::leaf
