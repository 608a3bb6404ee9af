// Codec of WorkerSetup.
#include "app/worker_setup.hpp"

namespace memcap::app {

namespace {
constexpr std::int32_t kAutomatic = 0;

std::optional<std::int32_t> chosen(std::int32_t value) {
    return value == kAutomatic ? std::nullopt : std::optional(value);
}
}  // namespace

Bytes encode(const WorkerSetup& setup) {
    ByteWriter writer;
    writer.number(static_cast<std::uint32_t>(setup.model_folders.size()));
    for (const auto& folder : setup.model_folders) writer.text(folder);
    writer.text(setup.run_folder);
    writer.number(setup.keep_vectors);
    writer.number(setup.curve_every);
    writer.number(setup.device);
    writer.number(setup.slots.value_or(kAutomatic));
    writer.number(setup.threads.value_or(kAutomatic));
    writer.number(setup.weights);
    return std::move(writer).bytes();
}

WorkerSetup decode_setup(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    WorkerSetup setup;
    const auto models = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < models; ++i) setup.model_folders.push_back(reader.text());
    setup.run_folder = reader.text();
    setup.keep_vectors = reader.number<bool>();
    setup.curve_every = reader.number<std::int32_t>();
    setup.device = reader.number<DeviceKind>();
    setup.slots = chosen(reader.number<std::int32_t>());
    setup.threads = chosen(reader.number<std::int32_t>());
    setup.weights = reader.number<config::WeightsChoice>();
    reader.expect_end();
    return setup;
}

}  // namespace memcap::app
