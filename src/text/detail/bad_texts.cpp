// One message about all bad texts of a corpus.
#include <fmt/format.h>

#include "text/detail/corpus_readers.hpp"

namespace memcap::text::detail {

void BadTexts::throw_if_any() const {
    constexpr std::size_t kNamed = 20;
    if (errors_.empty()) return;
    if (errors_.size() == 1) throw errors_.front();
    std::string list;
    for (std::size_t i = 0; i < std::min(kNamed, errors_.size()); ++i) {
        const ErrorText& text = errors_[i].text();
        list += fmt::format(
            "\n  {}", memcap::to_string(
                          ErrorText{.what = text.what, .where = text.where, .why = text.why, .advice = {}}));
    }
    if (errors_.size() > kNamed) list += fmt::format("\n  and {} more", errors_.size() - kNamed);
    throw DataError(path_, {.what = fmt::format("{} texts cannot be used", errors_.size()),
                            .where = {},
                            .why = {},
                            .advice = fmt::format("{}. That is for the first of these:{}",
                                                  errors_.front().text().advice, list)});
}

}  // namespace memcap::text::detail
