// Weight files: layouts, types, and files that do not fit.
#include "runtime/program/Error.h"
#include "runtime/program/Weights.h"
#include "test/program/Execute.h"
#include "test/program/GruModel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

using namespace fovea::program;

namespace {

const std::vector<std::string> words = {"a", "b c", "d d e", "a b c d e", "e", "c a b b a d e e", "b", "a a a a a a a a a a a a"};

std::string input() {
  std::string text;
  for (const std::string &line : words)
    text += line + "\n";
  return text;
}

std::string wanted(const gru::Weights &weights) {
  std::string text;
  for (const std::string &line : words) {
    std::vector<int32_t> source;
    for (char letter : line)
      if (letter != ' ')
        source.push_back(letter - 'a' + 1);
    source.push_back(0);
    std::string result;
    for (int32_t token : gru::decode(weights, source))
      result += (result.empty() ? "" : " ") + std::string(token == 0 ? "<s>" : std::string(1, char('A' + token - 2)));
    text += result + "\n";
  }
  return text;
}

TEST(Weights, FileGivenBesideAndInside) {
  gru::Weights weights = gru::randomWeights(1);
  std::string folder = temporaryFolder(), path = folder + "/w.safetensors";
  gru::write(weights, path);
  Outcome outcome = execute(gru::model(), {"--weights", path}, input());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.out, wanted(weights));
  for (const char *batch : {"1", "3"})
    EXPECT_EQ(execute(gru::model(), {"--weights", path, "--batch", batch}, input()).out, wanted(weights));

  EXPECT_EQ(execute(gru::model(readFile(path)), {}, input()).out, wanted(weights)) << "weights inside the program";
  gru::Weights others = gru::randomWeights(2);
  gru::write(others, folder + "/others.safetensors");
  EXPECT_EQ(execute(gru::model(readFile(path)), {"--weights", folder + "/others.safetensors"}, input()).out, wanted(others)) << "--weights wins";

  outcome = execute(gru::model(), {}, input());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("tiny.safetensors"), std::string::npos) << outcome.err;
}

TEST(Weights, OtherTypesConvert) {
  std::string path = temporaryFolder() + "/w.safetensors";
  for (const char *type : {"F64", "F16", "BF16"}) {
    gru::Weights weights = gru::randomWeights(3);
    for (auto *values : {&weights.source, &weights.target, &weights.input, &weights.recurrent, &weights.output})
      for (float &value : *values) {
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        bits &= 0xFFFF0000;
        if (type == std::string("BF16"))
          std::memcpy(&value, &bits, 4);
        if (type == std::string("F16"))
          value = float(_Float16(value));
      }
    gru::write(weights, path, type);
    EXPECT_EQ(execute(gru::model(), {"--weights", path}, input()).out, wanted(weights)) << type;
  }
}

TEST(Weights, OfAnotherModel) {
  std::string path = temporaryFolder() + "/w.safetensors";
  float values[gru::letters * gru::hidden + 3] = {};
  auto complain = [&](std::vector<fovea::SafeTensor> tensors) {
    std::string error;
    EXPECT_TRUE(fovea::writeSafeTensors(path, tensors, error)) << error;
    Outcome outcome = execute(gru::model(), {"--weights", path}, "a\n");
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  };
  std::string prefix = "toy: error: " + path + ": these are weights of another model: ";
  EXPECT_EQ(complain({{"x", "F32", {2}, values, 8}}), prefix + "there is no tensor `src`\n");
  EXPECT_EQ(complain({{"src", "F32", {5, 6}, values, 120}}), prefix + "tensor `src` has shape [5, 6], and the model wants [6, 5]\n");
  EXPECT_EQ(complain({{"src", "I32", {6, 5}, values, 120}}), prefix + "tensor `src` is stored as I32, and the model wants f32\n");
  EXPECT_EQ(complain({{"src", "F32", {6, 5}, values, 120}}), prefix + "there is no tensor `tgt`\n");
}

