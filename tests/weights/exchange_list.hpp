// What every weight exchange must do: one list of checks, run alone, over MPI, and over ranks that are
// threads, over a transport and by a double of NCCL.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/input_file.hpp"
#include "memcap/weights/weight_exchange.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::weights::testing {

/// Files of these sizes in a folder of this rank; their bytes differ from rank to rank, so that it shows
/// whose were read.
class RankFiles {
  public:
    RankFiles(int rank, const std::vector<std::size_t>& sizes) {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            paths_.push_back(folder_ / ("file" + std::to_string(i)));
            const std::string bytes = content(rank, i, sizes[i]);
            std::ofstream(paths_.back(), std::ios::binary) << bytes;
            all_ += bytes;
        }
    }
    static std::string content(int rank, std::size_t file, std::size_t size) {
        std::string bytes(size, '\0');
        std::uint64_t state = static_cast<std::uint64_t>(rank) * 1000 + file + 1;
        for (char& byte : bytes) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            byte = static_cast<char>(state >> 56U);
        }
        return bytes;
    }
    static std::string all_of(int rank, const std::vector<std::size_t>& sizes) {
        std::string all;
        for (std::size_t i = 0; i < sizes.size(); ++i) all += content(rank, i, sizes[i]);
        return all;
    }
    const std::vector<std::filesystem::path>& paths() const { return paths_; }
    std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  private:
    test::TemporaryFolder folder_;
    std::vector<std::filesystem::path> paths_;
    std::string all_;
};

/// One rank's place in a check. Every rank runs the check with its own end, on a thread that does not poll.
struct ExchangeEnd {
    WeightExchange& exchange;
    int rank = 0;
    int size = 1;
    std::function<void()> fall_silent;  ///< this rank moves nothing any more, as if it had died
    /// Lives until all ranks are through: a leader may still be reading.
    std::vector<std::unique_ptr<RankFiles>> kept = {};

    const RankFiles& keep_files(const std::vector<std::size_t>& sizes);
    /// Whoever made the exchange decides what stands behind this number.
    static int device() { return 0; }
};

struct ExchangeCheck {
    const char* name;
    void (*body)(ExchangeEnd& end);
    ExchangeOptions options;
    /// Name of a rank's node.
    std::string (*node)(int rank) = [](int rank) { return "node" + std::to_string(rank); };
    double poll_s = 100e-6;  ///< sleep between two polls
};

inline void PrintTo(const ExchangeCheck& check, std::ostream* out) {
    *out << check.name;
}

inline bool never() {
    return false;
}

/// How a rank learns that the others are through, without waiting; what it calls when it falls silent.
struct CheckHooks {
    std::function<bool()> all_are_done;
    std::function<void()> on_silence = {};
};

/// Moves the exchange of this rank while the check's body runs on another thread, and until all ranks are
/// through.
inline void run_check(const ExchangeCheck& check, WeightExchange& exchange, int rank, int size,
                      const CheckHooks& hooks) {
    std::atomic<bool> silent = false;
    std::atomic<bool> done = false;
    ExchangeEnd end{exchange, rank, size, [&] {
                        silent = true;
                        if (hooks.on_silence) hooks.on_silence();
                    }};
    std::thread computing([&] {
        check.body(end);
        done = true;
    });
    bool busy = true;
    while (!done || busy || !hooks.all_are_done()) {
        busy = !silent && exchange.step();
        std::this_thread::sleep_for(std::chrono::duration<double>(check.poll_s));
    }
    computing.join();
}

inline std::string read_from(const std::vector<std::filesystem::path>& paths) {
    std::string all;
    for (const auto& path : paths) {
        const InputFile file(path);
        std::string bytes(file.size_bytes(), '\0');
        file.read(0, std::as_writable_bytes(std::span(bytes)));
        all += bytes;
    }
    return all;
}

inline const RankFiles& ExchangeEnd::keep_files(const std::vector<std::size_t>& sizes) {
    return *kept.emplace_back(std::make_unique<RankFiles>(rank, sizes));
}

