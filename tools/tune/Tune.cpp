#include "tools/tune/Tune.h"

#include "frontend/Frontend.h"
#include "runtime/support/File.h"
#include "runtime/support/Progress.h"
#include "tools/tune/Race.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>

namespace fovea {
namespace {

using namespace tune;

int complain(const std::string &message, int status = 1) {
  fmt::print(stderr, "{}{}\n", message.find("error: ") == std::string::npos ? "fovea: error: " : "", message);
  if (status == 3) fmt::print(stderr, "fovea: this is a bug of Fovea; please report it with the program\n");
  return status;
}

// The version of a specialised kernel (rule K5) that these extents take: the others need not be compiled.
core::Function specialisedFor(core::Function kernel, const std::vector<int64_t> &extents) {
  for (core::IndexId i = 0; i < kernel.indices.size(); i++) {
    core::Index &index = kernel.indices[i];
    bool listed = std::find(index.choices.begin(), index.choices.end(), extents[i]) != index.choices.end();
    if (listed)
      for (core::Index &other : kernel.indices)
        if (other.extentClass == index.extentClass) other.fixed = extents[i];
    if (listed || !index.choicesOnly) index.choices.clear(), index.choicesOnly = false;
  }
  return kernel;
}

// The row of Targets.def that is compiled for; null, with `error`, where this machine does not run it.
const leaf::TargetInfo *runnableTarget(const std::string &name, std::string &error) {
  std::vector<std::string> has = leaf::hostFeatures();
  const leaf::TargetInfo *target = name == "host" ? leaf::bestTarget(has) : leaf::findTarget(name);
  if (!target) return error = "this machine runs none of the targets that schedules are for", nullptr;
  std::istringstream needs(target->needs);
  for (std::string flag; needs >> flag;)
    if (std::find(has.begin(), has.end(), flag) == has.end()) return error = fmt::format("this machine does not run target `{}` (it lacks {}), so schedules for it cannot be measured here", target->name, flag), nullptr;
  return target;
}

// Attentions that are alike are given one schedule: their numbers.
std::vector<std::vector<size_t>> alike(const std::vector<Attend> &attends, const std::vector<int64_t> &rows) {
  auto key = [&](size_t k) {
    auto tiles = [](const Attend::Tiles &t) { return fmt::format("{} {} {} {};", t.queries, t.keys, t.panel, t.packed); };
    const Attend &a = attends[k];
    return fmt::format("{} {} {} {} {} {} {} {} {}", rows[k], a.pointwise, tiles(a.many), tiles(a.few), a.fewRows, a.grouped ? tiles(*a.grouped) : "", a.groupedRows, a.registers ? tiles(*a.registers) : "", a.hasRows);
  };
  std::vector<std::vector<size_t>> groups;
  for (size_t k = 0; k < attends.size(); k++) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto &g) { return key(g[0]) == key(k); });
    if (group == groups.end()) groups.push_back({k});
    else group->push_back(k);
  }
  return groups;
}

class Tuner {
 public:
  Tuner(const core::Function &kernel, const std::vector<std::string> &files, const Arguments &arguments, const std::vector<int64_t> &extents, const leaf::TargetInfo &target,
        const TuneOptions &options)
      : kernel(kernel), target(target), compile{options.target}, began(Race::Clock::now()),
        race(kernel, files, arguments, compile, target.name, options.threads, began + std::chrono::seconds(options.seconds)), files(files), extents(extents) {}

  // 0, or the exit code after a message.
  int search() {
    std::string error;
    if (int status = readAttends()) return status;
    Plan none(attends.size());
    now = race.add(none, /*asItIs=*/true);
    if (!race.prepare({now}, error)) return complain(error, 1);  // the kernel refuses its inputs
    best = now;
    Plan plan = none;
    for (const auto &group : alike(attends, rows)) {
      if (race.over()) break;
      if (!searchGroup(group, plan, error)) return complain(error, 3);
    }
    duel();
    return 0;
  }

  // Whether something is faster than the program as it is, by more than noise.
  bool found() const { return best != now && gain > 1 + noise; }
  double ratio() const { return gain; }
  const Plan &plan() const { return best->plan; }

