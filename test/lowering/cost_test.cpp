// The cost model of schedules (lowering/Cost.h): what must hold of estimates on every target, and that every choice is a leaf.
#include "lowering/Cost.h"

#include <gtest/gtest.h>

using namespace fovea;
using namespace fovea::cost;

namespace {

constexpr Layout layouts[] = {Layout::Packed, Layout::Rows, Layout::Heads, Layout::Tile, Layout::Lanes};

Candidate candidate(const leaf::TargetInfo &target, Layout layout, int keys = 128) {
  int queries = layout == Layout::Packed ? 8 * target.rows : layout == Layout::Lanes ? target.lanes : 4;
  return {layout, queries, keys, target.columns};
}

Shape shape(int64_t rows, int64_t keys) {
  Shape s;
  s.rows = rows, s.keys = s.visited = keys, s.heads = 4;
  return s;
}

double cycles(const leaf::TargetInfo &target, const Shape &s, const Candidate &c) { return estimate(target, s, c).total(); }

Asked asked(leaf::Type type, int mask, int64_t heads, const leaf::TargetInfo &target) {
  Asked a;
  a.query = a.key = a.value = type, a.heads = heads, a.masked = mask > 0, a.bothSides = mask > 1, a.maskWork = 2 * mask;
  a.lanes = heads > 1 && (type == leaf::Type::F32 || (type == leaf::Type::BF16 && target.dots));
  return a;
}

template <typename F>
void overAll(F test) {
  for (const leaf::TargetInfo &target : leaf::targets())
    for (leaf::Type type : {leaf::Type::F32, leaf::Type::F16, leaf::Type::BF16})
      for (int mask : {0, 1, 2})
        for (int64_t heads : {1, 4, 8, 71}) {
          SCOPED_TRACE(std::string(target.name) + ", type " + std::to_string(int(type)) + ", mask " + std::to_string(mask) + ", heads " + std::to_string(heads));
          test(target, asked(type, mask, heads, target));
        }
}

}  // namespace

TEST(Cost, EveryTargetHasCosts) {
  for (const leaf::TargetInfo &target : leaf::targets()) {
    const auto &c = target.costs;
    for (double n : {c.loads, c.fmas, c.operations, c.latency, c.fromMemory}) EXPECT_GT(n, 0) << target.name;
    EXPECT_TRUE(c.first < c.second && c.second < c.third) << target.name;
    EXPECT_TRUE(c.fromSecond > c.fromThird && c.fromThird > c.fromMemory) << target.name;
  }
}

TEST(Cost, GrowsWithKeysRowsAndFeatures) {
  for (const leaf::TargetInfo &target : leaf::targets())
    for (Layout layout : layouts) {
      SCOPED_TRACE(std::string(target.name) + " " + nameOf(layout));
      const Candidate c = candidate(target, layout);
      for (int64_t n = 128; n < 8192; n *= 2) EXPECT_LT(cycles(target, shape(4, n), c), cycles(target, shape(4, 2 * n), c)) << n << " keys";
      for (int64_t n = 16; n < 256; n *= 2) EXPECT_LT(cycles(target, shape(n, 1024), c), cycles(target, shape(2 * n, 1024), c)) << n << " rows";
      Shape wide = shape(8, 1024);
      wide.features = wide.columns = 128;
      EXPECT_LT(cycles(target, shape(8, 1024), c), cycles(target, wide, c));
    }
}

TEST(Cost, PartsAreNotNegativeAndAddUp) {
  for (const leaf::TargetInfo &target : leaf::targets())
    for (Layout layout : layouts)
      for (int64_t rows : {1, 5, 48, 1000})
        for (int64_t keys : {1, 63, 128, 4096})
          for (int64_t visited : {int64_t(1), keys / 2 + 1, keys})
            for (bool moves : {false, true}) {
              Shape s = shape(rows, keys);
              s.visited = visited, s.moves = moves;
              const Parts p = estimate(target, s, candidate(target, layout));
              double sum = 0;
              for (double part : {p.products, p.loads, p.scores, p.packing, p.state, p.starts, p.waste, p.traffic}) {
                EXPECT_GE(part, -1e-6) << target.name << " " << nameOf(layout) << " rows " << rows << " keys " << keys << " visited " << visited;
                sum += part;
              }
              EXPECT_DOUBLE_EQ(sum, p.total());
              EXPECT_GT(sum, 0);
            }
  Shape none = shape(0, 128);
  EXPECT_EQ(cycles(leaf::targets()[0], none, candidate(leaf::targets()[0], Layout::Packed)), 0);
}

TEST(Cost, PackingIsSharedByRows) {
  for (const leaf::TargetInfo &target : leaf::targets()) {
    const Candidate packed = candidate(target, Layout::Packed);
    auto ofRows = [&](int64_t rows) {
      Shape s = shape(rows, 4096);
      s.heads = 1;
      return estimate(target, s, packed);
    };
    const Parts few = ofRows(1), many = ofRows(1024);
    EXPECT_EQ(few.packing, many.packing) << target.name;
    EXPECT_GT(few.packing / few.total(), 0.2) << target.name;
    EXPECT_LT(many.packing / many.total(), 0.05) << target.name;
    EXPECT_STREQ(many.bound(), "products") << target.name;
    EXPECT_EQ(estimate(target, shape(16, 4096), candidate(target, Layout::Rows)).packing, 0) << target.name;
  }
}