/// All bytes of an answer: as it says from memory or from the files, from the files also if the memory fails.
inline std::string bytes_of(const Obtained& obtained, const WeightRequest& request) {
    if (!obtained.memory) return read_from(request.files);
    std::string all;
    try {
        for (const auto& file : obtained.memory->files()) {
            obtained.memory->wait_for(file.bytes);
            all.append(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size());
        }
    } catch (const TransportError&) {
        return read_from(request.files);
    }
    return all;
}

inline Id128 hash_of(const std::string& text) {
    return hash128(std::as_bytes(std::span(text)));
}

/// Obtains files of these sizes and expects the bytes of rank `whose`.
inline Obtained expect_bytes(ExchangeEnd& end, const std::string& model,
                             const std::vector<std::size_t>& sizes, int whose) {
    const RankFiles& files = end.keep_files(sizes);
    const WeightRequest request{model, files.paths(), {}, end.device()};
    Obtained obtained = end.exchange.obtain(request, never);
    EXPECT_EQ(hash_of(bytes_of(obtained, request)), hash_of(RankFiles::all_of(whose, sizes)))
        << "rank " << end.rank << ", " << to_string(obtained.way) << ": " << obtained.reason;
    end.exchange.settle(never);
    return obtained;
}

/// The way of a rank that takes part in a chain of all ranks.
inline WeightWay way_in_chain(const ExchangeEnd& end) {
    if (end.size == 1) return WeightWay::read;
    return end.rank == 0 ? WeightWay::sent : WeightWay::received;
}

inline void check_bytes(ExchangeEnd& end) {
    // Several chunks, one byte more than full ones, no byte at all, and less than a chunk.
    const std::vector<std::size_t> sizes{5 * 65536 + 1, 0, 77, 2 * 65536};
    const Obtained obtained = expect_bytes(end, "model", sizes, 0);
    EXPECT_EQ(obtained.way, way_in_chain(end)) << obtained.reason;
    if (!obtained.memory) return;
    ASSERT_EQ(obtained.memory->files().size(), sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_EQ(obtained.memory->files()[i].name, "file" + std::to_string(i));
        EXPECT_EQ(obtained.memory->files()[i].bytes.size(), sizes[i]);
    }
}

inline void check_empty(ExchangeEnd& end) {
    EXPECT_EQ(expect_bytes(end, "model", {0}, 0).way, way_in_chain(end));
}

inline void check_many_chunks(ExchangeEnd& end) {
    EXPECT_EQ(expect_bytes(end, "model", {40'000'001, 3}, 0).way, way_in_chain(end));
}