TEST(Weights, MalformedFiles) {
  std::string folder = temporaryFolder(), path = folder + "/w.safetensors";
  gru::write(gru::randomWeights(1), path);
  std::string good = readFile(path);
  auto code = [&](const std::string &bytes) {
    writeFile(path, bytes);
    Outcome outcome = execute(gru::model(), {"--weights", path}, "a\n");
    EXPECT_TRUE(outcome.code == 0 || (outcome.code == 1 && !outcome.err.empty())) << outcome.code << " " << outcome.err;
    return outcome.code;
  };
  EXPECT_EQ(code(""), 1);
  EXPECT_EQ(code(good.substr(0, 7)), 1);
  EXPECT_EQ(code(good.substr(0, 100)), 1);
  EXPECT_EQ(code(good.substr(0, good.size() - 1)), 1);
  EXPECT_EQ(code(std::string(8, '\xff') + good.substr(8)), 1);
  std::mt19937 random(4);
  size_t header = 8 + size_t(static_cast<unsigned char>(good[0])) + 256 * size_t(static_cast<unsigned char>(good[1]));
  for (int round = 0; round < 100; ++round) {
    std::string bad = good;
    bad[random() % header] ^= char(1 << random() % 8);
    code(bad);
  }
  Outcome outcome = execute(gru::model(), {"--weights", folder + "/none"}, "a\n");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("none"), std::string::npos);
  EXPECT_EQ(execute(gru::model(), {"--weights", folder}, "a\n").code, 1);
}

TEST(Weights, LayoutsAreWhatTheySay) {
  // w[h, d, m] lies in the file as [(m h), d]; every element says where it belongs.
  Parameter parameter{"w", {}, Type::F32, {2, 3, 4}, {{2, 0}, {1}}};
  std::vector<float> stored;
  for (int m = 0; m < 4; ++m)
    for (int h = 0; h < 2; ++h)
      for (int d = 0; d < 3; ++d)
        stored.push_back(float(100 * h + 10 * d + m));
  Buffer buffer;
  auto *values = static_cast<const float *>(layOut(parameter, {"w", "F32", {8, 3}, stored.data(), stored.size() * 4}, buffer));
  for (int h = 0; h < 2; ++h)
    for (int d = 0; d < 3; ++d)
      for (int m = 0; m < 4; ++m)
        EXPECT_EQ(values[(h * 3 + d) * 4 + m], float(100 * h + 10 * d + m));
  // In order, and so in place.
  parameter.layout = {{0, 1}, {2}};
  EXPECT_EQ(layOut(parameter, {"w", "F32", {6, 4}, stored.data(), stored.size() * 4}, buffer), stored.data());
  parameter = {"s", {}, Type::F32, {}, {}};
  EXPECT_EQ(layOut(parameter, {"s", "F32", {}, stored.data(), 4}, buffer), stored.data()) << "a scalar";
}

TEST(Weights, TheFirstNameThatIsThere) {
  const float first[] = {1, 2}, second[] = {3, 4};
  const std::string path = temporaryFolder() + "/w.safetensors";
  std::string error;
  ASSERT_TRUE(fovea::writeSafeTensors(path, {{"b", "F32", {2}, first, 8}, {"c", "F32", {2}, second, 8}}, error)) << error;
  Weights weights(path);
  EXPECT_EQ(static_cast<const float *>(weights.find({"x", {"a", "b", "c"}, Type::F32, {2}, {{0}}}))[0], 1);
  EXPECT_EQ(static_cast<const float *>(weights.find({"x", {"c", "b"}, Type::F32, {2}, {{0}}}))[0], 3);
  try {
    weights.check({"x", {"a", "d"}, Type::F32, {2}, {{0}}});
    ADD_FAILURE();
  } catch (const Error &wrong) {
    EXPECT_EQ(wrong.what(), path + ": these are weights of another model: there is no tensor `a` nor any of its other names");
  }
}

