// docs/maps.md: what --maps leaves in its folder.
#include "runtime/program/AttentionMap.h"
#include "runtime/program/Picture.h"
#include "test/program/Execute.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <set>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb/stb_image.h>

using namespace fovea::program;
using nlohmann::json;

namespace {

// The numbers of the pictures' JSON, in a .npy of f32 [steps, columns] or [steps, heads, columns].
TEST(Maps, NumbersAsNumPy) {
  std::string folder = temporaryFolder() + "/traces";
  EXPECT_EQ(execute(toy::model(), {"--traces", folder, "--maps", folder, "--beam", "3"}, "abcde\n").code, 0);
  auto load = [&](const std::string &name, std::string &shape) {
    std::string bytes = readFile(folder + "/000001-" + name + ".npy");
    size_t open = bytes.find("'shape': (") + 10;
    shape = bytes.substr(open, bytes.find(')') - open);
    std::string values = bytes.substr(bytes.find('\n') + 1);
    std::vector<float> numbers(values.size() / sizeof(float));
    std::memcpy(numbers.data(), values.data(), values.size());
    return numbers;
  };
  auto numbers = [](const json &rows) {
    std::vector<std::vector<float>> found;
    for (const json &row : rows)
      found.push_back(row.get<std::vector<float>>());
    return found;
  };
  std::string shape;
  auto p = numbers(json::parse(readFile(folder + "/000001-p.json"))["values"]);
  std::vector<float> wanted;
  for (const auto &row : p)
    wanted.insert(wanted.end(), row.begin(), row.end());
  EXPECT_EQ(load("p", shape), wanted);
  EXPECT_EQ(shape, std::to_string(p.size()) + ", 6");
  auto first = numbers(json::parse(readFile(folder + "/000001-dec.1.heads-h0.json"))["values"]), second = numbers(json::parse(readFile(folder + "/000001-dec.1.heads-h1.json"))["values"]);
  wanted.clear();
  for (size_t step = 0; step < first.size(); ++step) {
    wanted.insert(wanted.end(), first[step].begin(), first[step].end());
    wanted.insert(wanted.end(), second[step].begin(), second[step].end());
  }
  EXPECT_EQ(load("dec.1.heads", shape), wanted);
  EXPECT_EQ(shape, std::to_string(first.size()) + ", 2, " + std::to_string(first[0].size()));
}

TEST(Maps, EveryTraceOfEveryLine) {
  std::string folder = temporaryFolder() + "/maps";
  Outcome outcome = execute(toy::model(), {"--maps", folder, "--beam", "3"}, "abcde\n\nno\xc3\xa9\nquit\n");
  EXPECT_EQ(outcome.code, 1);
  std::set<std::string> found;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    found.insert(entry.path().filename().string());
  std::set<std::string> wanted;
  for (const char *line : {"000001", "000003"})
    for (const char *trace : {"p", "self", "dec.1.heads", "dec.1.heads-h0", "dec.1.heads-h1"})
      for (const char *kind : {".png", ".json"})
        wanted.insert(std::string(line) + "-" + trace + kind);
  EXPECT_EQ(found, wanted);

  std::string output = outcome.lines()[0];
  json p = json::parse(readFile(folder + "/000001-p.json"));
  EXPECT_EQ(p["line"], 1);
  EXPECT_EQ(p["input"], "abcde");
  EXPECT_EQ(p["output"], output);
  EXPECT_EQ(p["trace"], "p");
  EXPECT_FALSE(p.contains("head") || p.contains("layer"));
  EXPECT_EQ(p["columns"], json({"a", "b", "c", "d", "e", "</s>"}));
  std::string rows;
  std::vector<int32_t> prefix{toy::start};
  for (const std::string row : p["rows"])
    if (row != "</s>")
      rows += (rows.empty() ? "" : " ") + row;
  EXPECT_EQ(rows, output);
  ASSERT_EQ(p["values"].size(), p["rows"].size());
  std::vector<int32_t> source = toy::encodeLetters("abcde");
  int32_t before = toy::start;
  for (size_t step = 0; step < p["rows"].size(); ++step) {
    ASSERT_EQ(p["values"][step].size(), source.size()) << "padding is cut off";
    for (size_t i = 0; i < source.size(); ++i)
      EXPECT_EQ(p["values"][step][i].get<float>(), float((source[i] + before) % 5) / 4);
    std::string row = p["rows"][step];
    before = row == "</s>" ? toy::end : row[0] - 'A' + 2;
  }

  json first = json::parse(readFile(folder + "/000001-dec.1.heads-h0.json")), second = json::parse(readFile(folder + "/000001-dec.1.heads-h1.json")),
       mean = json::parse(readFile(folder + "/000001-dec.1.heads.json"));
  EXPECT_EQ(first["trace"], "dec.1.heads");
  EXPECT_EQ(first["layer"], 1);
  EXPECT_EQ(first["head"], 0);
  EXPECT_EQ(second["head"], 1);
  EXPECT_EQ(mean["head"], "mean");
  for (size_t step = 0; step < mean["values"].size(); ++step)
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(first["values"][step][i].get<float>(), i == step % 6 ? 1.0f : 0.0f);
      EXPECT_NEAR(second["values"][step][i].get<float>(), 1.0 / 6, 1e-6);
      EXPECT_NEAR(mean["values"][step][i].get<float>(), ((i == step % 6) + 1.0 / 6) / 2, 1e-6);
    }

