// Results of memcap bench on their way into a folder and back.
#include "app/speed_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "memcap/base/build_info.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

plan::DeviceSpeed measured(const std::string& model = "ink") {
    plan::EngineSpeed engine;
    engine.name = model;
    engine.family = "mamba";
    engine.scans = true;
    engine.precision = Precision::bfloat16;
    engine.length = 16;
    engine.memory_vectors = 2;
    engine.slots = 64;
    engine.slots_given = true;
    engine.flops_per_step = 1.75e7;
    engine.trial_steps = 6400;
    engine.elapsed_s = 1.25;
    engine.peak = {Precision::bfloat16, 2048, 12, 2, 4e11, 3.9e11};
    engine.slot_bytes = 0.0;
    engine.measured_utc = "2026-11-23T12:00:00Z";
    engine.turns = {{4e11, 9e10}, {3.9e11, 8e10}};
    plan::DeviceSpeed speed;
    speed.memcap_version = kVersion;
    speed.host = "node 1.site/x";
    speed.kind = plan::Processor::cuda;
    speed.device = "AMD EPYC, 2 threads";
    speed.memory_bytes = std::int64_t{1} << 40U;
    speed.best_copy_bytes_per_s = 3e10;
    speed.median_copy_bytes_per_s = 2.5e10;
    speed.peaks = {{Precision::float32, 2048, 3, 4, 2e11, 1.5e11}};
    speed.engines = {engine};
    return speed;
}

class SpeedFile : public ::testing::Test {
  protected:
    fs::path folder() const { return temporary_.path() / "cache" / "bench"; }

    fs::path write(const json& document) const {
        fs::create_directories(folder());
        std::ofstream(folder() / "other.json") << document.dump();
        return folder() / "other.json";
    }

    std::string complaint(const fs::path& file) const {
        try {
            read_speed_file(file);
        } catch (const DataError& error) {
            return error.what();
        }
        return "none";
    }

    test::TemporaryFolder temporary_;
};

TEST_F(SpeedFile, GivesBackWhatWasStored) {
    const fs::path file = store_speed(folder(), measured());
    EXPECT_EQ(file.parent_path(), folder());
    EXPECT_EQ(file.filename(), "node-1-site-x.AMD-EPYC-2-threads.json");
    const auto read = read_speed_file(file);
    EXPECT_EQ(to_json_text(read), to_json_text(measured()));
    EXPECT_EQ(read.engines.at(0).turns.at(1).flops_per_s, 8e10);
    EXPECT_EQ(read.engines.at(0).flops_per_s(), 1.75e7 * 6400 / 1.25);
}

TEST_F(SpeedFile, OfEarlierTimesTellsNoSlotsThatWereGiven) {
    json document = json::parse(to_json_text(measured()));
    EXPECT_TRUE(read_speed_file(write(document)).engines.at(0).slots_given);
    document["models"][0].erase("slots_given");
    EXPECT_FALSE(read_speed_file(write(document)).engines.at(0).slots_given);
    document["models"][0]["slots_given"] = 1;
    EXPECT_THAT(complaint(write(document)), HasSubstr("slots_given"));
}

TEST_F(SpeedFile, OfEarlierTimesTellsTheKindOfItsDeviceByItsProducts) {
    json document = json::parse(to_json_text(measured()));
    EXPECT_EQ(read_speed_file(write(document)).kind, plan::Processor::cuda);
    document["kind"] = "cpu";
    EXPECT_EQ(read_speed_file(write(document)).kind, plan::Processor::cpu);
    document.erase("kind");
    EXPECT_EQ(read_speed_file(write(document)).kind, plan::Processor::cpu);
    document["peaks"][0]["size"] = 8192;
    EXPECT_EQ(read_speed_file(write(document)).kind, plan::Processor::cuda);
    document["kind"] = "tpu";
    EXPECT_THAT(complaint(write(document)), HasSubstr("'tpu' is no kind of device"));
}

TEST_F(SpeedFile, OfEarlierTimesTellsNoTypeOfItsProducts) {
    json document = json::parse(to_json_text(measured()));
    EXPECT_EQ(read_speed_file(write(document)).peaks.at(0).value_bytes, 4);
    document["peaks"][0].erase("value_bytes");
    EXPECT_EQ(read_speed_file(write(document)).peaks.at(0).value_bytes, 0);
}