TEST(Weights, QuantisedRows) {
  // w[k, n] lies in the file as [n, k]: K = 5 in groups of 4, N = 3 in panels of 2.
  const float stored[] = {127, -127, 2.5f, 3.5f, -0.5f, 0, 0, 0, 0, 0, 1, -2, NAN, 4, 5};
  Parameter parameter{"w", {"there"}, Type::F32, {5, 3}, {{1}, {0}}};
  parameter.quantised.emplace();
  parameter.quantised->summed = {0}, parameter.quantised->kept = {1};
  parameter.quantised->columns = 2, parameter.quantised->group = 4, parameter.quantised->K = 5, parameter.quantised->N = 3;
  parameter.plain = false;
  Parameter other{"bias", {}, Type::F32, {3}, {{0}}};
  std::string folder = temporaryFolder(), error;
  ASSERT_TRUE(fovea::writeSafeTensors(folder + "/w.safetensors", {{"there", "F32", {3, 5}, stored, sizeof stored}, {"bias", "F32", {3}, stored, 12}, {"more", "F32", {1}, stored, 4}}, error)) << error;
  Weights exact(folder + "/w.safetensors");
  exact.writeFor({parameter, other}, folder + "/q.safetensors");
  Weights written(folder + "/q.safetensors");
  for (Weights *weights : {&exact, &written}) {
    Weights::Quantised q = weights->findQuantised(parameter);
    const int8_t codes[2][2][2][4] = {{{{127, -127, 2, 4}, {0, 0, 0, 0}}, {{0, 0, 0, 0}, {0, 0, 0, 0}}}, {}};  // halves to even; NaN: 0
    EXPECT_EQ(std::memcmp(q.codes, codes, sizeof codes), 0);
    EXPECT_EQ(q.scales[0], 1);
    EXPECT_EQ(q.scales[1], 0) << "a row of zeros";
    EXPECT_NE(q.scales[2], q.scales[2]) << "a row with a NaN";
    EXPECT_EQ(q.scales[3], 0) << "no row";
    const int32_t sums[] = {6, 0, 0, 0};
    EXPECT_EQ(std::memcmp(q.sums, sums, sizeof sums), 0);
  }
  EXPECT_EQ(static_cast<const float *>(written.find(other))[1], -127);
  EXPECT_THROW(written.find(parameter), Error) << "the floats are not there any more";
  parameter.quantised->columns = 4;
  EXPECT_THROW(written.findQuantised(parameter), Error) << "laid for another target";
}

TEST(Weights, HalvesRoundToNearestEven) {
  std::vector<float> values = {0, -0.0f, 1, 65504, 65519, 65520, 1e9f, -1e9f, 6.1e-5f, 5.96e-8f, 2.98e-8f, 2.99e-8f, 1.00048828125f, 1.0014648f, INFINITY};
  Buffer half, brain;
  std::vector<int64_t> shape{int64_t(values.size())};
  {
    auto *bits = static_cast<const uint16_t *>(layOut({"v", {}, Type::F16, shape, {{0}}}, {"v", "F32", shape, values.data(), values.size() * 4}, half));
    for (size_t k = 0; k < values.size(); ++k) {
      auto expected = _Float16(values[k]);
      uint16_t want;
      std::memcpy(&want, &expected, 2);
      EXPECT_EQ(bits[k], want) << values[k];
    }
  }
  float tie = 1.00390625f, above = 1.01171875f;  // halfway between two bf16 numbers
  values = {tie, above, 3.4e38f, -INFINITY};
  shape = {4};
  auto *bits = static_cast<const uint16_t *>(layOut({"v", {}, Type::BF16, shape, {{0}}}, {"v", "F32", shape, values.data(), 16}, brain));
  EXPECT_EQ(bits[0], 0x3F80);
  EXPECT_EQ(bits[1], 0x3F82);
  EXPECT_EQ(bits[2], 0x7F80);
  EXPECT_EQ(bits[3], 0xFF80);
}

}  // namespace
