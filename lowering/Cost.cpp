#include "lowering/Cost.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

namespace fovea::cost {
namespace {

using leaf::MicroTile;
using leaf::TargetInfo;
using leaf::Type;

// What the manuals do not say, each as a number of operations or cycles of any target. Fitted to bench/schedules.py on Zen 4 (f32 and bf16, 64 and 128 features, 512 keys
// in the second cache and 4,096 in the third and in memory), by eye and to two digits.
constexpr double softmax = 20;           // operations a vector of scores: scale, maximum, difference, exponential (12), sum, and their loads and stores
constexpr double masking = 4;            // more in a partial tile: which keys there are, and a selection
constexpr double foldEach = 1.5;          // operations for each halving of a vector's lanes,
constexpr double foldEnd = 2;            // and to put the one number that is left beside the others
constexpr double scattered = 10;         // more where LLVM unrolls the loop over a tile's keys, or there is one over rows in it: it gathers what the folds leave, and moves it lane by lane
constexpr double unrolledTurns = 16;     // turns of a loop that LLVM unrolls
constexpr double loopShare = 0.05;       // of products: addresses and ends of loops
constexpr double onePerKey = 0.12;       // of the second product in a partial tile, which takes one key at a time and asks whether any row wants it
constexpr double pairLoads = 1.7;        // loads for each pair that is broadcast: it takes an instruction of its own, and half of the addresses come from the stack
constexpr double tileStart = 150;        // cycles a tile: its call, arguments, scratch
constexpr double blockStart = 400;       // cycles a block of rows: what it visits, its state, its results
constexpr double streamStart = 700;       // cycles a tile whose keys and values come from further than the second cache: both are streams that begin anew
constexpr double microStart = 10;        // cycles a micro-tile: the first loads, the last sums
constexpr double stateRow = 12;          // operations a row and tile: two folds and what a row's maximum becomes, beside its accumulators
constexpr double scalarMove = 1.5;       // cycles an element that is moved alone
constexpr double shuffles = 1;           // vectors shuffled a cycle
constexpr double usable = 0.75;          // of a cache, beside what else is in it

double ceilDiv(double a, double b) { return std::ceil(a / b); }
double roundUp(double a, double b) { return ceilDiv(a, b) * b; }
int64_t bytesOf(Type type) { return type == Type::F32 ? 4 : 2; }
int divisor(int n, int most) {
  while (n % most != 0) most--;
  return most;
}
// Operations that make f32 of a vector as it is stored.
double widening(Type type) { return type == Type::BF16 ? 2 : type == Type::F16 ? 1 : 0; }

// What a row and a key take, in cycles.
struct Point {
  double products = 0, loads = 0, scores = 0;
  double all() const { return products + loads + scores; }
};

class Model {
 public:
  Model(const TargetInfo &target, const Shape &shape, const Candidate &candidate)
      : t(target), c(target.costs), s(shape), tile(candidate), lanes(target.lanes), inRows(tile.layout == Layout::Rows || tile.layout == Layout::Heads),
        paired(target.dots && s.query == Type::BF16 && s.key == Type::BF16), micro(leaf::microTile(tile.queries, tile.panel, target)), width(roundUp(double(s.columns), tile.panel)) {}

  Parts run() {
    Parts all;
    if (s.rows <= 0 || s.keys <= 0 || s.sets <= 0 || s.heads <= 0) return all;
    if (tile.layout == Layout::Packed) packAll(all);
    packValues(all);
    const double queries = tile.layout == Layout::Lanes ? double(s.rows * s.heads) : double(s.rows);
    switch (tile.layout) {
      case Layout::Packed:
      case Layout::Rows: {
        // The blocks of a head, one after the other, and of the next head over the same keys.
        const double blocks = ceilDiv(queries, tile.queries), last = queries - (blocks - 1) * tile.queries;
        block(all, tile.queries, 1, tile.queries, double(s.heads) * (blocks - 1), last == tile.queries ? 0 : 1);
        block(all, last, 1, last, double(s.heads), blocks > 1 || s.heads > 1 ? 2 : 0);
        break;
      }
      case Layout::Heads:
      case Layout::Tile: {
        const double blocks = ceilDiv(double(s.heads), tile.queries), last = s.heads - (blocks - 1) * tile.queries;
        block(all, tile.queries, double(s.rows), double(s.rows), blocks - 1, 0);
        block(all, last, double(s.rows), double(s.rows), 1, blocks > 1 ? 2 : 0);
        break;
      }
      case Layout::Lanes: {
        const double whole = std::floor(queries / lanes), rest = queries - whole * lanes;
        lanesOf(all, whole, rest);
        break;
      }
    }
    for (double Parts::*part : {&Parts::products, &Parts::loads, &Parts::scores, &Parts::packing, &Parts::state, &Parts::starts, &Parts::waste, &Parts::traffic}) all.*part *= double(s.sets);
    return all;
  }