inline void check_two_groups(ExchangeEnd& end) {
    for (const char* model : {"first", "second", "first"}) {
        EXPECT_EQ(expect_bytes(end, model, {300'000}, 0).way, way_in_chain(end)) << model;
    }
}

inline void check_late(ExchangeEnd& end) {
    const bool late = end.size > 1 && end.rank == end.size - 1;
    if (!late) {
        const Obtained obtained = expect_bytes(end, "model", {300'000}, 0);
        EXPECT_EQ(obtained.way, end.size > 2 ? way_in_chain(end) : WeightWay::read) << obtained.reason;
        return;
    }
    std::this_thread::sleep_for(std::chrono::seconds(3));
    const double start_s = monotonic_s();
    EXPECT_EQ(expect_bytes(end, "model", {300'000}, end.rank).way, WeightWay::read);
    EXPECT_LT(monotonic_s() - start_s, 0.9) << "it waited for a group of its own";
}

inline void check_never_comes(ExchangeEnd& end) {
    if (end.size > 1 && end.rank == end.size - 1) return;
    const double start_s = monotonic_s();
    const Obtained obtained = expect_bytes(end, "model", {300'000}, 0);
    EXPECT_LT(monotonic_s() - start_s, 5.0);
    EXPECT_EQ(obtained.way, end.size > 2 ? way_in_chain(end) : WeightWay::read) << obtained.reason;
}

/// sched::Rank 1 asks, gets the first bytes and is never heard of again: those after it read for themselves.
inline void check_silent_member(ExchangeEnd& end) {
    const std::vector<std::size_t> sizes{64'000'000};
    const RankFiles& files = end.keep_files(sizes);
    const WeightRequest request{"model", files.paths(), {}, end.device()};
    const double start_s = monotonic_s();
    const Obtained obtained = end.exchange.obtain(request, never);
    if (end.rank == 1) {
        end.fall_silent();
        std::this_thread::sleep_for(std::chrono::seconds(5));
        return;
    }
    // Nobody knows how far it got, but whoever did not get all has read its own files.
    const int whose = end.rank == 0 ? 0 : end.rank;
    EXPECT_EQ(hash_of(bytes_of(obtained, request)), hash_of(RankFiles::all_of(whose, sizes)));
    EXPECT_LT(monotonic_s() - start_s, 15.0);
    end.exchange.settle(never);
    EXPECT_LT(monotonic_s() - start_s, 15.0);
}

inline void check_unreadable(ExchangeEnd& end) {
    if (end.size == 1) return;
    if (end.rank > 0) {
        expect_bytes(end, "model", {300'000}, end.rank);
        return;
    }
    const test::TemporaryFolder empty;
    const WeightRequest request{"model", {empty / "missing"}, {}, end.device()};
    const Obtained obtained = end.exchange.obtain(request, never);
    EXPECT_EQ(obtained.memory, nullptr);
    EXPECT_THROW(bytes_of(obtained, request), DataError);
    end.exchange.settle(never);
}

/// The reader finds, after the announcement, that a file ends earlier than the system said.
inline void check_unreadable_later(ExchangeEnd& end) {
    if (end.size == 1) return;
    const std::vector<std::size_t> sizes{400'000};
    const RankFiles& files = end.keep_files(sizes);
    WeightRequest request{"model", files.paths(), {}, end.device()};
    // The system reports a whole page, and gives a line.
    if (end.rank == 0) request.files.emplace_back("/sys/kernel/mm/transparent_hugepage/enabled");
    const Obtained obtained = end.exchange.obtain(request, never);
    if (end.rank > 0) {
        EXPECT_EQ(hash_of(bytes_of(obtained, request)), hash_of(RankFiles::all_of(end.rank, sizes)));
    }
    end.exchange.settle(never);
}

/// What files of rank 0 hold, as another machine knows them: they have to be hashed.
inline std::vector<KnownFile> known_elsewhere(const std::vector<std::size_t>& sizes) {
    std::vector<KnownFile> known;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const std::string content = RankFiles::content(0, i, sizes[i]);
        known.push_back({.name = "file" + std::to_string(i),
                         .sha256 = sha256_hex(std::as_bytes(std::span(content))),
                         .facts = {},
                         .place = "elsewhere"});
    }
    return known;
}

inline void check_known(ExchangeEnd& end) {
    const std::vector<std::size_t> sizes{5 * 65536 + 1, 0, 77, 2 * 65536};
    const RankFiles& files = end.keep_files(sizes);
    const WeightRequest request{"model", files.paths(), known_elsewhere(sizes), end.device()};
    const Obtained obtained = end.exchange.obtain(request, never);
    EXPECT_EQ(hash_of(bytes_of(obtained, request)), hash_of(RankFiles::all_of(0, sizes)));
    EXPECT_EQ(obtained.way, way_in_chain(end)) << obtained.reason;
    end.exchange.settle(never);
}

/// sched::Rank 0 has other bytes than those that are meant, in the last chunk of a file: nobody takes them
/// for whole.
inline void check_not_known(ExchangeEnd& end) {
    if (end.size == 1) return;
    for (const std::size_t wrong : {0U, 1U}) {
        const std::vector<std::size_t> sizes{3 * 65536, 77};
        const RankFiles& files = end.keep_files(sizes);
        WeightRequest request{"model", files.paths(), known_elsewhere(sizes), end.device()};
        request.known[wrong].sha256.back() ^= 1;
        const Obtained obtained = end.exchange.obtain(request, never);
        if (end.rank > 0) {
            EXPECT_EQ(hash_of(bytes_of(obtained, request)), hash_of(RankFiles::all_of(end.rank, sizes)))
                << wrong;
        }
        end.exchange.settle(never);
    }
}

/// Ranks 1 and up are of one node: the first of them receives, the others use its memory.
inline void check_node(ExchangeEnd& end) {
    const Obtained obtained = expect_bytes(end, "model", {300'000, 5}, 0);
    if (end.rank >= 2) {
        EXPECT_EQ(obtained.way, WeightWay::shared) << obtained.reason;
        ASSERT_NE(obtained.memory, nullptr);
        EXPECT_NE(obtained.memory->identity().find("received on b"), std::string::npos);
    } else {
        EXPECT_EQ(obtained.way, way_in_chain(end)) << obtained.reason;
    }
}

/// All are of one node: its file cache serves them, nothing is sent.
inline void check_one_node(ExchangeEnd& end) {
    EXPECT_EQ(expect_bytes(end, "model", {300'000}, end.rank).way, WeightWay::read);
}

inline void check_cancelled(ExchangeEnd& end) {
    if (end.size == 1 || end.rank == 0) return;
    const RankFiles& files = end.keep_files({1000});
    const double start_s = monotonic_s();
    const Obtained obtained = end.exchange.obtain({"model", files.paths(), {}, end.device()},
                                                  [start_s] { return monotonic_s() - start_s > 0.3; });
    EXPECT_EQ(obtained.way, WeightWay::fallen_back);
    EXPECT_LT(monotonic_s() - start_s, 2.0);
}

inline void check_reports(ExchangeEnd& end) {
    expect_bytes(end, "model", {300'000}, 0);
    end.exchange.report({.model = "model", .way = way_in_chain(end), .upload_s = 1.0 + end.rank});
    // A transfer's own report may come later than the bytes.
    const std::size_t expected = end.size == 1 ? 1 : 2;
    std::vector<WeightTimes> all;
    const double until_s = monotonic_s() + 20.0;
    while (all.size() < expected && monotonic_s() < until_s) {
        for (WeightTimes& times : end.exchange.take_reports()) all.push_back(std::move(times));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::map<double, std::size_t> uploads;
    for (const WeightTimes& times : all) {
        ++uploads[times.upload_s];
        EXPECT_EQ(times.model, "model");
        EXPECT_EQ(times.size_bytes, times.upload_s == 0.0 ? 300'000U : 0U);
    }
    EXPECT_EQ(uploads[1.0 + end.rank], 1U);
    EXPECT_EQ(uploads[0.0], expected - 1);
    EXPECT_TRUE(end.exchange.take_reports().empty()) << "a report is given once";
}

inline ExchangeOptions exchange_options(double gather_s, double silence_s) {
    return {.gather_s = gather_s,
            .silence_s = silence_s,
            .chunk_bytes = 65536,
            .device_chunk_bytes = 65536,
            .window = 8};
}

inline const ExchangeCheck kExchangeChecks[] = {
    {"AllGetTheBytesOfTheFirst", check_bytes, exchange_options(20, 20)},
    {"AnEmptyFileArrives", check_empty, exchange_options(20, 20)},
    {"HundredsOfChunksArrive", check_many_chunks, exchange_options(20, 20)},
    {"GroupsFormOneAfterTheOther", check_two_groups, exchange_options(20, 20)},
    {"WhoComesLateReadsAtOnce", check_late, exchange_options(1, 20)},
    {"NobodyWaitsForWhoNeverComes", check_never_comes, exchange_options(1, 20)},
    {"WhoFallsSilentHoldsNobody", check_silent_member, exchange_options(20, 1),
     [](int rank) { return "node" + std::to_string(rank); }, 5e-3},
    {"WithoutAReaderAllReadForThemselves", check_unreadable, exchange_options(20, 20)},
    {"WithAReaderThatFailsLaterToo", check_unreadable_later, exchange_options(20, 20)},
    {"KnownFilesAreHashedWhereTheyAreReadAndSent", check_known, exchange_options(20, 20)},
    {"OtherBytesThanTheKnownOnesAreNotSentToTheEnd", check_not_known, exchange_options(20, 20)},
    {"RanksOfANodeShareWhatItReceives", check_node, exchange_options(20, 20),
     [](int rank) { return std::string(rank == 0 ? "a" : "b"); }},
    {"OneNodeSendsNothing", check_one_node, exchange_options(20, 20), [](int) { return std::string("a"); }},
    {"CancellingEndsTheWait", check_cancelled, exchange_options(20, 20)},
    {"EachCostIsReportedOnce", check_reports, exchange_options(20, 20)},
};

}  // namespace memcap::weights::testing
