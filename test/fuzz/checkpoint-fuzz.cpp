// Mutated files of a checkpoint through all that reads such files: as a configuration, as a vocabulary, as pieces and as merges, any bytes give a result or one
// error, and what was read reads lines.
#include "frontend/Frontend.h"
#include "runtime/program/Error.h"
#include "runtime/program/Pieces.h"
#include "test/fuzz/Fuzz.h"
#include "tools/Vocabularies.h"

#include <cstdlib>
#include <fstream>
#include <unistd.h>

using fovea::program::Pieces;

static const char *model = R"(model small {
  config "config.json" { layers = 2; act = "gelu" in {"gelu", "relu"}; }
  reads text by characters "a.vocab";
  writes text by words "b.vocab" start "<s>" end "</s>" at most 5;
  dim V = 5, W = 6, m = config.d_model;
  param e: f32[V,m];
  encode(s: token[b,i], len: length[b,i]) -> (h: f32[b,m]) { mask i < len; h = mean[i](e[V: s]) * config.layers; }
  step(y: token[b], state h: f32[b,m] = encode.h) -> logits: f32[b,W] { logits = sum[m](h); }
})";

static bool isOneLine(const std::string &sentence) { return !sentence.empty() && sentence.find('\n') == std::string::npos; }

static fovea::Verdict check(const std::string &text, std::string &fault) {
  static const std::string path = "/tmp/checkpoint-fuzz-" + std::to_string(getpid());
  bool right = false;
  std::ofstream(path, std::ios::binary) << text;
  fovea::SourceManager sources;
  fovea::Diagnostics diagnostics(sources);
  fovea::CheckOptions options;
  options.config = path;
  auto module = fovea::check(sources.add("nowhere/fuzz.attn", model), sources, diagnostics, options);
  if (diagnostics.str().empty() != module.has_value()) fault = "neither a module nor an error, or both";
  unlink(path.c_str());
  right |= module.has_value();

  std::string error;
  auto lines = fovea::vocabularyFromJson("vocab.json", text, 0, error);
  if (!lines && !isOneLine(error)) fault = "no vocabulary and no error";
  right |= lines.has_value();

  for (auto *open : {fovea::program::openSentencePiece, fovea::program::openBytePairs}) {
    std::unique_ptr<Pieces> pieces;
    try {
      pieces = open(text);
    } catch (const fovea::program::Error &wrong) {
      if (!isOneLine(wrong.what())) fault = "an error of several lines";
      continue;
    }
    right = true;
    for (const char *line : {"", " ", "Hello  world, it's 12\xC2\xBD.", "\xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x8E\x88\xCC\x81", "\xE2\x96\x81 low", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
      std::vector<std::string_view> texts;
      const std::vector<Pieces::Piece> cut = pieces->cut(line);
      for (const Pieces::Piece &piece : cut) texts.push_back(piece.text);
      (void)pieces->join(texts, false);
      (void)pieces->join(texts, true);
    }
    std::vector<std::string> all = pieces->all();
    std::vector<std::string_view> texts(all.begin(), all.begin() + static_cast<long>(std::min<size_t>(all.size(), 300)));
    (void)pieces->join(texts, false);
  }
  return right ? fovea::Verdict::Right : fovea::Verdict::Wrong;
}

int main(int argc, char **argv) { return fovea::fuzz(argc, argv, check); }
