// Model folders written byte by byte, so that tests can damage them at will.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "memcap/base/errors.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::hub::testing {

/// The bytes of a safetensors file: the header's length, the header, the data.
inline std::string safetensors(std::string_view header, std::string_view data) {
    const std::uint64_t size = header.size();
    std::string bytes(sizeof(size), '\0');
    std::memcpy(bytes.data(), &size, sizeof(size));
    return bytes.append(header).append(data);
}

/// A folder with the files that a test puts in.
class ModelFolder {
  public:
    const std::filesystem::path& path() const { return folder_.path(); }
    std::filesystem::path file(std::string_view name) const { return path() / name; }
    void write(std::string_view name, std::string_view content) const {
        std::ofstream stream(file(name), std::ios::binary);
        stream.write(content.data(), static_cast<std::streamsize>(content.size()));
        ASSERT_TRUE(stream.flush()) << name;
    }

  private:
    test::TemporaryFolder folder_;
};

/// The message of the DataError that `call` throws, without the folder's path in front.
template <class Call>
std::string data_error(const ModelFolder& folder, Call call) {
    try {
        call();
    } catch (const DataError& error) {
        const std::string message = error.what();
        const std::string path = folder.path().string();
        return message.starts_with(path) ? message.substr(path.size()) : "elsewhere: " + message;
    }
    return "no error";
}

}  // namespace memcap::hub::testing