TEST_F(SpeedFile, GrowsByWhatIsMeasuredLater) {
    store_speed(folder(), measured());
    const auto file = store_speed(folder(), measured("pythia"));
    EXPECT_EQ(read_speed_file(file).engines.size(), 2U);
    const auto files = fs::directory_iterator(folder());
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST_F(SpeedFile, IsUsedForItsKindOfDeviceOnAnyHost) {
    store_speed(folder(), measured());
    auto elsewhere = measured();
    elsewhere.host = "node2";
    store_speed(folder(), elsewhere);
    elsewhere.device = "AMD EPYC, 1 thread";
    store_speed(folder(), elsewhere);
    EXPECT_EQ(stored_speeds(folder(), "AMD EPYC, 2 threads").size(), 2U);
    EXPECT_EQ(stored_speeds(folder(), "NVIDIA H200").size(), 0U);
    EXPECT_EQ(stored_speeds(folder() / "nowhere", "AMD EPYC, 2 threads").size(), 0U);
}

TEST_F(SpeedFile, ThatIsDamagedIsPassedOverWithAWarningAndReplaced) {
    const auto file = store_speed(folder(), measured());
    fs::resize_file(file, 300);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(stored_speeds(folder(), "AMD EPYC, 2 threads").empty());
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::AllOf(HasSubstr("ignored"), HasSubstr(file.string()), HasSubstr("damaged")));
    store_speed(folder(), measured("pythia"));
    EXPECT_EQ(read_speed_file(file).engines.at(0).name, "pythia");
}

TEST_F(SpeedFile, OfAnotherMeaningIsRefusedWithTheReason) {
    const json good = json::parse(to_json_text(measured()));
    const auto after = [&](const std::function<void(json&)>& change) {
        json document = good;
        change(document);
        return complaint(write(document));
    };
    EXPECT_EQ(after([](json&) {}), "none");
    EXPECT_THAT(after([](json& d) { d["schema_version"] = 2; }), HasSubstr("another program or version"));
    EXPECT_THAT(after([](json& d) { d["format"] = "x"; }), HasSubstr("another program or version"));
    EXPECT_THAT(after([](json& d) { d["memcap_version"] = "0.0.1"; }), HasSubstr("memcap 0.0.1"));
    EXPECT_THAT(after([](json& d) { d = json::array({1}); }), HasSubstr("not JSON"));
    EXPECT_THAT(after([](json& d) { d.erase("copy"); }), HasSubstr("'copy' is missing"));
    EXPECT_THAT(after([](json& d) { d["peaks"] = 3; }), HasSubstr("'peaks' is not a list"));
    EXPECT_THAT(after([](json& d) { d["models"][0] = "x"; }), HasSubstr("not JSON"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["elapsed_s"] = 0; }), HasSubstr("'elapsed_s' is zero"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["elapsed_s"] = "1"; }), HasSubstr("elapsed_s"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["flops_per_step"] = -1; }), HasSubstr("flops_per_step"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["slots"] = 1.5; }), HasSubstr("'slots' is not a count"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["slots"] = 1e12; }), HasSubstr("'slots' is not a count"));
    EXPECT_THAT(after([](json& d) { d["models"][0]["precision"] = "fp8"; }), HasSubstr("fp8"));
    EXPECT_THAT(complaint(folder()), HasSubstr("cannot read"));
}

TEST_F(SpeedFile, IsKeptInTheCacheFolderOfTheUser) {
    ::setenv("HOME", "/h", 1);
    ::setenv("XDG_CACHE_HOME", "/c", 1);
    EXPECT_EQ(speed_folder(), fs::path("/c/memcap/bench"));
    ::setenv("XDG_CACHE_HOME", "relative", 1);
    EXPECT_EQ(speed_folder(), fs::path("/h/.cache/memcap/bench"));
    ::unsetenv("XDG_CACHE_HOME");
    EXPECT_EQ(speed_folder(), fs::path("/h/.cache/memcap/bench"));
    ::unsetenv("HOME");
    EXPECT_FALSE(speed_folder());
}

}  // namespace
}  // namespace memcap::app