  void printTable() const {
    std::vector<const Candidate *> list;
    for (const Candidate &c : race.all())
      if (!c.samples.empty()) list.push_back(&c);
    fmt::print(stderr, "{} on {}, {}: {} tried in {:.0f} s\n", kernel.name, target.name, shapes(), several(list.size(), "schedule"),
               std::chrono::duration<double>(Race::Clock::now() - began).count());
    fmt::print(stderr, "        ms   faster  estimate  schedule\n");
    std::stable_sort(list.begin(), list.end(), [](const Candidate *a, const Candidate *b) { return a->best() < b->best(); });
    const std::optional<double> own = estimateOf(Plan(attends.size()));
    for (const Candidate *c : list) {
      std::optional<double> one = c->asItIs && !kernel.schedules.empty() ? std::nullopt : estimateOf(c->plan);
      fmt::print(stderr, "{:10.4f}   {:6.2f}  {:>8}  {}\n", c->best(), now->best() / c->best(), own && one ? fmt::format("{:.2f}", *own / *one) : "", line(*c));
    }
    if (found()) fmt::print(stderr, "best: {:.2f} times as fast as the program as it is (noise {:.1f} %)\n", gain, 100 * noise);
    else fmt::print(stderr, "nothing is faster than the program as it is by more than the noise ({:.1f} %)\n", 100 * noise);
  }

  // "b=1, h=8, i=512"
  std::string shapes() const {
    std::string text;
    for (size_t i = 0; i < kernel.indices.size(); i++)
      if (extents[i] >= 0) text += fmt::format("{}{}={}", text.empty() ? "" : ", ", kernel.indices[i].name, extents[i]);
    return text.empty() ? "no axes" : text;
  }

