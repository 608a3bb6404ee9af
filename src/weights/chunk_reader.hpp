// A thread that reads files chunk by chunk, a few chunks ahead of whoever sends them.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "memcap/base/file_facts.hpp"
#include "weights/chunk_plan.hpp"
#include "weights/exchange_message.hpp"

namespace memcap::weights {

/// What a leader sends: first the announcement, then the chunks in the plan's order. The last chunk of a file
/// is there only once the file is known to be the one that was meant: by its facts, or by the hash of what
/// was read. Receivers have no need to hash what they get, then: each chunk has a checksum, and all of them
/// make the file.
class ChunkReader {
  public:
    struct Setup {
        std::uint64_t group = 0;
        std::vector<std::filesystem::path> files;
        std::vector<KnownFile> known = {};  ///< what files of these names must hold
        std::size_t chunk_bytes = 0;
        std::size_t ahead = 1;                      ///< chunks that are read before anybody takes them
        std::function<std::string()> make_nccl_id;  ///< empty: none; called on the reading thread
    };

    explicit ChunkReader(Setup setup);
    /// Stops reading.
    ~ChunkReader();
    ChunkReader(const ChunkReader&) = delete;
    ChunkReader& operator=(const ChunkReader&) = delete;

    /// The announcement, once; empty while the files are not open.
    std::optional<exchange::Announce> take_announcement();
    /// The next chunk as bytes to be sent, if it is read.
    std::optional<Bytes> take();
    /// The same, waiting up to `wait_s` for it.
    std::optional<Bytes> take(double wait_s);
    /// All chunks were taken.
    bool finished() const;
    /// Why reading ended early; empty if it did not.
    std::string failure() const;
    std::size_t chunks() const;
    std::size_t total_bytes() const;
    /// Time in the file system so far.
    double read_s() const;
    /// Reads no further.
    void stop();

  private:
    void run();
    void read_all();
    std::optional<Bytes> pop();

    Setup setup_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<exchange::Announce> announcement_;
    std::deque<Bytes> read_;
    std::size_t chunks_ = 0;
    std::size_t total_bytes_ = 0;
    std::size_t taken_ = 0;
    bool opened_ = false;
    bool stopped_ = false;
    double read_s_ = 0.0;
    std::string failure_;
    std::thread thread_;
};

}  // namespace memcap::weights
