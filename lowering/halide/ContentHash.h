// What names a leaf or a nest: equal content, equal name.
#ifndef FOVEA_LOWERING_HALIDE_CONTENTHASH_H
#define FOVEA_LOWERING_HALIDE_CONTENTHASH_H

#include <string>
#include <string_view>

namespace fovea::leaf {

// FNV-1a, 128 bits, as 32 hexadecimal digits.
inline std::string contentHash(std::string_view text) {
  unsigned __int128 h = (unsigned __int128)0x6c62272e07bb0142ull << 64 | 0x62b821756295c58dull;
  const unsigned __int128 prime = (unsigned __int128)0x0000000001000000ull << 64 | 0x13bull;
  for (unsigned char c : text) h = (h ^ c) * prime;
  std::string digits;
  for (int i = 124; i >= 0; i -= 4) digits += "0123456789abcdef"[int(h >> i & 15)];
  return digits;
}

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_CONTENTHASH_H
