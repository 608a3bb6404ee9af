// Tokens of a result file: rows that use the same sample share its stretch of values.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "memcap/base/log.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/dimension.hpp"
#include "store/detail/ragged.hpp"

namespace memcap::store::detail {

namespace {

struct TableKey {
    std::size_t folder;
    Id128 table;
    auto operator<=>(const TableKey&) const = default;
};

/// How much of a sample the rows use, and where that lies.
struct SampleUse {
    std::size_t text_tokens = 0;                ///< from the sample's first on
    std::size_t text_tokens_behind_prefix = 0;  ///< from the first after its opening on
    std::size_t prefix_tokens = 0;
    std::set<std::size_t> prefixes;                      ///< the lengths that there are
    std::map<std::size_t, std::uint64_t> prefix_starts;  ///< where they lie, what opens them included
    std::uint64_t text_start = 0;
    std::size_t opening = 0;
    bool text_there = false;
    bool prefix_there = false;

    /// Where the text of a row begins in the sample.
    std::size_t skipped_by(std::size_t prefix) const { return prefix > 0 ? opening : 0; }
};

using SampleUses = std::map<std::int32_t, SampleUse>;

struct TokenColumns {
    std::vector<std::int32_t> values;
    std::vector<std::int64_t> start, count;

    explicit TokenColumns(std::size_t rows) : start(rows, 0), count(rows, 0) {}
    void set(std::size_t row, std::uint64_t first, std::size_t tokens) {
        start[row] = static_cast<std::int64_t>(first);
        count[row] = static_cast<std::int64_t>(tokens);
    }
    void write(const Handle& file, const char* name, const char* what) const {
        const Handle group = create_group(file, name);
        write_column(group, {"values", what, ""}, values);
        write_column(group, {"start", "first token of the row in values", ""}, start);
        write_column(group, {"count", "tokens of the row", ""}, count);
        attach_ragged(group, "token", {"values"});
    }
};

std::size_t length_of(const ContentRow& row) {
    return static_cast<std::size_t>(std::max(0, row.planned->axes.length));
}
std::size_t prefix_of(const ContentRow& row) {
    return static_cast<std::size_t>(std::max(0, row.planned->axes.prefix));
}

std::map<TableKey, SampleUses> collect_uses(const ResultContent& content) {
    std::map<TableKey, SampleUses> uses;
    for (const ContentRow& row : content.rows) {
        SampleUse& use = uses[{row.token_folder, row.planned->token_table}][row.planned->token_sample];
        const std::size_t prefix = prefix_of(row);
        auto& tokens = prefix > 0 ? use.text_tokens_behind_prefix : use.text_tokens;
        tokens = std::max(tokens, length_of(row));
        use.prefix_tokens = std::max(use.prefix_tokens, prefix);
        if (prefix > 0) use.prefixes.insert(prefix);
    }
    return uses;
}

/// Copies the prefixes that are used: one stretch for all, of which each is the end, unless something opens
/// them.
void gather_prefixes(const TokenSample& sample, SampleUse& use, std::vector<std::int32_t>& values) {
    const auto append = [&](std::size_t tokens) {
        const std::size_t first = std::min(tokens, sample.lead.size());
        const std::uint64_t start = values.size();
        values.insert(values.end(), sample.lead.begin(),
                      sample.lead.begin() + static_cast<std::ptrdiff_t>(first));
        values.insert(values.end(), sample.prefix.end() - static_cast<std::ptrdiff_t>(tokens - first),
                      sample.prefix.end());
        return start;
    };
    if (!sample.lead.empty()) {
        for (const std::size_t tokens : use.prefixes) use.prefix_starts[tokens] = append(tokens);
        return;
    }
    const std::uint64_t start = append(use.prefix_tokens);
    for (const std::size_t tokens : use.prefixes)
        use.prefix_starts[tokens] = start + use.prefix_tokens - tokens;
}

/// Copies what is used of one file of tokens behind the values gathered so far.
void gather(const std::vector<TokenSample>& samples, SampleUses& uses, TokenColumns& texts,
            TokenColumns& prefixes) {
    for (auto& [number, use] : uses) {
        if (number < 0 || static_cast<std::size_t>(number) >= samples.size()) continue;
        const TokenSample& sample = samples[static_cast<std::size_t>(number)];
        use.opening = static_cast<std::size_t>(std::max(0, sample.opening));
        if (use.text_tokens_behind_prefix > 0)
            use.text_tokens = std::max(use.text_tokens, use.opening + use.text_tokens_behind_prefix);
        use.text_there = use.text_tokens <= sample.text.size();
        use.prefix_there = use.prefix_tokens <= sample.lead.size() + sample.prefix.size();
        if (use.text_there) {
            use.text_start = texts.values.size();
            const auto begin = sample.text.begin();
            texts.values.insert(texts.values.end(), begin,
                                begin + static_cast<std::ptrdiff_t>(use.text_tokens));
        }
        if (use.prefix_there) gather_prefixes(sample, use, prefixes.values);
    }
}

}  // namespace

std::uint64_t write_tokens(const Handle& file, const ResultContent& content) {
    auto uses = collect_uses(content);
    TokenColumns texts(content.rows.size());
    TokenColumns prefixes(content.rows.size());
    for (auto& [key, samples] : uses) {
        const TokenCache cache(content.folders[key.folder].folder->tokens());
        if (const auto loaded = cache.load(key.table)) gather(*loaded, samples, texts, prefixes);
    }
    std::uint64_t without = 0;
    for (std::size_t number = 0; number < content.rows.size(); ++number) {
        const ContentRow& row = content.rows[number];
        const SampleUse& use =
            uses.at({row.token_folder, row.planned->token_table}).at(row.planned->token_sample);
        const std::size_t prefix = prefix_of(row);
        if (use.text_there && length_of(row) > 0)
            texts.set(number, use.text_start + use.skipped_by(prefix), length_of(row));
        if (use.prefix_there && prefix > 0) prefixes.set(number, use.prefix_starts.at(prefix), prefix);
        if (!use.text_there || !use.prefix_there) ++without;
    }
    texts.write(file, "tokens", "token ids of texts; rows of one sample share its stretch");
    prefixes.write(file, "prefix_tokens", "token ids of prefixes, what opens the input first");
    return without;
}

}  // namespace memcap::store::detail
