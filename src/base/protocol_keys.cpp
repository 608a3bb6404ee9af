// The entries of the table, and its walks.
#include "memcap/base/protocol_keys.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace memcap {

namespace {

constexpr std::int32_t kFirstRule = 1;
constexpr std::int32_t kSecondRule = 2;

constexpr NumberRange kPositive{[](double x) { return x > 0.0; }, "a number above 0"};
constexpr NumberRange kNotNegative{[](double x) { return x >= 0.0; }, "a number of at least 0"};
constexpr NumberRange kFraction{[](double x) { return x > 0.0 && x <= 1.0; }, "a number above 0, at most 1"};
constexpr NumberRange kDecay{[](double x) { return x >= 0.0 && x < 1.0; },
                             "two numbers of at least 0 and below 1, as [0.9, 0.9]"};
constexpr NumberRange kScale{[](double x) { return x >= 0.0; }, "a scale of at least 0"};

/// The field of a choice that is this member.
template <auto kMember>
ChoiceField choice() {
    using Enum = std::remove_cvref_t<decltype(Protocol{}.*kMember)>;
    return {
        .names = names_of(Enum{}),
        .get = [](const Protocol& protocol) { return static_cast<std::uint8_t>(protocol.*kMember); },
        .set = [](Protocol& protocol, std::uint8_t value) { protocol.*kMember = static_cast<Enum>(value); }};
}

ProtocolKey key(std::string_view name, std::string_view meaning, std::string_view column_meaning,
                decltype(ProtocolField::value) value, std::int32_t rule = kFirstRule) {
    return {.name = name,
            .allowed = {},
            .meaning = meaning,
            .rule = rule,
            .fields = {{name, column_meaning, value}}};
}

std::vector<ProtocolKey> make_keys() {  // NOLINT(readability-function-size): a table
    using P = Protocol;
    return {
        key("optimiser",
            "of the memory, in float32: `adamw`, or `soap`, AdamW in the eigenbasis of the gradients (memory "
            "widths up to 512)",
            "optimiser of the memory", choice<&P::optimiser>()),
        key("learning_rate", "the highest rate", "highest learning rate",
            NumberField{&P::learning_rate, kPositive}),
        key("betas", "decay of the moments", "decay rates of the optimiser's moments",
            PairField{&P::beta1, &P::beta2, kDecay}),
        key("weight_decay", "decoupled", "decoupled weight decay",
            NumberField{&P::weight_decay, kNotNegative}),
        key("epsilon", "added to the denominator of an update", "added to the optimiser's denominator",
            NumberField{&P::epsilon, kPositive}),
        key("max_steps", "most evaluations (forward passes); the first one sees the initial memory",
            "most evaluations", CountField{&P::max_steps, 1}),
        key("patience", "stop so many evaluations after the best accuracy was first reached",
            "evaluations without a new best accuracy after which a trial stops", CountField{&P::patience, 1}),
        key("stop_accuracy", "stop at the first evaluation that reaches it",
            "accuracy at which a trial stops", NumberField{&P::stop_accuracy, kFraction}),
        key("schedule",
            "`constant`, `cosine` or `linear`: the rate after the warm-up; the last two fall to 0 at "
            "`max_steps`",
            "course of the learning rate after the warm-up", choice<&P::schedule>()),
        key("warmup_steps", "the rate rises linearly over so many updates; fewer than `max_steps`",
            "updates over which the learning rate rises", CountField{&P::warmup_steps, 0}),
        key("target",
            "scored tokens: from the second on; `all`: the memory (or the prefix's last token) predicts the "
            "first one too",
            "which tokens are scored", choice<&P::target>()),
        {.name = "init",
         .allowed = "a distribution, or it and its scale, as [normal, 1.0]",
         .meaning =
             "initial memory: normal numbers, times this scale, times the standard deviation of the input "
             "embeddings",
         .rule = kFirstRule,
         .fields = {{"init", "distribution of the initial memory", choice<&P::init>()},
                    {"init_scale", "its scale in standard deviations of the input embeddings",
                     NumberField{&P::init_scale, kScale}}}},
        key("rate_unit",
            "what `learning_rate` is counted in: `absolute`, or `embedding_std`, the standard deviation of "
            "the input embeddings, so that one rate serves models of different scale",
            "what the learning rate is counted in", choice<&P::rate_unit>(), kSecondRule),
        key("loss_temperature",
            "T: the memory follows the cross-entropy of logits / T; below 1 it minds the tokens that are "
            "still wrong, and holds more of them for fewer nats. Recorded are losses at T = 1",
            "temperature of the loss that is optimised", NumberField{&P::loss_temperature, kPositive},
            kSecondRule),
    };
}

[[noreturn]] void fail() {
    throw TransportError({.what = "a protocol has a value that none has",
                          .where = {},
                          .why = "it was damaged, or written by another version of memcap",
                          .advice = "Use one version of memcap for all ranks and for the whole run folder"});
}

template <class... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

void write_field(ByteWriter& writer, const ProtocolField& field, const Protocol& protocol) {
    std::visit(Overloaded{[&](const NumberField& f) { writer.number(protocol.*f.member); },
                          [&](const PairField& f) {
                              writer.number(protocol.*f.first);
                              writer.number(protocol.*f.second);
                          },
                          [&](const CountField& f) { writer.number(protocol.*f.member); },
                          [&](const ChoiceField& f) { writer.number(f.get(protocol)); }},
               field.value);
}

double read_number(ByteReader& reader, const NumberRange& range) {
    const auto value = reader.number<double>();
    if (!range.is_allowed(value)) fail();
    return value;
}

void read_field(ByteReader& reader, const ProtocolField& field, Protocol& protocol) {
    std::visit(Overloaded{[&](const NumberField& f) { protocol.*f.member = read_number(reader, f.range); },
                          [&](const PairField& f) {
                              protocol.*f.first = read_number(reader, f.range);
                              protocol.*f.second = read_number(reader, f.range);
                          },
                          [&](const CountField& f) {
                              protocol.*f.member = reader.number<std::int32_t>();
                              if (protocol.*f.member < f.least) fail();
                          },
                          [&](const ChoiceField& f) {
                              const auto choice = reader.number<std::uint8_t>();
                              if (choice >= f.names.size()) fail();
                              f.set(protocol, choice);
                          }},
               field.value);
}

void write_fields(ByteWriter& writer, const ProtocolKey& key, const Protocol& protocol) {
    for (const ProtocolField& field : key.fields) write_field(writer, field, protocol);
}

void read_fields(ByteReader& reader, const ProtocolKey& key, Protocol& protocol) {
    for (const ProtocolField& field : key.fields) read_field(reader, field, protocol);
}

void write_first_keys(ByteWriter& writer, const Protocol& protocol) {
    for (const ProtocolKey& key : protocol_keys()) {
        if (key.rule == kFirstRule) write_fields(writer, key, protocol);
    }
}

/// The later keys that are not as they are by default.
std::vector<const ProtocolKey*> changed_later_keys(const Protocol& protocol) {
    std::vector<const ProtocolKey*> changed;
    for (const ProtocolKey& key : protocol_keys()) {
        if (key.rule > kFirstRule && !is_equal(key, protocol, Protocol{})) changed.push_back(&key);
    }
    return changed;
}

void add_to_identity(ByteWriter& writer, const ProtocolKey& key, const Protocol& protocol) {
    for (const ProtocolField& field : key.fields) {
        if (const auto* choice = std::get_if<ChoiceField>(&field.value)) {
            writer.text(choice->names[choice->get(protocol)]);
        } else {
            write_field(writer, field, protocol);
        }
    }
}

}  // namespace