 private:
  static std::string several(size_t n, const std::string &what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

  std::string line(const Candidate &c) const {
    if (c.asItIs) return kernel.schedules.empty() ? "as the compiler chooses" : "as the program says";
    std::string text;
    for (size_t k = 0; k < c.plan.size(); k++)
      if (c.plan.size() == 1) text = words(c.plan[k]);
      else if (!c.plan[k].empty()) text += fmt::format("{}attend {} {{ {} }}", text.empty() ? "" : " ", k + 1, words(c.plan[k]));
    return text.empty() ? words({}) : text;
  }

  int readAttends() {
    core::Function plain = kernel;
    plain.schedules.clear();
    CompileOptions options = compile;
    options.form = Form::Schedule;
    Compiled compiled;
    std::string error;
    bool internal = false;
    if (!compileKernels({&plain}, files, options, compiled, error, internal)) return complain(error, internal ? 3 : 1);
    attends = compiled.decisions.attends;
    if (attends.empty()) return complain(fmt::format("`{}` has no fused attention, so it has no schedule to tune (`fovea explain` says how it is computed)", kernel.name));
    for (const Attend &a : attends) rows.push_back(a.hasRows ? extentOf(a.rows) : -1), calls.push_back(shapeOf(a, rows.back()));
    return 0;
  }

  // What the input has along an axis of an argument; -1: not known.
  int64_t extentOf(const Attend::Axis &place) const {
    if (!place) return -1;
    auto [argument, axis] = *place;
    size_t parameters = kernel.parameters.size();
    if (argument >= parameters) return argument - parameters < kernel.results.size() ? extents[kernel.results[argument - parameters].axes[axis]] : -1;
    return extents[kernel.tensors[kernel.parameters[argument].id].axes[axis]];
  }

  // The shape of a call on the input, as far as it can be told.
  std::optional<cost::Shape> shapeOf(const Attend &a, int64_t rowsOfIt) const {
    int64_t keys = extentOf(a.keys), features = extentOf(a.features), columns = extentOf(a.columns), batch = 1;
    for (const Attend::Axis &axis : a.batch) batch = std::max<int64_t>(0, extentOf(axis)) * batch;
    if (keys < 0 || batch <= 0 || (a.hasRows && rowsOfIt < 0)) return {};
    cost::Asked asked = a.asked;
    if (features >= 0) asked.features = features;
    if (columns >= 0) asked.columns = columns;
    return cost::shapeOf(asked, a.hasRows ? rowsOfIt : 1, keys, std::max<int64_t>(1, batch / asked.heads));
  }

  // Cycles of all attentions under a plan.
  std::optional<double> estimateOf(const Plan &plan) const {
    double sum = 0;
    for (size_t k = 0; k < attends.size(); k++) {
      std::optional<double> one = calls[k] ? estimated(attends[k], *calls[k], plan[k], target) : std::nullopt;
      if (!one) return {};
      sum += *one;
    }
    return sum;
  }

  // The best of `plans` and of what was best before, which it becomes. The cheapest by the estimates are compiled first.
  bool tryOut(const std::vector<Plan> &plans, const std::string &what, std::string &error) {
    Progress progress(fmt::format("fovea tune: {}", what));
    std::vector<Plan> ordered = plans;
    std::stable_sort(ordered.begin(), ordered.end(), [&](const Plan &a, const Plan &b) { return estimateOf(a).value_or(0) < estimateOf(b).value_or(0); });
    std::vector<Candidate *> list{best};
    for (const Plan &plan : ordered)
      if (Candidate *c = race.add(plan); std::find(list.begin(), list.end(), c) == list.end()) list.push_back(c);
    if (!race.prepare(list, error)) return false;
    if (Candidate *c = race.fastest(list)) best = c;
    return true;
  }

  // Ways first, then the sizes of the best two, one at a time, then sizes together.
  bool searchGroup(const std::vector<size_t> &group, Plan &plan, std::string &error) {
    auto with = [&](const Settings &settings) {
      Plan changed = plan;
      for (size_t k : group) changed[k] = settings;
      return changed;
    };
    std::vector<Route> ways = routes(attends[group[0]], rows[group[0]], target);
    std::vector<Plan> plans;
    for (const Route &way : ways) plans.push_back(with(way.settings));
    std::string what = attends.size() == group.size() ? "" : fmt::format("attention {}, ", group[0] + 1);
    if (!tryOut(plans, what + "ways", error)) return false;
    auto time = [&](const Route &way) { return race.add(with(way.settings))->best(); };
    std::stable_sort(ways.begin(), ways.end(), [&](const Route &a, const Route &b) { return time(a) < time(b); });
    while (ways.size() > 1 && (ways.size() > 2 || time(ways.back()) > 2 * time(ways[0]))) ways.pop_back();  // no tile makes up for that
    for (const Route &way : ways) {
      if (race.over()) break;
      if (!searchSizes(way, with, what, error)) return false;
    }
    plan = best->asItIs ? Plan(attends.size()) : best->plan;
    return true;
  }

  template <typename With>
  bool searchSizes(const Route &way, With with, const std::string &what, std::string &error) {
    const std::pair<const char *, const std::vector<int64_t> *> dimensions[] = {{"keys", &way.keys}, {"queries", &way.queries}, {"panel", &way.panels}};
    std::vector<Plan> plans;
    for (const auto &[key, sizes] : dimensions)
      for (int64_t size : *sizes) plans.push_back(with(way.with(key, size)));
    std::string tile = what + "tiles" + (way.version.empty() ? "" : " of `" + way.version + "`");
    if (!tryOut(plans, tile, error)) return false;
    // The two best sizes of each, together.
    std::vector<std::vector<int64_t>> good;
    for (const auto &[key, sizes] : dimensions) {
      std::vector<int64_t> order = *sizes;
      auto time = [&, key = key](int64_t size) { return race.add(with(way.with(key, size)))->best(); };
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return time(a) < time(b); });
      order.resize(std::min<size_t>(order.size(), 2));
      good.push_back(order);
    }
    plans.clear();
    for (int64_t keys : good[0])
      for (int64_t queries : good[1])
        for (int64_t panel : good[2]) {
          if (keys % panel) continue;
          Settings settings = way.settings;
          for (const auto &[key, size] : {std::pair<const char *, int64_t>("keys", keys), {"queries", queries}, {"panel", panel}})
            for (const auto &[path, value] : way.with(key, size)) settings[path] = value;
          plans.push_back(with(settings));
        }
    return race.over() || tryOut(plans, tile + " together", error);
  }

  // The best against the program as it is, in turns and often; the program twice, which tells what noise is.
  void duel() {
    Progress progress("fovea tune: the best against the program as it is");
    std::vector<double> a, b, c;
    auto until = Race::Clock::now() + std::chrono::seconds(2);
    auto once = [&](Candidate *candidate, std::vector<double> &times) {
      race.sample({candidate});
      times.push_back(candidate->samples.back());
    };
    for (int k = 0; k < 5 || (k < 200 && Race::Clock::now() < until); k++) once(now, a), once(best, c), once(now, b);
    auto least = [](const std::vector<double> &v) { return *std::min_element(v.begin(), v.end()); };
    auto middle = [](std::vector<double> v) { return std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end()), v[v.size() / 2]; };
    double slow = std::max(least(a), least(b)), fast = std::min(least(a), least(b));
    noise = std::max(0.02, 2 * (slow / fast - 1));
    gain = std::min(fast / least(c), std::min(middle(a), middle(b)) / middle(c));
  }

  const core::Function &kernel;
  const leaf::TargetInfo &target;
  CompileOptions compile;
  Race::Clock::time_point began;
  Race race;
  const std::vector<std::string> &files;
  const std::vector<int64_t> &extents;
  std::vector<Attend> attends;
  std::vector<int64_t> rows;      // of each, -1: not known
  std::vector<std::optional<cost::Shape>> calls;
  Candidate *now = nullptr;       // the program as it is
  Candidate *best = nullptr;
  double gain = 1, noise = 0;
};

