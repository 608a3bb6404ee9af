// Fuzz target: model.safetensors, with mutations that keep the header's length right and change its numbers.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/readers.hpp"

// These three names are libFuzzer's.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    memcap::fuzz::read_weights(std::as_bytes(std::span(data, size)));
    return 0;
}

namespace {

using Random = std::minstd_rand;

constexpr std::size_t kLengthBytes = 8;

/// Numbers at which shapes and offsets overflow, wrap or vanish.
constexpr std::array<std::string_view, 10> kEdges{"0",
                                                  "1",
                                                  "4",
                                                  "4294967295",
                                                  "4294967296",
                                                  "4611686018427387904",
                                                  "9223372036854775807",
                                                  "9223372036854775808",
                                                  "18446744073709551612",
                                                  "18446744073709551615"};

struct Place {
    std::size_t begin;
    std::size_t size;
};

/// Where numbers stand after brackets and commas: those of shapes and offsets.
std::vector<Place> numbers_in(std::string_view header) {
    constexpr std::string_view kDigits = "0123456789";
    std::vector<Place> places;
    for (std::size_t i = header.find_first_of(kDigits); i < header.size();
         i = header.find_first_of(kDigits, i)) {
        const std::size_t end = std::min(header.find_first_not_of(kDigits, i), header.size());
        if (i > 0 && (header[i - 1] == '[' || header[i - 1] == ',')) places.push_back({i, end - i});
        i = end;
    }
    return places;
}

/// Puts another number in place of one: its neighbour, an edge, or one that stands elsewhere in the header.
void change_number(std::string& header, Random& random) {
    const auto places = numbers_in(header);
    if (places.empty()) return;
    const Place place = places[random() % places.size()];
    const Place other = places[random() % places.size()];
    std::string number = header.substr(other.begin, other.size);
    const auto kind = random() % 4;
    if (kind == 0) number = kEdges[random() % kEdges.size()];
    if (kind == 1 && place.size < 18) {
        const auto value = std::stoull(header.substr(place.begin, place.size));
        number = std::to_string(random() % 2 == 0 ? value + 1 : value - 1);
    }
    header.replace(place.begin, place.size, number);
}

}  // namespace

/// A header that has grown or shrunk by a mutation would be refused for its length alone, and a number
/// changed in its digits for being another one: most mutations keep the length right, half of these change
/// one to three whole numbers.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
    Random random(seed);
    std::uint64_t length = 0;
    if (size >= kLengthBytes) std::memcpy(&length, data, kLengthBytes);
    if (size < kLengthBytes || length > size - kLengthBytes || random() % 5 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    std::string header(reinterpret_cast<const char*>(data) + kLengthBytes, length);
    std::string tensors(reinterpret_cast<const char*>(data) + kLengthBytes + length,
                        size - kLengthBytes - length);
    if (random() % 8 == 0)
        tensors.resize(tensors.size() + random() % 9 -
                       random() % (std::min<std::size_t>(tensors.size(), 8) + 1));
    if (random() % 2 == 0) {
        for (auto changes = 1 + random() % 3; changes > 0; --changes) change_number(header, random);
    } else {
        header.resize(max_size);
        header.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(header.data()), length, max_size));
    }
    length = header.size();
    const std::size_t changed_size = kLengthBytes + header.size() + tensors.size();
    if (changed_size > max_size) return LLVMFuzzerMutate(data, size, max_size);
    std::memcpy(data, &length, kLengthBytes);
    std::memcpy(data + kLengthBytes, header.data(), header.size());
    std::memcpy(data + kLengthBytes + header.size(), tensors.data(), tensors.size());
    return changed_size;
}
