#include "lowering/Timing.h"

#include "llvm/Support/raw_ostream.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <numeric>

using namespace mlir;

namespace fovea {
namespace {

struct Row {
  unsigned depth;  // 0: a phase
  std::string name;
  double milliseconds;
};

// Takes the tree of timers instead of printing it. What MLIR lists after it is the rest and the total.
struct Collect : OutputStrategy {
  explicit Collect(std::vector<Row> &rows) : OutputStrategy(llvm::nulls()), rows(rows) {}
  void printHeader(const TimeRecord &) override {}
  void printFooter() override {}
  void printTime(const TimeRecord &, const TimeRecord &) override {}
  void printListEntry(StringRef name, const TimeRecord &time, const TimeRecord &, bool) override { add(0, name == "Rest" ? "rest" : name == "Total" ? "total" : name, time); }
  void printTreeEntry(unsigned indent, StringRef name, const TimeRecord &time, const TimeRecord &) override { add(indent, name, time); }
  void printTreeEntryEnd(unsigned, bool) override {}
  void add(unsigned indent, StringRef name, const TimeRecord &time) {
    if (!name.starts_with("(A) ")) rows.push_back({indent, name.str(), 1e3 * time.wall});  // no analyses: they are part of their passes
  }

  std::vector<Row> &rows;
};

}  // namespace

struct Timing::State {
  DefaultTimingManager manager;
  std::vector<TimingScope> open;              // phases, the outermost first
  std::map<std::string, std::string> flags;   // of passes, by the name of their class
  std::vector<Row> rows;

  void finish() {
    if (open.empty()) return;
    while (!open.empty()) open.pop_back();
    manager.setOutput(std::make_unique<Collect>(rows));
    manager.print();
    manager.setEnabled(false);
    manager.setOutput(createOutputStrategy(DefaultTimingManager::OutputFormat::Text, llvm::nulls()));  // it prints once more when it goes
    for (Row &row : rows) {
      auto flag = flags.find(row.name);
      if (flag != flags.end()) row.name = flag->second;
    }
    // Timers count depth in columns.
    for (Row &row : rows) row.depth /= 2;
  }
};

Timing::Timing() : state(std::make_unique<State>()) {
  state->manager.setEnabled(true);
  state->manager.setDisplayMode(DefaultTimingManager::DisplayMode::Tree);
  state->open.push_back(state->manager.getRootScope());
}

Timing::~Timing() { state->finish(); }

Timing::Phase::Phase(Timing *timing, const std::string &name) : timing(timing) {
  if (timing) timing->state->open.push_back(timing->state->open.back().nest(StringRef(name)));
}

void Timing::Phase::end() {
  if (timing) timing->state->open.pop_back();
  timing = nullptr;
}

void Timing::watch(PassManager &pm) {
  for (Pass &pass : pm.getPasses())
    if (!pass.getArgument().empty()) state->flags[pass.getName().str()] = pass.getArgument().str();
  pm.enableTiming(state->open.back());
}

std::string Timing::text() {
  state->finish();
  double total = state->rows.empty() ? 0 : state->rows.back().milliseconds;
  std::string out = "        ms       %  phase and pass\n";
  for (const Row &row : state->rows) out += fmt::format("{:10.2f}  {:6.1f}  {:{}}{}\n", row.milliseconds, total > 0 ? 100 * row.milliseconds / total : 0, "", 2 * row.depth, row.name);
  if (leaves.asked) {
    double all = std::accumulate(leaves.seconds.begin(), leaves.seconds.end(), 0.0), slowest = leaves.seconds.empty() ? 0 : *std::max_element(leaves.seconds.begin(), leaves.seconds.end());
    out += fmt::format("leaves: {} asked for, {} different: {} from the cache, {} compiled", leaves.asked, leaves.found + leaves.seconds.size(), leaves.found, leaves.seconds.size());
    if (!leaves.seconds.empty()) out += fmt::format(" by {} at a time, {:.0f} ms of processes, the slowest {:.0f} ms", leaves.workers, 1e3 * all, 1e3 * slowest);
    out += "\n";
  }
  return out;
}

std::string Timing::json() {
  using Json = nlohmann::ordered_json;
  state->finish();
  Json out;
  out["total_ms"] = state->rows.empty() ? 0 : state->rows.back().milliseconds;
  // Rows from `at` on that lie deeper than `depth`, as a list of parts.
  size_t at = 0, end = state->rows.empty() ? 0 : state->rows.size() - 1;
  auto parts = [&](auto &self, unsigned depth) -> Json {
    Json list = Json::array();
    while (at < end && state->rows[at].depth >= depth) {
      const Row &row = state->rows[at++];
      Json part{{"name", row.name}, {"ms", row.milliseconds}};
      if (Json inside = self(self, row.depth + 1); !inside.empty()) part["parts"] = inside;
      list.push_back(part);
    }
    return list;
  };
  out["parts"] = parts(parts, 0);
  out["leaves"] = {{"asked", leaves.asked},
                   {"found", leaves.found},
                   {"compiled", leaves.seconds.size()},
                   {"workers", leaves.workers},
                   {"process_ms", 1e3 * std::accumulate(leaves.seconds.begin(), leaves.seconds.end(), 0.0)},
                   {"slowest_ms", leaves.seconds.empty() ? 0 : 1e3 * *std::max_element(leaves.seconds.begin(), leaves.seconds.end())}};
  return out.dump() + "\n";
}

}  // namespace fovea
