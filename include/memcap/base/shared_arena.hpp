// Memory that the processes of one node fill once and then share, named by what it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace memcap {

/// Named regions of anonymous memory. The first process that opens a key is its maker and fills it, while the
/// others that open the same key wait; then all map the same pages, sealed against any change. The memory
/// goes with the last process that holds it, however that ends: nothing is left behind but a file of some
/// bytes in the folder for temporary files. If the maker ends before publish(), the next one that waits
/// is the maker. Processes of other users and other nodes share nothing.
class SharedArena {
  public:
    /// Joins the arena of this key or becomes its maker. `most_bytes` bounds what a maker will add; only what
    /// is written takes memory. Where the system lets nothing be shared, the caller is the maker of memory of
    /// its own and why_alone() says why. Throws std::bad_alloc if no address space is left.
    static std::shared_ptr<SharedArena> open(const std::string& key, std::size_t most_bytes);

    SharedArena(const SharedArena&) = delete;
    SharedArena& operator=(const SharedArena&) = delete;
    ~SharedArena();

    /// The region of this name, if the maker has added it.
    std::optional<std::span<std::byte>> find(const std::string& name) const;
    /// A new region of zeros, aligned to 64 bytes; for the maker, before publish(). Throws std::bad_alloc
    /// beyond `most_bytes`.
    std::span<std::byte> add(const std::string& name, std::size_t size_bytes);
    /// Makes every region read-only, here and for all who open the key from now on. Nothing for those who
    /// joined.
    void publish();

    /// Whether this process may add regions.
    bool is_maker() const noexcept { return making_; }
    /// Why the memory is not shared; empty if it is.
    const std::string& why_alone() const noexcept { return why_alone_; }

  private:
    struct Region {
        std::size_t offset = 0;
        std::size_t size_bytes = 0;
    };

    SharedArena() = default;
    bool join(const std::string& key);
    bool adopt(int memory, const std::string& key);
    void make(const std::string& key, std::size_t most_bytes);
    bool seal(std::size_t whole);
    void enlist() const;
    void delist() const;

    std::map<std::string, Region> regions_;
    std::byte* base_ = nullptr;
    std::size_t mapped_bytes_ = 0;
    std::size_t used_bytes_ = 0;
    std::string key_;
    std::string register_path_;  ///< the file that names the processes that hold the memory
    int register_ = -1;          ///< its descriptor, locked while the arena is made
    int memory_ = -1;
    bool making_ = false;
    std::string why_alone_;
};

}  // namespace memcap
