// A folder that stands for `/`, with files of proc and sys as a test writes them.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "support/temporary_folder.hpp"

namespace memcap::test {

class SystemFiles {
  public:
    void write(const std::string& file, const std::string& text) const {
        const auto path = root() / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    std::filesystem::path root() const { return folder_ / "root"; }

  private:
    TemporaryFolder folder_;
};

}  // namespace memcap::test
