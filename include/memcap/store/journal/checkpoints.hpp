// How far trials that have not ended yet are: the newest checkpoint of each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"
#include "memcap/store/journal/append_file.hpp"

namespace memcap::store {

/// Files of frames, the newest of a trial counts. Whoever writes must hold the folder's lock. What they hold
/// can be computed again, so damage costs time, never a result.
class Checkpoints {
  public:
    /// Reads what is there; frames of trials that `wanted` does not name are dropped. Throws StoreError if
    /// the folder cannot be read.
    static Checkpoints open(const std::filesystem::path& folder,
                            const std::function<bool(const Id128&)>& wanted);

    /// Keeps a trial's state in place of the one before; durable after sync(). Throws StoreError.
    void put(const Id128& trial, std::span<const std::byte> state);
    /// The trial has ended.
    void drop(const Id128& trial);
    /// The newest state of a trial; none if there is none, or it cannot be read any more.
    std::optional<Bytes> get(const Id128& trial) const;
    std::size_t size() const noexcept { return places_.size(); }
    /// Throws StoreError.
    void sync();
    /// Syncs, and removes files in which nothing is left.
    void close();

  private:
    struct Place {
        std::uint32_t file = 0;
        std::uint64_t offset_bytes = 0;  ///< of the payload
        std::uint64_t size_bytes = 0;
    };

    explicit Checkpoints(std::filesystem::path folder) : folder_(std::move(folder)) {}
    std::filesystem::path path_of(std::uint32_t file) const;
    void read(std::uint32_t file, const std::function<bool(const Id128&)>& wanted);
    void write(const Id128& trial, std::span<const std::byte> state);
    void begin_file();
    void compact();

    std::filesystem::path folder_;
    std::optional<AppendFile> file_;
    std::uint32_t number_ = 0;  ///< of the newest file
    std::uint64_t sequence_ = 0;
    std::uint64_t live_bytes_ = 0;
    std::uint64_t all_bytes_ = 0;  ///< of all files
    std::unordered_map<Id128, Place> places_;
};

}  // namespace memcap::store