// The block that says a plan. The compiler's own choice needs none, but where there is a schedule for `cpu` that it must stand against.
std::string block(const core::Function &kernel, const std::string &target, const Plan &plan, const std::string &why) {
  bool general = std::any_of(kernel.schedules.begin(), kernel.schedules.end(), [](const core::Schedule &s) { return s.target == "cpu"; });
  if (!general && std::all_of(plan.begin(), plan.end(), [](const Settings &s) { return s.empty(); })) return "";
  bool same = std::all_of(plan.begin(), plan.end(), [&](const Settings &s) { return s == plan[0]; });
  std::string text = fmt::format("schedule {} for {} {{  // {}\n", kernel.name, target, why);
  for (size_t k = 0; k < (same ? 1 : plan.size()); k++)
    if (!plan[k].empty()) text += same ? fmt::format("  {}\n", words(plan[k])) : fmt::format("  attend {} {{ {} }}\n", k + 1, words(plan[k]));
  return text + "}";
}

// The program with that block in place of the one it has for this kernel and target, or at its end.
std::string withBlock(SourceManager &sources, const std::string &kernel, const std::string &target, const std::string &block) {
  Diagnostics diagnostics(sources);
  auto tree = parse(0, sources, diagnostics);
  std::string text(sources.text(0));
  for (const ast::Schedule &s : tree->schedules)
    if (s.kernel.text() == kernel && sources.text(s.target) == target) return text.replace(s.range.begin, s.range.end - s.range.begin, block);
  if (block.empty()) return text;
  return text + (text.empty() || text.back() == '\n' ? "" : "\n") + "\n" + block + "\n";
}

// Whether a text is a program whose kernel compiles: what is written must be.
bool compiles(const std::string &path, const std::string &text, const std::string &kernel, const std::string &target, std::string &error) {
  SourceManager sources;
  Diagnostics diagnostics(sources);
  auto module = check(sources.add(path, text), sources, diagnostics);
  if (!module) return error = diagnostics.str(), false;
  CompileOptions options;
  options.target = target, options.form = Form::Schedule;
  Compiled compiled;
  bool internal = false;
  for (const core::Function &k : module->kernels)
    if (k.name == kernel && !compileKernels({&k}, module->files, options, compiled, error, internal)) return false;
  return true;
}

}  // namespace

int tuneKernel(const core::Function &kernel, const std::vector<std::string> &files, SourceManager &sources, const TuneOptions &options) {
  std::string error;
  const leaf::TargetInfo *target = runnableTarget(options.target, error);
  if (!target) return complain(error);
  Arguments arguments;
  if (!bindArguments(kernel, options.in, options.set, arguments, error)) return complain(error);
  std::vector<int64_t> extents;
  if (!extentsOf(kernel, arguments, extents, error)) return complain(error);
  core::Function one = specialisedFor(kernel, extents);
  Tuner tuner(one, files, arguments, extents, *target, options);
  if (int status = tuner.search()) return status;
  tuner.printTable();
  std::string text(sources.text(0));
  if (tuner.found()) {
    std::string why = fmt::format("{:.2f} times as fast on {}{}", tuner.ratio(), tuner.shapes(), options.threads ? fmt::format(", {} thread{}", options.threads, options.threads == 1 ? "" : "s") : "");
    text = withBlock(sources, kernel.name, target->name, block(kernel, target->name, tuner.plan(), why));
    if (!compiles(files[0], text, kernel.name, options.target, error)) return complain("the program with its new schedule does not compile: " + error, 3);
  }
  if (options.out.empty()) return fputs(text.c_str(), stdout), 0;
  return writeFileAtomically(options.out, text, error) ? 0 : complain(error);
}

}  // namespace fovea
