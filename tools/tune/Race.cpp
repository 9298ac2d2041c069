#include "tools/tune/Race.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fovea::tune {
namespace {

constexpr double shortest = 0.2;  // milliseconds of a sample
constexpr double hopeless = 2.5;  // times the best at first sight

double milliseconds(Race::Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

// How far two results may be apart that are both right (rule E10): each is within 1e-5 of the largest value, then rounded.
bool agree(const Buffer &a, const Buffer &b, core::Type type, std::string &why) {
  int64_t n = a.count();
  if (type > core::Type::BF16) {
    // Where integers follow from comparing floats, these may fall either way: that few do is no mistake.
    const auto *x = static_cast<const unsigned char *>(a.tensor.data), *y = static_cast<const unsigned char *>(b.tensor.data);
    int64_t bytes = (info(type).dlpack.bits + 7) / 8, different = 0;
    for (int64_t k = 0; k < n; k++) different += !std::equal(x + k * bytes, x + (k + 1) * bytes, y + k * bytes);
    return different <= n / 50 || (why = fmt::format("{} of {} elements differ", different, n), false);
  }
  double size = 0;
  for (int64_t k = 0; k < n; k++)
    if (double v = elementOf(a, type, k); std::isfinite(v)) size = std::max(size, std::fabs(v));
  double rounding = type == core::Type::BF16 ? 1.0 / 128 : type == core::Type::F16 ? 1.0 / 1024 : 0;
  for (int64_t k = 0; k < n; k++) {
    double x = elementOf(a, type, k), y = elementOf(b, type, k);
    if (x == y || (std::isnan(x) && std::isnan(y)) || std::fabs(x - y) <= 2e-5 * size + rounding * std::fabs(x) + 1e-6) continue;
    return why = fmt::format("element {} is {} and not {}", k, y, x), false;
  }
  return true;
}

}  // namespace

double Candidate::best() const { return samples.empty() ? INFINITY : *std::min_element(samples.begin(), samples.end()); }

core::Schedule scheduleOf(const Plan &plan, const std::string &target) {
  core::Schedule schedule{target, {}, {}};
  for (size_t k = 0; k < plan.size(); k++)
    for (const auto &[path, value] : plan[k]) {
      size_t dot = path.find('.');
      core::Schedule::Setting s;
      s.attend = int64_t(k) + 1;
      if (dot != std::string::npos) s.version = path.substr(0, dot);
      s.key = dot == std::string::npos ? path : path.substr(dot + 1);
      if (std::isdigit(static_cast<unsigned char>(value[0]))) s.number = std::stoll(value);
      else s.word = value;
      schedule.settings.push_back(s);
    }
  return schedule;
}

core::Function Race::withPlan(const Plan &plan) const {
  core::Function changed = kernel;
  changed.schedules.clear();
  if (std::any_of(plan.begin(), plan.end(), [](const Settings &s) { return !s.empty(); })) changed.schedules = {scheduleOf(plan, target)};
  return changed;
}

Candidate *Race::add(const Plan &plan, bool asItIs) {
  for (Candidate &c : candidates)
    if (!asItIs && (!c.asItIs || kernel.schedules.empty()) && c.plan == plan) return &c;
  candidates.emplace_back();
  candidates.back().plan = plan, candidates.back().asItIs = asItIs;
  return &candidates.back();
}

bool Race::prepare(const std::vector<Candidate *> &asked, std::string &error) {
  std::vector<Candidate *> missing;
  for (Candidate *c : asked)
    if (!c->loaded && !c->refused) missing.push_back(c);
  // A few at a time: the leaves of one are compiled while the host code of the next is.
  constexpr size_t together = 4;
  for (size_t first = 0; first < missing.size(); first += together) {
    if (over() && wanted.size()) return true;
    size_t last = std::min(first + together, missing.size());
    std::vector<Compiled> compiled(last - first);
    for (size_t k = first; k < last; k++) {
      core::Function planned = missing[k]->asItIs ? kernel : withPlan(missing[k]->plan);
      bool internal = false;
      if (!compileKernels({&planned}, files, options, compiled[k - first], error, internal)) return false;
    }
    for (size_t k = first; k < last; k++) {
      auto loaded = std::make_unique<Loaded>();
      if (!loadCompiled(kernel, compiled[k - first], threads, *loaded, error)) return false;
      missing[k]->loaded = std::move(loaded);
      if (!compare(*missing[k], error)) return false;
    }
  }
  return true;
}

bool Race::compare(Candidate &candidate, std::string &error) {
  bool first = wanted.empty();
  std::vector<Buffer> &mine = first ? wanted : results;
  if (!execute(kernel, *candidate.loaded, arguments, CompileOptions::Compiled, mine, error)) {
    if (first) return false;
    candidate.refused = true;
    candidate.loaded.reset();
    error.clear();
    return true;
  }
  if (first && !allocateResults(kernel, arguments, CompileOptions::Compiled, results, error)) return false;
  for (size_t k = 0; k < mine.size() && !first; k++) {
    std::string why;
    if (agree(wanted[k], mine[k], kernel.results[k].type, why)) continue;
    std::string plan;
    for (const Settings &settings : candidate.plan) plan += (plan.empty() ? "" : " | ") + words(settings);
    return error = fmt::format("with the schedule `{}` the result `{}` is another: {}", plan, kernel.results[k].name, why), false;
  }
  sample({&candidate});  // how long a call takes
  candidate.calls = std::max(1, std::min(10000, int(shortest / std::max(candidate.best(), 1e-5))));
  if (candidate.calls > 1) candidate.samples.clear(), sample({&candidate});
  return true;
}

void Race::sample(const std::vector<Candidate *> &asked) {
  std::vector<void *> pointers(arguments.pointers);
  for (Buffer &r : results) pointers.push_back(&r.tensor);
  for (Candidate *c : asked) {
    auto start = Clock::now();
    for (int k = 0; k < c->calls; k++) c->loaded->call(pointers.data());
    c->samples.push_back(milliseconds(Clock::now() - start) / c->calls);
  }
}

Candidate *Race::fastest(std::vector<Candidate *> left) {
  left.erase(std::remove_if(left.begin(), left.end(), [](Candidate *c) { return !c->loaded; }), left.end());
  double best = INFINITY;
  for (Candidate *c : left) best = std::min(best, c->best());
  left.erase(std::remove_if(left.begin(), left.end(), [&](Candidate *c) { return c->best() > hopeless * best; }), left.end());
  for (int samples = 3; !left.empty(); samples *= 2) {
    for (int k = 0; k < samples && (k == 0 || !over()); k++) sample(left);
    std::stable_sort(left.begin(), left.end(), [](Candidate *a, Candidate *b) { return a->best() < b->best(); });
    left.resize((left.size() + 1) / 2);
    if (left.size() == 1) return left[0];
  }
  return nullptr;
}

}  // namespace fovea::tune