 private:
  // ---- where keys and values come from

  // Cycles to read so many bytes of what is that large in all.
  double reading(double bytes, double inAll) const {
    return bytes / (inAll <= usable * c.second ? c.fromSecond : s.share * (inAll <= usable * c.third ? c.fromThird : c.fromMemory));
  }
  double keyBytes() const { return double(s.features * bytesOf(s.key)); }
  double valueBytes() const { return double(s.columns * bytesOf(s.value)); }
  double packedBytes() const { return paired ? roundUp(double(s.features), 2 * lanes) * 2 : s.features * 4.0; }
  // What a call reads, of all sets.
  double allBytes() const {
    if (tile.layout == Layout::Packed) return double(s.sets * s.keys) * (keyBytes() + packedBytes() + valueBytes());
    return double(s.sets) * std::min(double(s.keys), double(s.visited + (s.moves ? s.rows : 0))) * (keyBytes() + valueBytes());
  }

  // ---- packing

  double packCycles(double keys) const {
    if (!s.contiguous) return keys * s.features * scalarMove;
    const double squares = std::floor(double(s.features) / lanes) * lanes, elements = keys * squares * (paired ? 0.5 : 1);
    return elements * (2 + std::log2(lanes)) / lanes / shuffles + keys * (double(s.features) - (paired ? roundUp(double(s.features), 2 * lanes) < s.features : squares)) * scalarMove * (paired ? 0 : 1);
  }
  void packAll(Parts &all) const {
    // Read and written, and fetched to be written where that is further away than the second cache.
    const double written = double(s.keys) * packedBytes() * (allBytes() > usable * c.second ? 2 : 1);
    all.packing += packCycles(double(s.keys)) + reading(double(s.keys) * keyBytes() + written, allBytes());
  }
  void packValues(Parts &all) const {
    if (double(s.columns) != width) all.packing += double(s.keys) * width * scalarMove;
  }

  // ---- what a row and a key take

  Point point(bool partial, bool severalGroups) const {
    Point p;
    double step;
    if (inRows) {
      // dotOfRows: so many rows and keys at a time, vectors along the features.
      int rows = 6;
      while (tile.queries % rows != 0) rows--;
      const double keys = rows <= 3 && tile.keys % 8 == 0 ? 8 : 4, each = paired ? 2 * lanes : lanes;
      step = microStep(rows * keys, keys + rows, paired ? 0 : keys * widening(s.key) + rows * widening(s.query)) / (rows * keys);
      const double vectors = std::floor(double(s.features) / each);
      p.products += vectors / c.fmas;
      const bool gathered = severalGroups || tile.keys / keys <= unrolledTurns;
      p.loads += vectors * (step - 1 / c.fmas) + (foldEach * std::log2(lanes) + foldEnd + (gathered ? scattered : 0)) / c.operations;
      p.loads += (double(s.features) - vectors * each) * scalarMove;
    } else {
      const double vectors = partial ? std::min<double>(micro.columns, 2 * lanes) / lanes : double(micro.columns) / lanes;
      const double depth = paired ? std::ceil(double(s.features) / 2) : double(s.features);
      step = microStep(micro.rows * vectors, vectors + micro.rows / 2.0, 0) / (micro.rows * vectors);
      p.products += depth / lanes / c.fmas;
      p.loads += depth / lanes * (step - 1 / c.fmas);
    }
    // Where keys lie in rows, a full tile reads two panels of values at once, for half the rows.
    const double together = inRows && !partial && micro.rows % 2 == 0 && int64_t(width) / tile.panel % 2 == 0 ? 2 : 1;
    const double vectors = together * micro.columns / lanes, rows = micro.rows / together, across = width / lanes;
    step = microStep(rows * vectors, vectors + rows / 2, vectors * widening(s.value)) / (rows * vectors) * (partial ? 1 + onePerKey : 1);
    p.products += across / c.fmas;
    p.loads += across * (step - 1 / c.fmas) + loopShare * p.products;
    p.scores = scoreCycles(partial);
    return p;
  }

