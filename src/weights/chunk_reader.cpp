// The reading thread and its queue.
#include "weights/chunk_reader.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/input_file.hpp"

namespace memcap::weights {

ChunkReader::ChunkReader(Setup setup) : setup_(std::move(setup)), thread_(&ChunkReader::run, this) {}

ChunkReader::~ChunkReader() {
    stop();
    thread_.join();
}

namespace {

/// A file that is read from its first byte to its last, and checked at the end.
class CheckedFile {
  public:
    CheckedFile(const std::filesystem::path& path, const std::vector<KnownFile>& known)
        : path_(path), input_(path) {
        const auto found = std::ranges::find(known, path.filename().string(), &KnownFile::name);
        if (found == known.end()) return;
        expected_sha256_ = found->sha256;
        if (!found->vouches_for(input_.facts())) hash_.emplace();
    }

    std::size_t size_bytes() const { return input_.size_bytes(); }
    /// Reads the next bytes; throws DataError if they are the last of another file than the one that was
    /// meant.
    void read(std::size_t offset, std::span<std::byte> target) {
        input_.read(offset, target);
        if (hash_) hash_->add(target);
        if (offset + target.size() < size_bytes()) return;
        input_.require_unchanged();
        if (hash_ && hash_->finish_hex() != expected_sha256_) {
            throw DataError(path_, {.what = "not the file whose SHA-256 the plan has",
                                    .where = {},
                                    .why = "it was replaced, or this host has another copy",
                                    .advice = {}});
        }
    }

  private:
    std::filesystem::path path_;
    InputFile input_;
    std::string expected_sha256_;
    std::optional<Sha256> hash_;  ///< none where the file need not be hashed
};

}  // namespace

void ChunkReader::run() {
    try {
        read_all();
    } catch (const std::exception& problem) {
        const std::lock_guard lock(mutex_);
        failure_ = problem.what();
    }
    changed_.notify_all();
}

void ChunkReader::read_all() {
    const double start_s = monotonic_s();
    std::vector<CheckedFile> inputs;
    exchange::Announce announcement{setup_.group, {}, setup_.chunk_bytes, {}};
    for (const auto& path : setup_.files) {
        announcement.files.push_back(
            {path.filename().string(), inputs.emplace_back(path, setup_.known).size_bytes()});
    }
    double reading_s = monotonic_s() - start_s;
    if (setup_.make_nccl_id) announcement.nccl_id = setup_.make_nccl_id();
    const ChunkPlan plan(announcement.files, setup_.chunk_bytes);
    {
        const std::lock_guard lock(mutex_);
        chunks_ = plan.size();
        total_bytes_ = plan.total_bytes();
        announcement_ = std::move(announcement);
        opened_ = true;
    }
    changed_.notify_all();
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const ChunkPlan::Part& part = plan.part(i);
        Bytes chunk = make_chunk(setup_.group, i, part.size_bytes);
        const double before_s = monotonic_s();
        inputs[part.file].read(part.offset, payload_of(chunk));
        reading_s += monotonic_s() - before_s;
        seal_chunk(chunk);
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopped_ || read_.size() < setup_.ahead; });
        if (stopped_) return;
        read_.push_back(std::move(chunk));
        read_s_ = reading_s;
        lock.unlock();
        changed_.notify_all();
    }
}

std::optional<exchange::Announce> ChunkReader::take_announcement() {
    const std::lock_guard lock(mutex_);
    return std::exchange(announcement_, std::nullopt);
}

std::optional<Bytes> ChunkReader::pop() {
    if (read_.empty()) return std::nullopt;
    Bytes first = std::move(read_.front());
    read_.pop_front();
    ++taken_;
    changed_.notify_all();
    return first;
}

std::optional<Bytes> ChunkReader::take() {
    const std::lock_guard lock(mutex_);
    return pop();
}

std::optional<Bytes> ChunkReader::take(double wait_s) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(wait_s),
                      [this] { return !read_.empty() || stopped_ || !failure_.empty(); });
    return pop();
}

bool ChunkReader::finished() const {
    const std::lock_guard lock(mutex_);
    return opened_ && taken_ == chunks_;
}

std::string ChunkReader::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

std::size_t ChunkReader::chunks() const {
    const std::lock_guard lock(mutex_);
    return chunks_;
}

std::size_t ChunkReader::total_bytes() const {
    const std::lock_guard lock(mutex_);
    return total_bytes_;
}

double ChunkReader::read_s() const {
    const std::lock_guard lock(mutex_);
    return read_s_;
}

void ChunkReader::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
}

}  // namespace memcap::weights
