// A leader's communicator of one rank: the same checks on the double of NCCL and on NCCL itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "weights/chunk_reader.hpp"
#include "weights/device_mover.hpp"
#include "weights/thread_ranks.hpp"

namespace memcap::weights::testing {
namespace {

constexpr std::size_t kChunkBytes = 65536;

enum class Calls : std::uint8_t { of_a_double, of_a_device };

DeviceAccess access_of_double() {
    const auto world = std::make_shared<NcclWorld>();
    return {.uuid = "GPU-0",
            .make_id = [world] { return world->make_id(); },
            .open =
                [world] {
                    return std::make_unique<NcclDouble>(world, std::make_shared<CallLog>(),
                                                        std::make_shared<NcclFaults>());
                }};
}

class OneRankCommunicator : public ::testing::TestWithParam<Calls> {
  protected:
    void SetUp() override {
        access_ = GetParam() == Calls::of_a_double ? access_of_double() : device_access(0);
        if (access_.uuid.empty()) GTEST_SKIP() << "no GPU, no NCCL, or a build without CUDA";
    }

    /// Sends the files as a leader whom nobody has joined; the mover's failure, or the reader's.
    std::string send(const std::vector<std::filesystem::path>& files, bool cancels = false) const {
        ChunkReader reader({.group = 1,
                            .files = files,
                            .chunk_bytes = kChunkBytes,
                            .ahead = 4,
                            .make_nccl_id = access_.make_id});
        std::optional<exchange::Announce> announce;
        while (!announce && reader.failure().empty()) announce = reader.take_announcement();
        if (!announce) return reader.failure();
        DeviceMover mover({.ranks = 1, .rank = 0, .id = announce->nccl_id, .chunk_bytes = kChunkBytes},
                          access_, &reader, nullptr);
        if (cancels) mover.cancel();
        const double start_s = monotonic_s();
        while (!mover.finished() && monotonic_s() - start_s < 60.0) std::this_thread::yield();
        EXPECT_TRUE(mover.finished());
        EXPECT_EQ(reader.finished(), mover.failure().empty());
        return mover.failure();
    }

    DeviceAccess access_;
};

void wait_for(const std::function<CallState()>& state) {
    const double start_s = monotonic_s();
    while (state().kind == CallState::Kind::in_progress) ASSERT_LT(monotonic_s() - start_s, 60.0);
    ASSERT_EQ(state().kind, CallState::Kind::done) << state().reason;
}

TEST_P(OneRankCommunicator, BytesComeBackFromTheDevice) {
    const auto calls = access_.open();
    calls->prepare(2, kChunkBytes);
    calls->start_communicator(1, access_.make_id(), 0);
    wait_for([&] { return calls->communicator_state(); });
    for (const std::size_t buffer : {0U, 1U}) {
        const std::string sent = RankFiles::content(0, buffer, kChunkBytes - buffer);
        const auto host = calls->host(buffer);
        std::ranges::copy(std::as_bytes(std::span(sent)), host.begin());
        calls->copy_to_device(buffer, sent.size());
        EXPECT_NE(calls->broadcast(buffer, sent.size(), 0).kind, CallState::Kind::failed);
        calls->mark(buffer);
        wait_for([&] { return calls->marked(buffer); });
        std::ranges::fill(host, std::byte{0});
        calls->copy_to_host(buffer, sent.size());
        calls->mark(buffer);
        wait_for([&] { return calls->marked(buffer); });
        EXPECT_TRUE(std::ranges::equal(host.first(sent.size()), std::as_bytes(std::span(sent))));
    }
    calls->finalize();
    wait_for([&] { return calls->communicator_state(); });
    calls->destroy();
}

TEST_P(OneRankCommunicator, FilesOfAllSizesAreSent) {
    const std::vector<std::size_t> lists[] = {
        {3 * kChunkBytes + 1, 0, 5}, {kChunkBytes}, {0}, {40'000'001, 3}};
    for (const auto& sizes : lists) {
        const RankFiles files(0, sizes);
        EXPECT_EQ(send(files.paths()), "");
    }
}

TEST_P(OneRankCommunicator, AFileThatEndsEarlyEndsTheTransfer) {
    RankFiles files(0, {10 * kChunkBytes});
    auto paths = files.paths();
    // The system reports a whole page, and gives a line.
    paths.emplace_back("/sys/kernel/mm/transparent_hugepage/enabled");
    EXPECT_NE(send(paths), "");
    EXPECT_EQ(send(files.paths()), "") << "the next one has a communicator of its own";
}

TEST_P(OneRankCommunicator, CancellingEndsTheTransfer) {
    const RankFiles files(0, {400 * kChunkBytes});
    const double start_s = monotonic_s();
    EXPECT_NE(send(files.paths(), true), "");
    EXPECT_LT(monotonic_s() - start_s, 20.0);
    EXPECT_EQ(send(files.paths()), "");
}

INSTANTIATE_TEST_SUITE_P(Nccl, OneRankCommunicator, ::testing::Values(Calls::of_a_double, Calls::of_a_device),
                         [](const auto& test) {
                             return test.param == Calls::of_a_double ? "OnTheDouble" : "OnARealDevice";
                         });

}  // namespace
}  // namespace memcap::weights::testing