  // Cycles of a step of a micro-kernel: so many products into sums of their own, loads, and other operations.
  double microStep(double products, double loads, double others) const {
    return std::max({products / c.fmas, loads / c.loads, (products + others) / c.operations, c.latency});
  }

  double scoreCycles(bool partial) const {
    const double softmaxes = s.pointwise ? 4 : softmax;
    return (softmaxes + s.scoreWork + (partial ? masking + s.maskWork : 0)) / c.operations / lanes;
  }

  // ---- blocks of rows

  // So many blocks, each of `rows` rows of a tile for each of `inner` queries; `span` rows of positions. They read the keys one after the other: `first`: 0 as the first to
  // do so, 1 the first of these alone, 2 none.
  void block(Parts &all, double rows, double inner, double span, double blocks, int first) const {
    if (blocks <= 0) return;
    const double groups = ceilDiv(rows, micro.rows), computed = groups * micro.rows;
    const bool whole = rows == tile.queries, severalGroups = tile.queries > micro.rows;
    // What some row visits, and what all do.
    const double some = std::min(double(s.keys), double(s.visited) + (s.moves ? span - 1 : 0)), common = std::max(0.0, double(s.visited) - (s.moves ? span - 1 : 0));
    const double begun = tile.layout == Layout::Packed && s.visited < s.keys && s.moves ? lanes / 2.0 : 0;  // a tile begins at a panel
    // Tiles begin where the first row's keys do; where only the ends move, all rows' do there.
    const double offset = s.moves && double(s.visited) + span < s.keys ? begun + span - 1 : 0;
    const double fullTiles = !whole ? 0 : std::max(0.0, std::floor((offset + common) / tile.keys) - ceilDiv(offset, tile.keys));
    const double fullKeys = fullTiles * tile.keys, partialKeys = some + begun - fullKeys;
    const double tiles = fullTiles + ceilDiv(partialKeys, tile.keys);
    const double useful = rows * std::max(0.0, double(std::min(s.visited, s.keys)) - fullKeys);

    const Point full = point(false, severalGroups), partial = point(true, severalGroups);
    // Of a partial tile, scores of all rows and keys are computed, and values of the keys that a group of rows visits.
    Point sum;
    const double fullPoints = rows * fullKeys;
    for (double Point::*part : {&Point::products, &Point::loads, &Point::scores}) sum.*part = full.*part * fullPoints + partial.*part * useful;
    const double valueShare = width / (width + s.features * (paired ? 0.5 : 1)), groupKeys = std::min(partialKeys, std::max(0.0, double(s.visited) - fullKeys) + (s.moves ? micro.rows - 1 : 0));
    const double computedPoints = computed * (partialKeys * (1 - valueShare) + groupKeys * valueShare);
    const double waste = std::max(0.0, (computedPoints - useful) * (partial.products + partial.loads)) + std::max(0.0, (computed * partialKeys - useful) * partial.scores);

    const double across = width / lanes;
    const double state = tiles * computed * (across * 3 + (s.pointwise ? stateRow / 2 : stateRow)) / c.operations;
    const double microTiles = groups * ((fullKeys / micro.columns + partialKeys / std::min<double>(micro.columns, inRows ? micro.columns : 2 * lanes)) + tiles * width / micro.columns);
    const double starts = tiles * tileStart + microTiles * microStart + blockStart + rows * across * 4 / c.operations;
    // Queries that take their turns over a tile find it in the nearest cache, or in the second.
    const double tileBytes = tile.keys * ((tile.layout == Layout::Tile ? packedBytes() : keyBytes()) + valueBytes());
    const double once = sum.all() + waste + state + starts, revisited = tileBytes > usable * c.first ? std::hypot(once, some / tile.keys * tileBytes / c.fromSecond) - once : 0;
    const double work = inner * once + (inner - 1) * revisited;
    double packing = tile.layout == Layout::Tile ? packCycles(some) : 0;

    // The blocks one after the other: the first finds keys where they are, the others where the first has left them.
    const double bytes = some * ((tile.layout == Layout::Packed ? packedBytes() : keyBytes()) + valueBytes());
    const double visitedBytes = double(s.keys) * ((tile.layout == Layout::Packed ? packedBytes() : keyBytes()) + valueBytes());
    const double firsts = first == 2 ? 0 : std::min(blocks, 1.0), others = blocks - firsts;
    // A partial tile has a key's values between tests, panel by panel, which memory is slow at; packing waits for what it reads.
    const double exposed = tile.layout == Layout::Tile ? 1 : partialKeys / std::max(1.0, some);
    auto waiting = [&](double traffic) { return (1 - exposed) * (std::hypot(work, traffic) - work) + exposed * traffic; };
    auto streams = [&](double inAll) { return inRows && inAll > usable * c.second ? tiles * streamStart : 0; };
    const double again = std::min(visitedBytes, bytes * 2);
    all.traffic += firsts * (waiting(reading(bytes, allBytes())) + streams(allBytes())) + others * (waiting(reading(bytes, again)) + streams(again));
    all.traffic += blocks * (inner - 1) * revisited;
    all.products += blocks * inner * sum.products, all.loads += blocks * inner * sum.loads, all.scores += blocks * inner * sum.scores;
    all.waste += blocks * inner * waste, all.state += blocks * inner * state, all.starts += blocks * inner * starts, all.packing += blocks * packing;
  }

