// Reading and writing safetensors files: what is written is read, and no lie is believed.
#include "runtime/support/SafeTensors.h"

#include "runtime/support/File.h"

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <numeric>
#include <random>

using namespace fovea;

namespace {

std::string file(const std::string &header, const std::string &data, uint64_t length) {
  std::string bytes(8, 0);
  for (int k = 0; k < 8; ++k)
    bytes[k] = static_cast<char>(length >> 8 * k);
  return bytes + header + data;
}
std::string file(const std::string &header, const std::string &data = "") { return file(header, data, header.size()); }

std::string errorOf(const std::string &bytes) {
  std::string error;
  return SafeTensors::view("f", bytes, error) ? "" : error;
}

struct SafeTensorsFile : testing::Test {
  TemporaryFolder folder;
  std::string path = folder.path() + "/x.safetensors", error;
};

TEST_F(SafeTensorsFile, AllTypesThereAndBack) {
  const std::pair<const char *, size_t> types[] = {{"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
                                                   {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"U64", 8}, {"C64", 8}};
  std::vector<uint64_t> storage(64);
  for (size_t k = 0; k < storage.size(); ++k)
    storage[k] = k * 0x9E3779B97F4A7C15u;
  std::vector<SafeTensor> tensors = {{"scalar", "F32", {}, storage.data(), 4}, {"empty", "F64", {3, 0, 2}, nullptr, 0}, {"quarter \"ü\"\n", "F4", {2, 4}, storage.data(), 4},
                                     {"six", "F6_E2M3", {4}, storage.data(), 3}};
  for (auto [type, size] : types)
    tensors.push_back({std::string("t.") + type, type, {3, 5}, storage.data(), 15 * size});
  ASSERT_TRUE(writeSafeTensors(path, tensors, error, {{"format", "pt"}})) << error;
  auto read = SafeTensors::open(path, error);
  ASSERT_TRUE(read) << error;
  EXPECT_EQ(read->tensors().size(), tensors.size());
  EXPECT_EQ(read->metadata().at("format"), "pt");
  for (const SafeTensor &tensor : tensors) {
    const SafeTensor *found = read->find(tensor.name);
    ASSERT_TRUE(found) << tensor.name;
    EXPECT_EQ(found->type, tensor.type);
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->bytes, tensor.bytes);
    EXPECT_TRUE(!tensor.bytes || std::memcmp(found->data, tensor.data, tensor.bytes) == 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found->data) % std::max(1, findSafeType(tensor.type)->bits / (tensor.type == "C64" ? 16 : 8)), 0u) << tensor.name;
  }
  EXPECT_EQ(read->find("nothing"), nullptr);
}
TEST_F(SafeTensorsFile, NoTensors) {
  ASSERT_TRUE(writeSafeTensors(path, {}, error)) << error;
  auto read = SafeTensors::open(path, error);
  ASSERT_TRUE(read) << error;
  EXPECT_TRUE(read->tensors().empty());
}
TEST_F(SafeTensorsFile, WritesWholeOrNotAtAll) {
  float value = 1;
  EXPECT_FALSE(writeSafeTensors(path, {{"a", "F32", {2}, &value, 4}}, error));
  EXPECT_EQ(error, path + ": tensor `a` has a type or a size that does not fit");
  EXPECT_FALSE(writeSafeTensors(path, {{"a", "F32", {}, &value, 4}, {"a", "F32", {}, &value, 4}}, error));
  EXPECT_EQ(error, path + ": two tensors are named `a`");
  EXPECT_FALSE(writeSafeTensors(path, {{"\xFF", "F32", {}, &value, 4}}, error));
  EXPECT_EQ(error, path + ": a tensor's name is not UTF-8");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}
TEST_F(SafeTensorsFile, FilesThatAreNone) {
  EXPECT_FALSE(SafeTensors::open(path, error));
  EXPECT_EQ(error, path + ": cannot open: No such file or directory");
  EXPECT_FALSE(SafeTensors::open(folder.path(), error));
  EXPECT_EQ(error, folder.path() + ": not a file");
  ASSERT_TRUE(writeFileAtomically(path, "", error));
  EXPECT_FALSE(SafeTensors::open(path, error));
  EXPECT_EQ(error, path + ": not a safetensors file: shorter than 8 bytes");
}
TEST_F(SafeTensorsFile, UnalignedTensorsAreCopied) {
  std::string data("x\0\0\x80\x3F", 5);
  auto read = SafeTensors::view("f", file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}  )", data), error);
  ASSERT_TRUE(read) << error;
  const void *at = read->find("f")->data;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % 4, 0u);
  EXPECT_EQ(*static_cast<const float *>(at), 1.0f);
}

