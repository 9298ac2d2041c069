// Kudo and Richardson 2018: models of SentencePiece, read by their own library.
#include "runtime/program/Error.h"
#include "runtime/program/Pieces.h"
#include "runtime/support/Text.h"

#include "sentencepiece_model.pb.h"
#include "sentencepiece_processor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace fovea::program {

namespace {

// The library follows the automaton of a file's normalisation rules (Darts-clone) without looking where it leads; this looks, once. Everything that can be
// reached lies inside, nothing comes back to where it was, and no text begins with more rules than the library has room for.
bool isSound(std::string_view map) {
  constexpr int mostRules = 32;
  uint32_t bytes = 0;
  if (map.size() < sizeof bytes)
    return false;
  std::memcpy(&bytes, map.data(), sizeof bytes);
  map.remove_prefix(sizeof bytes);
  if (bytes % 1024 != 0 || bytes == 0 || bytes >= map.size() || map.back() != '\0')
    return false;
  std::vector<uint32_t> units(bytes / sizeof(uint32_t));
  std::memcpy(units.data(), map.data(), bytes);
  const size_t texts = map.size() - bytes;
  enum : int8_t { New = -2, Open = -1 };          // else: the most rules on one way from here on
  std::vector<int8_t> rules(units.size(), New);
  struct Place {
    uint32_t unit, base, byte;
    int here, below;
  };
  std::vector<Place> path;
  auto enter = [&](uint32_t unit) {
    const uint32_t base = unit ^ (units[unit] >> 10) << ((units[unit] & 1u << 9) >> 6);
    if (base >= units.size())
      return false;
    const bool hasRule = units[unit] >> 8 & 1;
    if (hasRule && (units[base] & ~(1u << 31)) >= texts)
      return false;
    rules[unit] = Open;
    path.push_back({unit, base, 0, hasRule, 0});
    return true;
  };
  if (!enter(0))
    return false;
  while (!path.empty()) {
    Place &place = path.back();
    if (place.byte == 256) {
      const int most = place.here + place.below;
      if (most > mostRules)
        return false;
      rules[place.unit] = int8_t(most);
      path.pop_back();
      if (!path.empty())
        path.back().below = std::max(path.back().below, most);
      continue;
    }
    const uint32_t byte = place.byte++, next = place.base ^ byte;
    if ((units[next] & (1u << 31 | 0xFF)) != byte)
      continue;
    if (rules[next] >= 0)
      place.below = std::max(place.below, int(rules[next]));
    else if (rules[next] == Open || !enter(next))
      return false;
  }
  return true;
}

class SentencePiece : public Pieces {
public:
  explicit SentencePiece(std::string_view bytes) {
    sentencepiece::SetMinLogLevel(3);  // what is wrong is said once, by us
    auto model = std::make_unique<sentencepiece::ModelProto>();
    if (!model->ParseFromArray(bytes.data(), int(std::min<size_t>(bytes.size(), INT32_MAX))) || model->pieces_size() == 0)
      throw Error("this is no model of SentencePiece");
    for (const auto &piece : model->pieces())
      if (!std::isfinite(piece.score()) || piece.piece().size() > 4096 || piece.piece().find('\0') != std::string::npos)
        throw Error("this is no model of SentencePiece (a piece is too long or has a byte 0, or its score is no number)");
    for (const auto *rules : {&model->normalizer_spec(), &model->denormalizer_spec()})
      if (!rules->precompiled_charsmap().empty() && !isSound(rules->precompiled_charsmap()))
        throw Error("its normalisation rules are damaged");
    changesText = !model->denormalizer_spec().precompiled_charsmap().empty();
    // Of a model that was trained with samples of what it should do, the library tries all; they are not ours to judge by.
    model->clear_self_test_data();
    sentencepiece::util::Status status;
    try {
      status = processor.Load(std::move(model));
    } catch (const std::exception &wrong) {
      throw Error("this is no model of SentencePiece that can be used: " + quote(wrong.what()));
    }
    if (!status.ok())
      throw Error("this is no model of SentencePiece that can be used: " + quote(status.error_message()));  // may quote the file
  }

  std::vector<Piece> cut(std::string_view text) const override {
    std::vector<Piece> pieces;
    if (text.empty())
      return pieces;
    const auto cut = processor.EncodeAsImmutableProto(view(text));
    pieces.reserve(cut.pieces_size());
    for (size_t at = 0; at < cut.pieces_size(); ++at)
      pieces.push_back({cut.pieces(int(at)).piece(), int32_t(cut.pieces(int(at)).id())});
    return pieces;
  }

  std::string join(const std::vector<std::string_view> &pieces, bool more) const override {
    std::vector<absl::string_view> views;
    for (std::string_view piece : pieces)
      views.push_back(view(piece));
    while (more && !views.empty() && (changesText || processor.IsByte(processor.PieceToId(views.back()))))
      views.pop_back();
    std::string text = processor.DecodePieces(views);
    // Pieces that this model does not have (a vocabulary for two languages) are as they were.
    constexpr std::string_view space = "\xE2\x96\x81";
    for (size_t at = 0; (at = text.find(space, at)) != std::string::npos; ++at)
      text.replace(at, space.size(), " ");
    return text;
  }

  std::vector<std::string> all() const override {
    std::vector<std::string> pieces;
    for (int id = 0; id < processor.GetPieceSize(); ++id)
      pieces.push_back(processor.IdToPiece(id));
    return pieces;
  }

  int32_t unknown() const override { return processor.unk_id(); }

private:
  static absl::string_view view(std::string_view text) { return {text.data(), text.size()}; }

  sentencepiece::SentencePieceProcessor processor;
  bool changesText = false;  // rules for the text as a whole, after the pieces are joined
};

}  // namespace

std::unique_ptr<Pieces> openSentencePiece(std::string_view bytes) { return std::make_unique<SentencePiece>(bytes); }

}  // namespace fovea::program