  // `whole` vectors of queries, and one of `rest`, over the keys that they visit.
  void lanesOf(Parts &all, double whole, double rest) const {
    const int accumulators = t.rows * t.columns / lanes, keysEach = divisor(tile.keys, std::max(1, accumulators)), rowsEach = divisor(lanes, 8);
    const double vectors = divisor(tile.panel / lanes, std::max(1, accumulators / rowsEach)), across = width / lanes;
    const double depth = paired ? std::ceil(double(s.features) / 2) : double(s.features);
    const double span = double(s.rows), some = std::min(double(s.keys), double(s.visited) + (s.moves ? span - 1 : 0)), common = std::max(0.0, double(s.visited) - (s.moves ? span - 1 : 0));
    const double fullKeys = std::floor(common / tile.keys) * tile.keys, partialKeys = some - fullKeys, tiles = ceilDiv(some, tile.keys);
    // A vector of queries and a key.
    auto pointOf = [&](bool partial, double rows) {
      Point p;
      const double first = microStep(keysEach, keysEach * (paired ? pairLoads : 0.5), paired || partial ? 0 : keysEach * widening(s.key) / 2) / keysEach * depth;
      const double each = microStep(rowsEach * vectors, vectors + rowsEach / 2.0, vectors * widening(s.value)) / (rowsEach * vectors) * (partial ? 1 + onePerKey : 1);
      p.products = depth / c.fmas + rows * across / c.fmas;
      p.loads = first - depth / c.fmas + rows * across * (each - 1 / c.fmas) + loopShare * p.products;
      p.scores = scoreCycles(partial) * lanes;
      return p;
    };
    double work = 0;
    auto add = [&](double blocks, double rows) {
      if (blocks <= 0 || rows <= 0) return;
      const bool full = rows == lanes;
      const double groups = roundUp(rows, rowsEach), inFull = full ? fullKeys : 0, inPartial = full ? partialKeys : some, useful = double(std::min(s.visited, s.keys)) - inFull;
      const Point a = pointOf(false, lanes), b = pointOf(true, groups);
      const double share = rows / lanes;
      for (auto [to, part] : {std::pair{&Parts::products, &Point::products}, {&Parts::loads, &Point::loads}, {&Parts::scores, &Point::scores}}) {
        all.*to += blocks * (a.*part * inFull + b.*part * useful * share), work += blocks * (a.*part * inFull + b.*part * useful * share);
      }
      const double waste = blocks * b.all() * (inPartial - useful * share);
      const double state = blocks * tiles * (lanes * across * 3 + stateRow) / c.operations;
      const double starts = blocks * (tiles * (tileStart + microStart * (double(tile.keys) / keysEach + across / vectors * lanes / rowsEach)) + blockStart + lanes * across * 4 / c.operations);
      all.waste += waste, all.state += state, all.starts += starts, work += waste + state + starts;
    };
    add(whole, lanes), add(rest > 0, rest);
    // A full tile asks for the lines of the next while it multiplies.
    const double traffic = reading(some * (keyBytes() + valueBytes()), allBytes()), exposed = whole > 0 ? partialKeys / std::max(1.0, some) : 1;
    all.traffic += (1 - exposed) * (std::hypot(work, traffic) - work) + exposed * traffic;
  }

