// Weight files read by one process of a node for all of them.
#include <algorithm>

#include "memcap/base/input_file.hpp"
#include "memcap/base/shared_arena.hpp"
#include "memcap/hub/safetensors.hpp"

namespace memcap::hub {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = std::size_t{4} << 20U;

class NodeMemory final : public FileMemory {
  public:
    explicit NodeMemory(const std::vector<fs::path>& paths) {
        std::vector<InputFile> inputs;
        std::size_t most_bytes = 0;
        identity_ = "read once:";
        for (const auto& path : paths) {
            const InputFile& input = inputs.emplace_back(path);
            most_bytes += input.size_bytes() + kAlignment;
            identity_ += " " + input.facts().text();
        }
        arena_ = SharedArena::open(identity_, most_bytes);
        for (std::size_t i = 0; i < paths.size(); ++i) {
            const std::string name = paths[i].filename().string();
            auto bytes = arena_->find(name);
            if (!bytes) {
                bytes = arena_->add(name, inputs[i].size_bytes());
                read_all(inputs[i], *bytes);
                // Under this key the others take it for the file as it was opened.
                inputs[i].require_unchanged();
            }
            files_.push_back({name, *bytes, inputs[i].facts()});
        }
        arena_->publish();
    }

    const std::vector<File>& files() const override { return files_; }
    const std::string& identity() const override { return identity_; }
    void wait_for(std::span<const std::byte>) const override {}

  private:
    static constexpr std::size_t kAlignment = 64;

    static void read_all(const InputFile& input, std::span<std::byte> target) {
        for (std::size_t at = 0; at < target.size(); at += kPieceBytes) {
            input.read(at, target.subspan(at, std::min(kPieceBytes, target.size() - at)));
        }
    }

    std::shared_ptr<SharedArena> arena_;
    std::vector<File> files_;
    std::string identity_;
};

}  // namespace

std::shared_ptr<const FileMemory> read_once_a_node(const fs::path& folder) {
    return std::make_shared<NodeMemory>(weight_files(folder));
}

}  // namespace memcap::hub
