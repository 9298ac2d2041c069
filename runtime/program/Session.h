// One batch of sources on its way through encode and the steps of a search: every buffer that changes.
//
// A row is a hypothesis' place in the batch. A search calls encode once, then step and arrange in turn; arrange says which
// row each row goes on from, and the session moves states and caches along. A model may have any number of sessions.
#ifndef FOVEA_RUNTIME_PROGRAM_SESSION_H
#define FOVEA_RUNTIME_PROGRAM_SESSION_H

#include "runtime/program/Model.h"

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace fovea::program {

// What a search keeps of every step.
struct Kept {
  bool traces = false, logits = false;
  const Argument *attention = nullptr;   // a trace over the source, of which one row of weights a step is kept for every hypothesis:
  int64_t head = -1;                     // of this head; -1: the mean of all

  bool operator()(const Argument &argument) const {
    return argument.what == What::Trace ? traces || &argument == attention : argument.what == What::Logits && logits;
  }
};

class Session {
public:
  explicit Session(const Model &model);
  Session(const Session &) = delete;

  // Runs encode over `sources` (token ids with start and end, none empty). Afterwards row n is source n's one hypothesis.
  // `most` rows may live at once.
  void encode(const std::vector<const std::vector<int32_t> *> &sources, int64_t most);

  // Runs step; `tokens` holds the token that each row goes on with. Allocates nothing.
  void step(const int32_t *tokens);
  const float *logits() const { return fetch(stepResults[scored]); }  // [rows, V], until the next step

  // After step: from now on there are from.size() rows, and row n goes on from what row from[n] was. A row that others go on
  // from stays where it is or is gone: from[from[n]] == from[n] or from[n] >= from.size(), so rows can move in place.
  void arrange(const std::vector<int32_t> &from);
  // The same with every row going on from itself.
  void advance();

  int64_t rows() const { return sizes.b; }
  int64_t sourceOf(int64_t row) const { return map[size_t(row)]; }
  int64_t stepsDone() const { return position; }
  int64_t vocabulary() const { return vocabularySize; }

  // A trace or the logits of the last step, by step's argument.
  struct Result {
    const float *data;             // [rows, ...], until the next step
    std::vector<int64_t> shape;
  };
  Result result(const Argument &argument) const;

  // Bytes that a batch and its search take, without what stages allocate inside; throws Error on overflow.
  static int64_t bytesNeeded(const Model &model, int64_t sources, int64_t longest, int64_t rowsPerSource, Kept keep);

private:
  struct Held {
    explicit Held(const Place &place) : storage(place) {}
    Value value;
    Storage storage;
    void reserve(int64_t bytes) {
      storage.reserve(bytes);
      value.data = storage.data();
    }
  };
  // What the host gives to a stage: a copy, aligned as table.h says, where the stages want it.
  struct Given : Held {
    using Held::Held;
    void set(const Place &place, const int32_t *data, int64_t count);
  };
  struct StepResult {
    const Argument *argument;
    Held *held;
    mutable Buffer copy;           // of a device's, made when it is asked for
    mutable bool copied = false;   // since the last step
  };
  struct State {
    const Argument *argument;
    Held *now, *next;
    bool changes = false, initialised = false;
    int batch;                     // axis of hypotheses, -1 if it has none
  };
  struct Cache {
    const Argument *argument;
    Held *held;
    size_t index;                  // among step's arguments
    int batch, growing;            // axes
  };

  const Model &model;
  std::deque<Held> storage;
  Given sourceTokens, sourceLengths, stepTokens, mapGiven;
  bool readsTokens = false, readsLengths = false;
  Value positionValue;
  struct EncodeResult {
    const Argument *argument;
    Held *held, *part;             // of a group of sources, before it is put among the others
    int batch;                     // axis of sources, -1 if it has none
  };
  using Moves = std::vector<std::array<int32_t, 2>>;  // rows: to, from
  // A tensor that is laid out for some sizes.
  struct Laid {
    void *data;
    const Sizes &sizes;
  };
  std::vector<EncodeResult> encodeResults;  // and the states that encode begins
  std::vector<StepResult> stepResults;
  size_t scored = 0;               // the logits, among stepResults
  std::vector<State> states;
  std::vector<Cache> caches;
  int32_t position = 0;
  int64_t vocabularySize = 0;
  std::vector<int32_t> map;        // [most rows] -> source
  bool mapMoved = false;           // since the last step
  Sizes sizes;                     // of the next step
  std::vector<StageCall> calls;    // encode, step
  Moves moves;                     // of the last arrange
  std::vector<int32_t> padded, lengths;       // of encode

  Held *hold() { return &storage.emplace_back(model.place); }
  const float *fetch(const StepResult &result) const;
  void give(const std::vector<const std::vector<int32_t> *> &sources, size_t first, const Sizes &sizes);
  void encodeTogether(const std::vector<const std::vector<int32_t> *> &sources, size_t first, const Sizes &sizes);
  void encodeInGroups(const std::vector<const std::vector<int32_t> *> &sources, const std::vector<size_t> &ends);
  Sizes sizesOf(const std::vector<const std::vector<int32_t> *> &sources, size_t first, size_t end) const;
  bool canGroup(const Sizes &group) const;
  void moveRows(const Argument &argument, int batch, const Laid &to, const Laid &from, const Sizes &used, const Moves &moves) const;
  Sizes capacity() const;
  int64_t mostRows = 0;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_SESSION_H