std::span<const ProtocolKey> protocol_keys() {
    static const std::vector<ProtocolKey> keys = make_keys();
    return keys;
}

bool is_equal(const ProtocolKey& key, const Protocol& a, const Protocol& b) {
    ByteWriter of_a;
    ByteWriter of_b;
    write_fields(of_a, key, a);
    write_fields(of_b, key, b);
    return of_a.bytes() == of_b.bytes();
}

std::vector<std::string> texts_of(const ProtocolField& field, const Protocol& protocol) {
    using Texts = std::vector<std::string>;
    const auto text = [](auto number) { return fmt::format("{}", number); };
    return std::visit(
        Overloaded{[&](const NumberField& f) { return Texts{text(protocol.*f.member)}; },
                   [&](const PairField& f) {
                       return Texts{text(protocol.*f.first), text(protocol.*f.second)};
                   },
                   [&](const CountField& f) { return Texts{text(protocol.*f.member)}; },
                   [&](const ChoiceField& f) { return Texts{std::string(f.names[f.get(protocol)])}; }},
        field.value);
}

void write_identity(ByteWriter& writer, const Protocol& protocol) {
    for (const ProtocolKey& key : protocol_keys()) {
        if (key.rule == kFirstRule) add_to_identity(writer, key, protocol);
    }
    for (const ProtocolKey* key : changed_later_keys(protocol)) {
        writer.text(key->name);
        add_to_identity(writer, *key, protocol);
    }
}

void write(ByteWriter& writer, const Protocol& protocol) {
    write_first_keys(writer, protocol);
    const auto later = changed_later_keys(protocol);
    writer.number(static_cast<std::uint8_t>(later.size()));
    for (const ProtocolKey* key : later) {
        writer.text(key->name);
        write_fields(writer, *key, protocol);
    }
}

void read_first_keys(ByteReader& reader, Protocol& protocol) {
    for (const ProtocolKey& key : protocol_keys()) {
        if (key.rule == kFirstRule) read_fields(reader, key, protocol);
    }
    if (protocol.warmup_steps >= protocol.max_steps) fail();
}

void read(ByteReader& reader, Protocol& protocol) {
    read_first_keys(reader, protocol);
    const auto count = reader.number<std::uint8_t>();
    for (std::uint8_t i = 0; i < count; ++i) {
        const std::string name = reader.text();
        const auto keys = protocol_keys();
        const auto key = std::ranges::find(keys, std::string_view(name), &ProtocolKey::name);
        if (key == keys.end() || key->rule == kFirstRule) fail();
        read_fields(reader, *key, protocol);
    }
}

}  // namespace memcap
