// The file of workers: a checksum, then the launch, the time, and a worker each.
#include "app/worker_file.hpp"

#include <algorithm>
#include <ctime>
#include <fstream>
#include <system_error>
#include <utility>

#include "memcap/base/bytes.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

constexpr double kEvery_s = 2.0;
constexpr double kTimesItsLength = 200.0;

void write_worker(ByteWriter& writer, const sched::WorkerView& worker) {
    writer.number(worker.rank);
    writer.text(worker.host);
    writer.text(worker.device);
    writer.text(to_string(worker.activity));
    writer.number(worker.done);
    writer.number(worker.failed);
    writer.number(worker.running);
    writer.number(worker.queued);
    writer.number(worker.free_slots);
    writer.number(worker.tasks_per_s);
    writer.number(worker.silent_s);
    writer.text(worker.deed);
    writer.id(worker.deed_task);
    writer.number(worker.since_deed_s);
    writer.text(worker.why);
}

/// `written`: the time that the ages in the file are told from.
WorkerLine read_worker(ByteReader& reader, std::time_t written) {
    const auto utc_before = [written](double seconds) {
        return utc_text(written - static_cast<std::time_t>(seconds));
    };
    WorkerLine worker;
    worker.rank = reader.number<std::int32_t>();
    worker.host = reader.text();
    worker.device = reader.text();
    worker.state = reader.text();
    worker.done = reader.number<std::uint64_t>();
    worker.failed = reader.number<std::uint64_t>();
    worker.running = reader.number<std::uint32_t>();
    worker.queued = reader.number<std::uint32_t>();
    worker.free_slots = reader.number<std::uint32_t>();
    worker.trials_per_s = reader.number<double>();
    const auto silent_s = reader.number<double>();
    if (!worker.host.empty()) worker.last_sign_utc = utc_before(silent_s);
    worker.deed = reader.text();
    const Id128 trial = reader.id();
    const auto since_deed_s = reader.number<double>();
    if (!worker.deed.empty()) {
        worker.deed_trial = trial.hex();
        worker.deed_utc = utc_before(since_deed_s);
    }
    worker.why = reader.text();
    return worker;
}

Bytes encode(const std::string& launch_utc, const std::vector<sched::WorkerView>& workers) {
    ByteWriter writer;
    writer.text(launch_utc);
    writer.number(static_cast<std::int64_t>(std::time(nullptr)));
    writer.number(static_cast<std::uint64_t>(workers.size()));
    for (const auto& worker : workers) write_worker(writer, worker);
    return std::move(writer).bytes();
}

std::vector<WorkerLine> decode(std::span<const std::byte> bytes, const std::string& launch_utc) {
    ByteReader reader(bytes);
    std::vector<WorkerLine> workers;
    if (reader.text() != launch_utc) return workers;
    const auto written = static_cast<std::time_t>(reader.number<std::int64_t>());
    const auto count = reader.number<std::uint64_t>();
    for (std::uint64_t worker = 0; worker < count; ++worker) workers.push_back(read_worker(reader, written));
    reader.expect_end();
    return workers;
}

}  // namespace

WorkerFile::WorkerFile(const store::RunFolder& folder, std::string launch_utc)
    : folder_(folder), launch_utc_(std::move(launch_utc)) {}

void WorkerFile::look(const sched::Scheduler& scheduler) {
    const double start_s = monotonic_s();
    if (start_s < next_s_ && !scheduler.over()) return;
    const Bytes bytes = encode(launch_utc_, scheduler.workers());
    const std::uint64_t checksum = hash64(bytes);
    const fs::path temporary = temporary_name(folder_.workers_file());
    {
        std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::error_code ignored;
    fs::rename(temporary, folder_.workers_file(), ignored);
    const double end_s = monotonic_s();
    next_s_ = end_s + std::max(kEvery_s, kTimesItsLength * (end_s - start_s));
}

std::vector<WorkerLine> read_workers(const store::RunFolder& folder, const std::string& launch_utc) {
    try {
        const std::string text = read_text_file(folder.workers_file());
        ByteReader head(as_bytes(text).first(std::min(text.size(), sizeof(std::uint64_t))));
        const auto checksum = head.number<std::uint64_t>();
        const auto bytes = as_bytes(text).subspan(sizeof(checksum));
        if (hash64(bytes) != checksum) return {};
        return decode(bytes, launch_utc);
    } catch (const DataError&) {
        return {};  // not told yet
    } catch (const TransportError&) {
        return {};  // of another version, or cut
    }
}

}  // namespace memcap::app