TEST(SafeTensorsLies, Each) {
  const std::pair<std::string, const char *> cases[] = {
      {"", "not a safetensors file: shorter than 8 bytes"},
      {"1234567", "not a safetensors file: shorter than 8 bytes"},
      {file("{}", "", UINT64_MAX), "not a safetensors file: a header of 18446744073709551615 bytes"},
      {file("{}", "", 3), "cut short: the header says 3 bytes, the file has 2"},
      {file(""), "the header does not begin with `{`"},
      {file(" {}"), "the header does not begin with `{`"},
      {file("{"), "the header is not JSON"},
      {file("{}x"), "the header is not JSON"},
      {file("{\"a\":\"\xFF\"}"), "the header is not JSON"},
      {file("{" + std::string(100000, '[')), "the header is nested too deep"},
      {file(R"({"a":1})"), "tensor `a` lacks one of `dtype`, `shape`, `data_offsets`"},
      {file(R"({"a":{"dtype":"F32","shape":[]}})"), "tensor `a` lacks one of `dtype`, `shape`, `data_offsets`"},
      {file(R"({"a":{"dtype":5,"shape":[],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a `dtype` that is not a string"},
      {file(R"({"a":{"dtype":"F33","shape":[],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has the unknown type `F33`"},
      {file(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a `shape` that is not a list of extents"},
      {file(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a `shape` that is not a list of extents"},
      {file(R"({"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}})", "abcd"), "the header is not JSON"},
      {file(R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a `shape` that is not a list of extents"},
      {file(R"({"a":{"dtype":"F32","shape":3,"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a `shape` that is not a list of extents"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0]}})", "abcd"), "tensor `a` has `data_offsets` that are not two positions"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,"4"]}})", "abcd"), "tensor `a` has `data_offsets` that are not two positions"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[4,0]}})", "abcd"), "tensor `a` lies outside the file: bytes 4 to 0 of 4"},
      {file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "abcd"), "tensor `a` lies outside the file: bytes 0 to 8 of 4"},
      {file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a shape of 8 bytes but lies in 4"},
      {file(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "a"), "tensor `a` has a shape of 1 bytes but lies in 1"},
      {file(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}})", "abcd"), "tensor `a` has a shape whose size overflows"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "abcd"), "`a` occurs twice in the header"},
      {file(R"({"a":{"dtype":"F32","dtype":"I32","shape":[],"data_offsets":[0,4]}})", "abcd"), "`dtype` occurs twice in the header"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[2,6]}})", "abcdef"), "tensor `b` overlaps another"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "abcd"), "tensor `b` overlaps another"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[2,6]}})", "abcdef"), "there are 2 unused bytes before tensor `a`"},
      {file(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "abcdef"), "there are 2 unused bytes at the end"},
      {file(R"({"__metadata__":{"a":1}})"), "`__metadata__` is not a map from strings to strings"},
      {file(R"({"__metadata__":[]})"), "`__metadata__` is not a map from strings to strings"},
  };
  for (const auto &[bytes, message] : cases)
    EXPECT_EQ(errorOf(bytes), std::string("f: ") + message);
  EXPECT_EQ(errorOf(file(R"({"a":{"dtype":"F32","shape":[0,99999999999,99999999999],"data_offsets":[0,0]}})")), "");
}

// Every prefix and every flipped bit is read or refused, never believed beyond the file's end (sanitizers watch).
TEST_F(SafeTensorsFile, TruncatedAndFlipped) {
  std::vector<float> values(24);
  std::iota(values.begin(), values.end(), 0.0f);
  ASSERT_TRUE(writeSafeTensors(path, {{"a", "F32", {2, 3}, values.data(), 24}, {"b", "BF16", {5}, values.data(), 10}, {"c", "U8", {}, values.data(), 1}}, error));
  std::string whole = *readFile(path, error);
  auto touch = [](const std::string &bytes) {
    std::string error;
    // A copy of just this size, so that a read beyond it is seen.
    std::unique_ptr<char[]> exact(new char[bytes.size()]);
    std::memcpy(exact.get(), bytes.data(), bytes.size());
    auto read = SafeTensors::view("f", {exact.get(), bytes.size()}, error);
    unsigned sum = 0;
    if (read)
      for (const SafeTensor &tensor : read->tensors())
        for (size_t k = 0; k < tensor.bytes; ++k)
          sum += static_cast<const unsigned char *>(tensor.data)[k];
    return std::pair(static_cast<bool>(read), sum);
  };
  EXPECT_TRUE(touch(whole).first);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(touch(whole.substr(0, size)).first) << size;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    touch(damaged);
  }
  std::mt19937 random(11);
  for (int n = 0; n < 20000; ++n) {
    std::string damaged = whole;
    for (int k = 0; k < 4; ++k)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    touch(damaged);
  }
}

}  // namespace