  const TargetInfo &t;
  const TargetInfo::Costs &c;
  const Shape &s;
  const Candidate &tile;
  const int lanes;
  const bool inRows, paired;
  const MicroTile micro;
  const double width;  // of whole panels
};

}  // namespace

const char *Parts::bound() const {
  const std::pair<double, const char *> kinds[] = {{products + loads, "products"}, {scores, "scores"}, {packing, "packing"}, {traffic, "memory"}, {state + starts, "tiles"}, {waste, "masked ends"}};
  return std::max_element(std::begin(kinds), std::end(kinds), [](auto &a, auto &b) { return a.first < b.first; })->second;
}

Parts estimate(const TargetInfo &target, const Shape &shape, const Candidate &candidate) { return Model(target, shape, candidate).run(); }

namespace {

// What is assumed of a call where the program does not say it: keys and values of several heads, too many for the second cache, as in decoding; and once more so few that
// they are in it. A version for few rows is taken as far as it is cheaper in both.
struct Assumption {
  int64_t keys, sets;
};
constexpr Assumption longCache{4096, 8}, shortCache{512, 1};
constexpr int64_t manyRows = 1024, window = 256, size = 64;
constexpr int64_t fewRows[] = {1, 2, 4, 8, 16};  // of calls where they are few: what these take together counts
constexpr int64_t mostFew = 32;                  // beyond, rows are many: blocks of them are what threads share,
constexpr double sharedBandwidth = 0.5;          // and with it what comes from further than their own caches
// The tile of fewest rows, and then keys, is taken that is so near to the cheapest: shorter calls leave a larger one half empty, and it takes more scratch.
constexpr double near = 1.01;

Shape assumed(const Asked &a, int64_t rows, const Assumption &assumption) {
  Shape s = shapeOf(a, rows, assumption.keys, assumption.sets);
  if (rows > mostFew) s.share = sharedBandwidth;
  return s;
}

class Chooser {
 public:
  Chooser(const TargetInfo &target, const Asked &asked) : target(target), asked(asked) {
    panels = {target.columns};
    // The widest panel that values fill best.
    if (asked.columns > 0) {
      auto padded = [&](int panel) { return roundUp(double(asked.columns), panel); };
      int best = target.columns;
      for (int panel = target.columns; panel >= target.lanes; panel /= 2)
        if (padded(panel) < padded(best)) best = panel;
      if (best != target.columns) panels.push_back(best);
    }
  }

  Choice run() {
    Choice choice;
    choice.many = many();
    if (asked.weights || !asked.contiguous) return choice;
    if (asked.oneRow) {
      choice.few = Version{best(Layout::Rows, std::initializer_list<int>{1}, std::initializer_list<int64_t>{1}), 0};
      choice.many = choice.few->tile;
    } else {
      Version few{best(Layout::Rows, std::initializer_list<int>{1, 2, 4, 8}, fewRows), 0};
      few.rows = crossing([&](const Shape &s) { return cycles(s, few.tile); }, choice.many);
      choice.few = few;
    }
    if (asked.heads > 1) group(choice);
    return choice;
  }

 private:
  double cycles(const Shape &s, const Candidate &c) const { return estimate(target, s, c).total(); }

  // The tile for which calls of so many rows, together, are cheapest.
  template <typename Queries, typename Rows>
  Candidate best(Layout layout, const Queries &queries, const Rows &rows) const {
    std::vector<Candidate> list;
    for (int n : queries)
      for (int keys : {64, 128, 256})
        for (int panel : panels)
          if (keys % panel == 0) list.push_back({layout, n, keys, panel});
    std::stable_sort(list.begin(), list.end(), [](const Candidate &a, const Candidate &b) { return std::pair(a.queries, a.keys) < std::pair(b.queries, b.keys); });
    std::vector<double> sums;
    for (const Candidate &c : list) {
      sums.push_back(0);
      for (int64_t n : rows) sums.back() += cycles(assumed(asked, n, longCache), c);
    }
    const double least = *std::min_element(sums.begin(), sums.end());
    return list[std::find_if(sums.begin(), sums.end(), [&](double sum) { return sum <= near * least; }) - sums.begin()];
  }

  Candidate many() const {
    if (asked.oneRow) return best(Layout::Packed, std::initializer_list<int>{1}, std::initializer_list<int64_t>{1});
    std::vector<int> queries;
    for (int groups : {1, 2, 4, 8, 16}) queries.push_back(groups * target.rows);
    return best(Layout::Packed, queries, std::initializer_list<int64_t>{manyRows});
  }