  json self = json::parse(readFile(folder + "/000003-self.json"));
  EXPECT_EQ(self["columns"][0], "<s>");
  for (size_t step = 0; step < self["values"].size(); ++step) {
    ASSERT_EQ(self["values"][step].size(), self["columns"].size());
    for (size_t column = step + 1; column < self["columns"].size(); ++column)
      EXPECT_EQ(self["values"][step][column], 0);
  }
}

struct Image {
  int width = 0, height = 0;
  std::vector<unsigned char> pixels;
  explicit Image(const std::string &png) {
    int channels;
    unsigned char *data = stbi_load_from_memory(reinterpret_cast<const unsigned char *>(png.data()), int(png.size()), &width, &height, &channels, 3);
    if (data)
      pixels.assign(data, data + width * height * 3);
    stbi_image_free(data);
  }
  int lightness(int x, int y) const {
    const unsigned char *pixel = &pixels[size_t((y * width + x) * 3)];
    return pixel[0] + pixel[1] + pixel[2];
  }
};

TEST(Maps, PictureShowsTheValues) {
  AttentionMap map{"in", "out", "p", 0, 1, {"A", "B"}, {"x", "y", "z"}, {{0, 1, 0}, {0, 0, 0.5f}}};
  Image image(draw(map));
  ASSERT_FALSE(image.pixels.empty());
  // The darkest area is the cell of 1; white background at the edges.
  EXPECT_EQ(image.lightness(0, 0), 765);
  size_t dark = 0, middle = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      Color full = ramp(1), half = ramp(0.5);
      dark += image.lightness(x, y) == full.red + full.green + full.blue;
      middle += image.lightness(x, y) == half.red + half.green + half.blue;
    }
  EXPECT_GE(dark, 29u * 29u);
  EXPECT_GE(middle, 29u * 29u);
}

TEST(Maps, PicturesOfAnySize) {
  for (auto [rows, columns] : {std::pair<size_t, size_t>{0, 0}, {1, 1}, {3, 2000}, {200, 1}}) {
    AttentionMap map{std::string(3000, 'w'), "a b c", "p", -1, 4, std::vector<std::string>(rows, "row"), std::vector<std::string>(columns, "a long label"),
                     std::vector<std::vector<float>>(rows, std::vector<float>(columns, 0.25f))};
    Image image(draw(map));
    EXPECT_FALSE(image.pixels.empty()) << rows << " x " << columns;
    EXPECT_LT(image.width, 5000);
  }
  AttentionMap odd{"\xff\xC3", "\xE2\x82\xAC", "p", 0, 1, {"\xF0"}, {"\xC3\xA9"}, {{NAN}}};
  EXPECT_FALSE(Image(draw(odd)).pixels.empty());
}

TEST(Maps, RampDarkensEvenly) {
  int before = 766;
  for (int step = 0; step <= 20; ++step) {
    Color color = ramp(step / 20.0);
    int sum = color.red + color.green + color.blue;
    EXPECT_LT(sum, before);
    before = sum;
  }
  EXPECT_LT(before, 200);
}

}  // namespace