// A product is at its peak what the table says: two products of features and columns for each row and key.
TEST(Cost, ProductsAreThoseOfThePeak) {
  const leaf::TargetInfo &zen4 = *leaf::findTarget("zen4");
  Shape s = shape(48, 1024);
  EXPECT_EQ(estimate(zen4, s, candidate(zen4, Layout::Packed)).products, 4.0 * 48 * 1024 * (64 + 64) / 16);
  s.query = s.key = s.value = leaf::Type::BF16;  // scores are dot products of pairs
  EXPECT_EQ(estimate(zen4, s, candidate(zen4, Layout::Packed)).products, 4.0 * 48 * 1024 * (32 + 64) / 16);
}

TEST(Cost, AScoreThatIsAFunctionCosts) {
  const leaf::TargetInfo &zen4 = *leaf::findTarget("zen4");
  Shape s = shape(48, 1024);
  const double before = estimate(zen4, s, candidate(zen4, Layout::Packed)).scores;
  s.scoreWork += transcendental;
  EXPECT_NEAR(estimate(zen4, s, candidate(zen4, Layout::Packed)).scores - before, 4.0 * 48 * 1024 * transcendental / 2 / 16, 1);
}

TEST(Cost, AWindowLeavesKeysOut) {
  for (const leaf::TargetInfo &target : leaf::targets())
    for (Layout layout : layouts) {
      Shape all = shape(16, 4096), window = all;
      window.visited = 256, window.moves = true;
      EXPECT_LT(cycles(target, window, candidate(target, layout)), 0.6 * cycles(target, all, candidate(target, layout))) << target.name << " " << nameOf(layout);
    }
}

// A few rows read keys where they lie, many pack them; the number of rows between is where the estimates cross.
TEST(Choice, CrossingsExist) {
  overAll([](const leaf::TargetInfo &target, const Asked &a) {
    const Choice choice = choose(target, a);
    ASSERT_TRUE(choice.few);
    EXPECT_GE(choice.few->rows, 1);
    if (a.heads == 1 && !a.bothSides) {
      EXPECT_LE(cycles(target, assumed(a, 1), choice.few->tile), cycles(target, assumed(a, 1), choice.many));
      EXPECT_GT(cycles(target, assumed(a, 1024), choice.few->tile), cycles(target, assumed(a, 1024), choice.many));
    }
    EXPECT_EQ(choice.grouped.has_value(), a.heads > 1);
    if (choice.broadcast) EXPECT_TRUE(a.lanes && *choice.broadcast >= 1 && (!choice.broadcastTo || *choice.broadcastTo >= *choice.broadcast));
  });
}

TEST(Choice, EveryTileIsALeaf) {
  overAll([](const leaf::TargetInfo &target, Asked a) {
    for (int64_t columns : {-1, 1, 16, 48, 64, 80, 256})
      for (bool oneRow : {false, true}) {
        a.columns = columns, a.oneRow = oneRow;
        const Choice choice = choose(target, a);
        std::vector<std::pair<Layout, Candidate>> tiles{{Layout::Packed, choice.many}};
        if (choice.few) tiles.push_back({Layout::Rows, choice.few->tile});
        if (choice.grouped)
          for (Layout layout : {Layout::Heads, Layout::Tile, Layout::Lanes})
            if (layout != Layout::Lanes || choice.broadcast) tiles.push_back({layout, choice.grouped->tile});
        for (const auto &[layout, tile] : tiles) {
          leaf::LeafSpec spec;
          spec.kind = leaf::LeafSpec::AttendStepLeaf, spec.name = "leaf", spec.target = target.name;
          spec.attend.queries = layout == Layout::Lanes ? target.lanes : tile.queries, spec.attend.keys = tile.keys, spec.attend.panel = tile.panel;
          spec.attend.keyRows = layout == Layout::Rows || layout == Layout::Heads, spec.attend.queryLanes = layout == Layout::Lanes;
          spec.attend.score.op = "dot";
          EXPECT_EQ(leaf::check(spec), "");
        }
        if (oneRow) EXPECT_EQ(choice.many.queries, 1);
      }
  });
}

TEST(Choice, KeysAreAlwaysPackedWhereTheyMustBe) {
  overAll([](const leaf::TargetInfo &target, Asked a) {
    a.contiguous = false;
    EXPECT_FALSE(choose(target, a).few || choose(target, a).grouped);
    a.contiguous = true, a.weights = true;
    EXPECT_FALSE(choose(target, a).few || choose(target, a).grouped);
  });
}

TEST(Choice, PanelsFitNarrowValues) {
  const leaf::TargetInfo &zen4 = *leaf::findTarget("zen4");
  Asked a = asked(leaf::Type::F32, 0, 1, zen4);
  a.columns = 64;
  EXPECT_EQ(choose(zen4, a).many.panel, 64);
  a.columns = 32;
  EXPECT_EQ(choose(zen4, a).many.panel, 32);
  a.columns = 16;
  EXPECT_EQ(choose(zen4, a).many.panel, 16);
}

TEST(Layouts, HaveNames) {
  for (Layout layout : layouts) EXPECT_EQ(layoutOf(nameOf(layout)), layout);
  EXPECT_FALSE(layoutOf("columns"));
}