  // Up to how many rows, one at least, a version is cheaper than packed keys: of 1, 2, 4 and so on the one up to which most is gained, in both assumptions.
  template <typename Cycles>
  int64_t crossing(Cycles cyclesOf, const Candidate &many) const {
    int64_t last = 1;
    double gain = 0, most = 0;
    for (int64_t rows = 2; rows <= mostFew; rows *= 2) {
      for (const Assumption &assumption : {longCache, shortCache}) {
        const Shape s = assumed(asked, rows, assumption);
        gain += std::log(cycles(s, many) / cyclesOf(s));
      }
      if (gain > most) most = gain, last = rows;
    }
    return last;
  }

  void group(Choice &choice) const {
    const int heads = int(std::min<int64_t>(asked.heads, 8 * target.rows));
    auto with = [&](Candidate c, Layout layout) { return c.layout = layout, c.queries = layout == Layout::Lanes ? target.lanes : c.queries, c; };
    auto ofHeads = [&](const Shape &s, const Candidate &c) { return std::min(cycles(s, with(c, Layout::Heads)), asked.oneRow ? INFINITY : cycles(s, with(c, Layout::Tile))); };
    auto ofLanes = [&](const Shape &s, const Candidate &c) { return asked.lanes ? cycles(s, with(c, Layout::Lanes)) : INFINITY; };
    // One tile for the three.
    Candidate tile = best(Layout::Heads, std::initializer_list<int>{heads}, std::initializer_list<int64_t>{1, 2});
    if (asked.oneRow) {
      choice.grouped = Version{tile, 0};
      return;
    }
    const int64_t rows = crossing([&](const Shape &s) { return std::min(ofHeads(s, tile), ofLanes(s, tile)); }, choice.many);
    choice.grouped = Version{tile, rows};
    int64_t unpacked = 0, from = 0, to = 0;
    bool packs = false;
    for (int64_t n = 1; n <= rows; n++) {
      const Shape s = assumed(asked, n, longCache);
      const bool lanes = ofLanes(s, tile) <= ofHeads(s, tile);
      if (lanes && !from) from = n;
      if (lanes) to = n;
      if (!packs && cycles(s, with(tile, Layout::Heads)) <= cycles(s, with(tile, Layout::Tile))) unpacked = n;
      else packs = true;
    }
    if (from) choice.broadcast = asked.heads * (from - 1) + 1;
    if (from && to < rows) choice.broadcastTo = asked.heads * to;
    // Where lanes take the rest, nothing is packed.
    if (packs && !(from && to == rows && unpacked + 1 >= from)) choice.unpacked = unpacked;
  }

  const TargetInfo &target;
  const Asked &asked;
  std::vector<int> panels;
};

}  // namespace

Shape shapeOf(const Asked &a, int64_t rows, int64_t keys, int64_t sets) {
  Shape s;
  s.rows = rows, s.keys = keys, s.sets = sets, s.heads = a.heads;
  s.features = a.features >= 0 ? a.features : size, s.columns = a.columns >= 0 ? a.columns : size;
  s.query = a.query, s.key = a.key, s.value = a.value, s.scoreWork = a.scoreWork, s.maskWork = a.maskWork;
  s.moves = a.masked && !a.oneRow;
  s.visited = a.bothSides ? std::min(window, s.keys) : a.masked && !a.oneRow ? std::max((s.keys + 1) / 2, s.keys - rows / 2) : s.keys;
  s.pointwise = a.pointwise, s.contiguous = a.contiguous;
  return s;
}

Shape assumed(const Asked &asked, int64_t rows) { return assumed(asked, rows, longCache); }
Choice choose(const TargetInfo &target, const Asked &asked) { return Chooser(target, asked).run(); }

const char *nameOf(Layout layout) {
  switch (layout) {
    case Layout::Packed: return "packed";
    case Layout::Rows: return "rows";
    case Layout::Heads: return "heads";
    case Layout::Tile: return "tile";
    case Layout::Lanes: return "lanes";
  }
  return "";
}

std::optional<Layout> layoutOf(std::string_view name) {
  for (Layout layout : {Layout::Packed, Layout::Rows, Layout::Heads, Layout::Tile, Layout::Lanes})
    if (name == nameOf(layout)) return layout;
  return {};
}

}  // namespace fovea::cost
